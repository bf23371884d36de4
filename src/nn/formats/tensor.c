/*
 * tensor.c: a network's values as named tensors.
 */
#include "nn/formats/tensor.h"

#include <stdio.h>
#include <string.h>

static const char *const part_names[NN_NPARTS] = {"weight", "bias", "mean", "var"};
static const char *const norm_part_names[NN_NPARTS] = {"gamma", "beta", "mean", "var"};

/* The shape of a layer's weights. */
static void
set_weight_dims(const NnLayer *layer, NnTensor *tensor)
{
	if (layer->kind == NN_CONV)
	{
		tensor->ndims = 4;
		tensor->dims[0] = layer->kernel_h;
		tensor->dims[1] = layer->kernel_w;
		tensor->dims[2] = layer->in_c;
		tensor->dims[3] = layer->out_c;
	}
	else if (layer->kind == NN_DENSE)
	{
		tensor->ndims = 2;
		tensor->dims[0] = layer->in_h * layer->in_w * layer->in_c;
		tensor->dims[1] = layer->out_c;
	}
}

bool
nn_tensor(const NnNet *net, int layer, NnPart part, NnTensor *tensor)
{
	const NnLayer *l = &net->layers[layer];
	bool norm = l->kind == NN_BATCHNORM;

	if (l->nweight == 0 || (!norm && part > NN_PART_BIAS))
		return false;
	memset(tensor, 0, sizeof(*tensor));
	snprintf(tensor->name, sizeof(tensor->name), "layers.%d.%s", layer,
			 norm ? norm_part_names[part] : part_names[part]);
	tensor->ndims = 1;
	tensor->dims[0] = l->out_c;
	tensor->count = (size_t) l->out_c;
	switch (part)
	{
		case NN_PART_WEIGHT:
			set_weight_dims(l, tensor);
			tensor->offset = l->weight;
			tensor->count = l->nweight;
			break;
		case NN_PART_BIAS:
			tensor->offset = l->bias;
			break;
		case NN_PART_MEAN:
			tensor->offset = l->mean;
			break;
		default:
			tensor->offset = l->var;
			break;
	}
	return true;
}
