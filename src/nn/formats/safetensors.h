/*
 * safetensors.h: weights as a safetensors file, for and from other programs.
 */
#ifndef NN_FORMATS_SAFETENSORS_H
#define NN_FORMATS_SAFETENSORS_H

#include <stddef.h>

#include "nn/nn.h"

/*
 * A safetensors file: tensors layers.N.weight, .bias (batch norm: .gamma, .beta, .mean, .var), F32, in the layouts
 * above; N counts all layers from 0.  Its metadata name the format's version and the description.
 */
extern size_t nn_safetensors_size(const NnNet *net);
extern void nn_safetensors_write(const NnNet *net, const float *values, void *out);

/*
 * Check everything about such a file, that it is of this net included, and read its values (net->nvalues floats).
 * NN_ERR_CORRUPT, NN_ERR_VERSION; NN_ERR_SYNTAX if the file is sound but of another net.
 */
extern NnStatus nn_safetensors_read(const NnNet *net, const void *file, size_t size, float *values, NnError *error);

#endif /* NN_FORMATS_SAFETENSORS_H */
