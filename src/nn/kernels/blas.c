/*
 * blas.c: the matrix product: OpenBLAS if the process has loaded it, else the built-in one.
 *
 * OpenBLAS is not linked.  Only processes that train load it, at run time: its pthread build starts threads when it
 * is loaded, unless the environment forbids it at that moment.  A server process must not have a second thread,
 * because signals could be delivered to either of them.  RTLD_LOCAL keeps its symbols apart from those of other
 * libraries.
 */
#include "nn/kernels/blas.h"
#include "nn/kernels/gemm.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define BLAS_LIBRARY "libopenblas.so.0"

/* Constants of the CBLAS interface. */
enum
{
	BLAS_ROW_MAJOR = 101,
	BLAS_PLAIN = 111,
	BLAS_TRANSPOSED = 112
};

typedef void (*BlasSgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
						  const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

/* Set once by nn_blas_load.  No lock is needed: processes that use nn have one thread. */
static BlasSgemm blas_sgemm = NULL;
static char blas_name[128] = "built-in";

NnStatus
nn_blas_load(NnError *error)
{
	void *library;
	char *(*config)(void);

	nn_error_clear(error);
	if (blas_sgemm != NULL)
		return NN_OK;

	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	if (nn_isa_best() == NN_ISA_AVX512)
		setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
	library = dlopen(BLAS_LIBRARY, RTLD_LOCAL | RTLD_NOW);
	if (library == NULL)
		return nn_fail(error, NN_ERR_UNAVAILABLE, "could not load %s", BLAS_LIBRARY);
	/* C does not convert void * to a function pointer, so POSIX assigns dlsym's result in this way. */
	*(void **) &blas_sgemm = dlsym(library, "cblas_sgemm");
	*(void **) &config = dlsym(library, "openblas_get_config");
	if (blas_sgemm == NULL)
	{
		dlclose(library);
		return nn_fail(error, NN_ERR_UNAVAILABLE, "%s has no cblas_sgemm", BLAS_LIBRARY);
	}
	snprintf(blas_name, sizeof(blas_name), "%s", config != NULL ? config() : BLAS_LIBRARY);
	return NN_OK;
}

const char *
nn_blas_name(void)
{
	return blas_name;
}

void
nn_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float *a, int lda, const float *b, int ldb,
		 float beta, float *c, int ldc)
{
	if (blas_sgemm != NULL)
		blas_sgemm(BLAS_ROW_MAJOR, transpose_a ? BLAS_TRANSPOSED : BLAS_PLAIN,
				   transpose_b ? BLAS_TRANSPOSED : BLAS_PLAIN, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc);
	else
		nn_gemm(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
}
