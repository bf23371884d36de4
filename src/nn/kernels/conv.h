/*
 * conv.h: the convolution of training.
 */
#ifndef NN_KERNELS_CONV_H
#define NN_KERNELS_CONV_H

#include <stddef.h>

#include "nn/kernels/dispatch.h"
#include "nn/kernels/pack.h"

/* The arguments of the convolution's kernels, in floats.  For the gradients of weights and bias "out" is dout. */
typedef struct NnConvArgs
{
	float *out;
	const float *in;
	const float *weight; /* packed, see pack.h */
	const float *bias;
	int height, width, out_c; /* of the output; out_c with its padding */
	int cin;				  /* of the input, without padding */
	int kernel_h, kernel_w;
	size_t in_px, in_row, in_image;
	size_t out_px, out_row, out_image;
} NnConvArgs;

/* args->out = bias + in * weight, for n images. */
NN_KERNEL(void, nn_conv_product, (const NnConvArgs *args, int n));

static inline void
nn_conv_product(const NnConvArgs *args, int n)
{
	NN_DISPATCH(nn_conv_product)(args, n);
}

/* dweight (kernel_h, kernel_w, cin, out_c) += in x dout over n images; args->out is dout. */
NN_KERNEL(void, nn_conv_outer_product, (const NnConvArgs *args, float *dweight, int n));

static inline void
nn_conv_outer_product(const NnConvArgs *args, float *dweight, int n)
{
	NN_DISPATCH(nn_conv_outer_product)(args, dweight, n);
}

/* dbias (out_c) += the output's gradient, args->out, summed over the pixels of n images. */
NN_KERNEL(void, nn_conv_bias_gradient, (const NnConvArgs *args, float *dbias, int n));

static inline void
nn_conv_bias_gradient(const NnConvArgs *args, float *dbias, int n)
{
	NN_DISPATCH(nn_conv_bias_gradient)(args, dbias, n);
}

#endif /* NN_KERNELS_CONV_H */
