/*
 * winograd.h: the transforms of inputs and outputs of inference's Winograd convolution; see nn/infer/winograd.c.
 */
#ifndef NN_KERNELS_WINOGRAD_H
#define NN_KERNELS_WINOGRAD_H

#include <math.h>

#include "nn/kernels/affine.h"

/* The points of the transforms: 0, infinity, A, -A, B, -B. */
#define NN_POINT_A M_SQRT1_2
#define NN_POINT_B M_SQRT2
#define NN_MAX_POINTS 6

/* How one dimension of the outputs is divided: tiles of four first, then tiles of two. */
typedef struct NnDivision
{
	int fours;
	int all;
} NnDivision;

/*
 * How both dimensions are divided, and where the rows of each element begin among the rows of all elements.  An
 * element has one row for each tile that has its points.
 */
typedef struct NnTiling
{
	NnDivision rows;
	NnDivision columns;
	int stride[NN_MAX_POINTS];				 /* tiles in a row of tiles that have this point of the columns */
	int start[NN_MAX_POINTS][NN_MAX_POINTS]; /* the first row of element (i, j) */
	int total;								 /* rows of all elements */
} NnTiling;

/*
 * Transform the inputs of a convolution to v (tiling->total, Cin).  zeros (Cin) stands for an edge tile's inputs
 * outside the image.
 */
NN_KERNEL(void, nn_winograd_in,
		  (const NnAffine *op, const NnTiling *tiling, const float *in, const float *zeros, float *v));

static inline void
nn_winograd_in(const NnAffine *op, const NnTiling *tiling, const float *in, const float *zeros, float *v)
{
	NN_DISPATCH(nn_winograd_in)(op, tiling, in, zeros, v);
}

/* Compute its outputs from the sums s (tiling->total, Cout): transform back, bias, ReLU, pooling. */
NN_KERNEL(void, nn_winograd_out,
		  (const NnAffine *op, const NnTiling *tiling, const float *s, const float *bias, float *out));

static inline void
nn_winograd_out(const NnAffine *op, const NnTiling *tiling, const float *s, const float *bias, float *out)
{
	NN_DISPATCH(nn_winograd_out)(op, tiling, s, bias, out);
}

#endif /* NN_KERNELS_WINOGRAD_H */
