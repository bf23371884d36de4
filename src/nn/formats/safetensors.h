/*
 * safetensors.h: weights as a safetensors file, to exchange with other programs.
 */
#ifndef NN_FORMATS_SAFETENSORS_H
#define NN_FORMATS_SAFETENSORS_H

#include <stddef.h>

#include "nn/nn.h"

/*
 * A safetensors file: tensors layers.N.weight, .bias (batch norm: .gamma, .beta, .mean, .var), F32, in the layouts
 * of nn.h; N counts all layers from 0.  Its metadata has the format version, the description and a CRC-32.
 */
extern size_t nn_safetensors_size(const NnNet *net);
extern void nn_safetensors_write(const NnNet *net, const float *values, void *out);

/*
 * Check everything in such a file and read its values (net->nvalues floats).  Fails with NN_ERR_CORRUPT or
 * NN_ERR_VERSION; with NN_ERR_SYNTAX if the file's description is not that of this net.
 */
extern NnStatus nn_safetensors_read(const NnNet *net, const void *file, size_t size, float *values, NnError *error);

#endif /* NN_FORMATS_SAFETENSORS_H */
