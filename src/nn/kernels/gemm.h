/*
 * gemm.h: the matrix product of the dense layers.
 */
#ifndef NN_GEMM_H
#define NN_GEMM_H

#include <stdbool.h>

/*
 * c (m, n) = op(a) (m, k) * op(b) (k, n) + beta * c, row-major, op transposing where asked; lda, ldb and ldc
 * are the floats from one stored row to the next.  beta is 0 (c is not read) or 1.
 */
extern void nn_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float *a, int lda, const float *b,
					 int ldb, float beta, float *c, int ldc);

#endif /* NN_GEMM_H */
