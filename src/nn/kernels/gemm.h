/*
 * gemm.h: the built-in matrix product.
 */
#ifndef NN_KERNELS_GEMM_H
#define NN_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "nn/kernels/dispatch.h"

/* As nn_sgemm of blas.h, without OpenBLAS. */
NN_KERNEL(void, nn_gemm,
		  (bool transpose_a, bool transpose_b, int m, int n, int depth, const float *a, int lda, const float *b,
		   int ldb, float beta, float *c, int ldc));

static inline void
nn_gemm(bool transpose_a, bool transpose_b, int m, int n, int depth, const float *a, int lda, const float *b, int ldb,
		float beta, float *c, int ldc)
{
	NN_DISPATCH(nn_gemm)(transpose_a, transpose_b, m, n, depth, a, lda, b, ldb, beta, c, ldc);
}

#endif /* NN_KERNELS_GEMM_H */
