/*
 * winograd.h: convolutions of 3 x 3 with fewer multiplications, for plans.
 */
#ifndef NN_INFER_WINOGRAD_H
#define NN_INFER_WINOGRAD_H

#include "nn/kernels/affine.h"

#define NN_WINOGRAD_MAX_ELEMENTS 36

/* Elements of a transformed tile of m x m outputs. */
static inline size_t
nn_winograd_elements(int m)
{
	return (size_t) ((m + 2) * (m + 2));
}

/*
 * The m (2 or 4) whose tiles of at most m x m outputs are fastest for this convolution with a kernel of kernel_w
 * columns; 0 if the convolution does not fit or is faster computed directly.
 */
extern int nn_winograd_tile(const NnAffine *op, int kernel_w);

/* Floats of scratch memory that nn_winograd needs. */
extern size_t nn_winograd_work(const NnAffine *op, int m);

/* Transform one kernel (3, 3) into u (m + 2, m + 2). */
extern void nn_winograd_kernel(int m, const double *kernel, double *u);

/*
 * As nn_affine, with the weights transformed: ((m + 2) * (m + 2), Cout / NN_BLOCK, Cin, NN_BLOCK).  The sums are
 * taken in another order than nn_affine's, which is always the same for an output, too.
 */
extern void nn_winograd(const NnAffine *op, int m, const float *in, const float *weights, const float *bias,
						float *out, float *work);

#endif /* NN_INFER_WINOGRAD_H */
