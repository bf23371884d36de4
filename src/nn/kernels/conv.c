/*
 * conv.c: the convolution's kernels of training, for the CPU at hand; they are in conv_kernels.h.
 */
#include "nn/kernels/conv.h"

#include <string.h>

#define NN_KERNELS "conv_kernels.h"
#include "nn/kernels/each_isa.h"

void
nn_conv_product(const NnConvArgs *args, int n)
{
	NN_DISPATCH(conv)(args, n);
}

void
nn_conv_outer_product(const NnConvArgs *args, float *dweight, int n)
{
	NN_DISPATCH(conv_outer)(args, dweight, n);
}

NnPanel
nn_conv_panel(void)
{
	return NN_DISPATCH(conv_panel);
}

void
nn_conv_bias_gradient(const NnConvArgs *args, float *dbias, int n)
{
	NN_DISPATCH(conv_bias)(args, dbias, n);
}
