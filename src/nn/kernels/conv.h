/*
 * conv.h: the convolution of training.
 */
#ifndef NN_KERNELS_CONV_H
#define NN_KERNELS_CONV_H

#include <stddef.h>

#include "nn/kernels/dispatch.h"

/* The arguments of the convolution's kernels: all in floats; "out" is dout for the weights' gradient. */
typedef struct NnConvArgs
{
	float *out;
	const float *in;
	const float *weight;
	const float *bias;
	int height, width, out_c; /* of the output; out_c with its padding */
	int cin;				  /* of the input, without padding */
	int kernel_h, kernel_w;
	int packed_width; /* the width of output rows for which the weights were packed */
	size_t in_px, in_row, in_image;
	size_t out_px, out_row, out_image;
} NnConvArgs;

/*
 * How many columns the next panel of weights has, of "left" that are not yet in one, when they are packed for output
 * rows of "width" pixels.
 */
NN_KERNEL(int, nn_conv_panel, (int left, int width));

static inline int
nn_conv_panel(int left, int width)
{
	return NN_DISPATCH(nn_conv_panel)(left, width);
}

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
