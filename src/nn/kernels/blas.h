/*
 * blas.h: the matrix product of the dense layers: OpenBLAS where a process has loaded it, else our own.
 */
#ifndef NN_KERNELS_BLAS_H
#define NN_KERNELS_BLAS_H

#include <stdbool.h>

#include "nn/error.h"

/*
 * Load OpenBLAS by dlopen.  To be called at the start of a process that trains and only there: it sets
 * OPENBLAS_NUM_THREADS=1 and the core type that fits the CPU first, because the library reads both when it is
 * loaded and must never start a thread.  Without it the built-in product is used.  NN_ERR_UNAVAILABLE where it is not
 * installed.
 */
extern NnStatus nn_blas_load(NnError *error);

/* Name of what multiplies: the library's own configuration string, or "built-in". */
extern const char *nn_blas_name(void);

/*
 * c (m, n) = op(a) (m, k) * op(b) (k, n) + beta * c, row-major, op transposing where asked; lda, ldb and ldc
 * are the floats from one stored row to the next.  beta is 0 (c is not read) or 1.
 */
extern void nn_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float *a, int lda, const float *b,
					 int ldb, float beta, float *c, int ldc);

#endif /* NN_KERNELS_BLAS_H */
