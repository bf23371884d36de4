/*
 * onnx.h: a model as an ONNX file, for other programs.
 */
#ifndef NN_FORMATS_ONNX_H
#define NN_FORMATS_ONNX_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

/* Where a model comes from; written to its file. */
typedef struct NnOrigin
{
	const char *software_version; /* of mnist_hil */
	int64_t model_version;
} NnOrigin;

/*
 * An ONNX model (operator set 13): "image" float (N, 1, 28, 28), a pixel of 0..255 divided by 255; "probabilities"
 * float (N, 10).  The same net, values and origin give the same bytes.
 */
extern size_t nn_onnx_size(const NnNet *net, const NnOrigin *origin);
extern void nn_onnx_write(const NnNet *net, const float *values, const NnOrigin *origin, void *out);

#endif /* NN_FORMATS_ONNX_H */
