/*
 * tensor.h: a network's values as named tensors, for the formats of other programs.
 */
#ifndef NN_FORMATS_TENSOR_H
#define NN_FORMATS_TENSOR_H

#include "nn/nn.h"

#define NN_TENSOR_NAME 32 /* bytes of a name, with its NUL */
#define NN_MAX_TENSORS (NN_MAX_LAYERS * NN_NPARTS)

typedef enum NnPart
{
	NN_PART_WEIGHT, /* of batch norm: gamma */
	NN_PART_BIAS,	/* of batch norm: beta */
	NN_PART_MEAN,
	NN_PART_VAR,
	NN_NPARTS
} NnPart;

typedef struct NnTensor
{
	char name[NN_TENSOR_NAME]; /* "layers.0.weight" */
	int ndims;
	int dims[4];   /* in the library's layout */
	size_t offset; /* in values */
	size_t count;
} NnTensor;

/* Fill in a tensor from one part of a layer (0-based, all kinds counted); false if the layer has no such part. */
extern bool nn_tensor(const NnNet *net, int layer, NnPart part, NnTensor *tensor);

#endif /* NN_FORMATS_TENSOR_H */
