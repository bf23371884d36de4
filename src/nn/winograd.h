/*
 * winograd.h: convolutions of 3 x 3 with fewer multiplications, private to src/nn.
 */
#ifndef NN_WINOGRAD_H
#define NN_WINOGRAD_H

#include "affine.h"

/* Elements of a transformed tile. */
#define NN_WINOGRAD_TILE 16

/* Is this convolution, of a kernel so wide, one that can be done and is worth doing this way? */
extern bool nn_winograd_suits(const NnAffine *op, int kernel_w);

/* Floats of scratch memory that it takes. */
extern size_t nn_winograd_work(const NnAffine *op);

/* Transform one kernel (3, 3) into u (4, 4). */
extern void nn_winograd_kernel(const double *kernel, double *u);

/*
 * As nn_affine, with the weights transformed: (4 * 4, Cout / NN_BLOCK, Cin, NN_BLOCK).  An output is a sum in an
 * order of its own, but one that depends on nothing else either.
 */
extern void nn_winograd(const NnAffine *op, const float *in, const float *weights, const float *bias, float *out,
						float *work);

#endif /* NN_WINOGRAD_H */
