/*
 * affine.h: the inner loop of inference.
 *
 * Convolution and dense layers are one operation.  Every output is a bias plus the sum, over the rows of a kernel, of
 * a run of contiguous inputs times weights.  In a convolution a run is (KW, Cin) of a channels-last image, and the
 * runs of neighbouring outputs begin Cin floats apart.  A dense layer has a single run, the whole input, and its
 * neighbouring outputs belong to the images of a batch.
 */
#ifndef NN_KERNELS_AFFINE_H
#define NN_KERNELS_AFFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "nn/kernels/dispatch.h"
#include "nn/kernels/pack.h"

/* The sizes and strides (in floats) of an operation over a grid of outputs. */
typedef struct NnAffine
{
	int rows;	  /* runs of an output: KH, or 1 */
	int len;	  /* inputs of a run: KW * Cin, or all inputs of a dense layer */
	int height;	  /* rows of outputs before pooling, without those outside all pooling windows */
	int width;	  /* outputs in a row before pooling, likewise; for a dense layer the number of images */
	int channels; /* Cout */
	int pool;	  /* 1: none */
	bool relu;
	size_t in_pixel;  /* from an output's inputs to those of the next output in its row */
	size_t in_row;	  /* from an output's inputs to those of the output below; also from run to run */
	size_t out_pixel; /* from an output (after pooling) to the next in its row */
	size_t out_row;	  /* and to the output below */
} NnAffine;

/*
 * out = pool(relu(bias + sum of inputs times weights)).  In every tile the sum begins with the bias, and the products
 * are added one by one in the order of the weights.  So an output does not depend on what else is computed with it.
 */
NN_KERNEL(void, nn_affine,
		  (const NnAffine *op, const float *in, const float *weights, const float *bias, float *out));

static inline void
nn_affine(const NnAffine *op, const float *in, const float *weights, const float *bias, float *out)
{
	NN_DISPATCH(nn_affine)(op, in, weights, bias, out);
}

#endif /* NN_KERNELS_AFFINE_H */
