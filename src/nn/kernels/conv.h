/*
 * conv.h: the convolution's kernels of training.
 */
#ifndef NN_CONV_H
#define NN_CONV_H

#include "nn/nn.h"

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
typedef int (*NnPanel)(int left, int width);

extern NnPanel nn_conv_panel(void);

/* A convolution of n images. */
extern void nn_conv_product(const NnConvArgs *args, int n);

/* The gradient of its weights. */
extern void nn_conv_outer_product(const NnConvArgs *args, float *dweight, int n);

/* dbias (out_c) += the output's gradient, args->out, summed over the pixels of n images. */
extern void nn_conv_bias_gradient(const NnConvArgs *args, float *dbias, int n);

#endif /* NN_CONV_H */
