/*
 * optimizer.h: the update of a range of parameters.
 */
#ifndef NN_KERNELS_OPTIMIZER_H
#define NN_KERNELS_OPTIMIZER_H

#include <stddef.h>

#include "nn/kernels/dispatch.h"

/* The factors of AdamW's update, computed once a step. */
typedef struct NnAdamFactors
{
	float rate;	 /* learning rate / (1 - beta1^step) */
	float decay; /* learning rate * weight decay, or 0 */
	float beta1;
	float beta2;
	float correction2; /* 1 / (1 - beta2^step) */
	float epsilon;
} NnAdamFactors;

/* AdamW on values[from, to) with their moments m and v and the sum of ngrads gradients. */
NN_KERNEL(void, nn_adam,
		  (float *values, float *m, float *v, const float *const *grads, int ngrads, size_t from, size_t to,
		   const NnAdamFactors *f));

static inline void
nn_adam(float *values, float *m, float *v, const float *const *grads, int ngrads, size_t from, size_t to,
		const NnAdamFactors *f)
{
	NN_DISPATCH(nn_adam)(values, m, v, grads, ngrads, from, to, f);
}

/* x = x * keep + y * add, on n numbers. */
NN_KERNEL(void, nn_blend, (float *x, const float *y, float keep, float add, size_t n));

static inline void
nn_blend(float *x, const float *y, float keep, float add, size_t n)
{
	NN_DISPATCH(nn_blend)(x, y, keep, add, n);
}

#endif /* NN_KERNELS_OPTIMIZER_H */
