/*
 * blas.h: the matrix product of the dense layers: OpenBLAS if the process has loaded it, else the built-in one.
 */
#ifndef NN_KERNELS_BLAS_H
#define NN_KERNELS_BLAS_H

#include <stdbool.h>

#include "nn/error.h"

/*
 * Load OpenBLAS by dlopen.  Call this only at the start of a process that trains.  It first sets
 * OPENBLAS_NUM_THREADS=1, so that the library never starts a thread, and on a CPU with AVX-512 a default for
 * OPENBLAS_CORETYPE: the library reads both when it is loaded.  Without OpenBLAS the built-in product is used.
 * NN_ERR_UNAVAILABLE if it is not installed.
 */
extern NnStatus nn_blas_load(NnError *error);

/* The matrix product in use: OpenBLAS's configuration string, or "built-in". */
extern const char *nn_blas_name(void);

/*
 * c (m, n) = op(a) (m, k) * op(b) (k, n) + beta * c, row-major; op transposes the matrix if its argument says so.
 * lda, ldb and ldc are the floats from one stored row to the next.  beta is 0 (c is not read) or 1.
 */
extern void nn_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float *a, int lda, const float *b,
					 int ldb, float beta, float *c, int ldc);

#endif /* NN_KERNELS_BLAS_H */
