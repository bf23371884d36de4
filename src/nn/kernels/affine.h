/*
 * affine.h: the inner loop of inference.
 *
 * Convolution and dense layers are one operation: every output is a bias plus the sum, over the rows of a kernel,
 * of a run of contiguous inputs times weights.  For a convolution the run is (KW, Cin) of a channels-last image
 * and neighbouring outputs are Cin apart; for a dense layer there is one run, the whole input, and the neighbours
 * are the images of a batch.
 */
#ifndef NN_KERNELS_AFFINE_H
#define NN_KERNELS_AFFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "nn/kernels/dispatch.h"
#include "nn/kernels/pack.h"

/* What is computed over a grid of outputs; strides are in floats. */
typedef struct NnAffine
{
	int rows;	  /* runs an output is summed over: KH, or 1 */
	int len;	  /* inputs of a run: KW * Cin, or the dense layer's inputs */
	int height;	  /* rows of outputs before pooling, only those within a pooling window */
	int width;	  /* outputs in a row before pooling, likewise; or, for a dense layer, images */
	int channels; /* Cout */
	int pool;	  /* 1: none */
	bool relu;
	size_t in_pixel;  /* from an output's inputs to those of the next in its row */
	size_t in_row;	  /* to those of the next row of outputs; also from run to run */
	size_t out_pixel; /* from an output (after pooling) to the next in its row */
	size_t out_row;
} NnAffine;

/*
 * out = pool(relu(bias + sum of inputs times weights)).  The bias comes first and the products are added one after
 * another in the order of the weights, whatever the tile: what an output is does not depend on what is computed
 * beside it.
 */
NN_KERNEL(void, nn_affine,
		  (const NnAffine *op, const float *in, const float *weights, const float *bias, float *out));

static inline void
nn_affine(const NnAffine *op, const float *in, const float *weights, const float *bias, float *out)
{
	NN_DISPATCH(nn_affine)(op, in, weights, bias, out);
}

#endif /* NN_KERNELS_AFFINE_H */
