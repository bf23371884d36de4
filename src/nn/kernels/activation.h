/*
 * activation.h: batch norm, ReLU and maximum pooling of training.
 */
#ifndef NN_KERNELS_ACTIVATION_H
#define NN_KERNELS_ACTIVATION_H

#include <stdbool.h>

#include "nn/kernels/dispatch.h"
#include "nn/kernels/map.h"

#define NN_ACTIVATION_MAX_POOL 28 /* the side of the largest map */

/* The vectors have a number per channel, padded like a pixel; without batch norm scale is 1 and the others are 0. */
typedef struct NnActivation
{
	bool relu;
	int pool;				  /* 1: none */
	NnMap in, out, din, dout; /* layouts of the activations and of their gradients */
	const float *scale, *shift;
	const float *mean, *invstd;
	const float *slope, *offset; /* backward: dx = dz * scale + x * slope + offset */
	double *sum, *product;		 /* the results of "observe" and "reduce" are added here */
} NnActivation;

/* out = the activation of in, for n images. */
NN_KERNEL(void, nn_activate_forward, (const NnActivation *a, float *out, const float *in, int n));

static inline void
nn_activate_forward(const NnActivation *a, float *out, const float *in, int n)
{
	NN_DISPATCH(nn_activate_forward)(a, out, in, n);
}

/* din from dout, for n images; in is the input of forward. */
NN_KERNEL(void, nn_activate_backward, (const NnActivation *a, float *din, const float *in, const float *dout, int n));

static inline void
nn_activate_backward(const NnActivation *a, float *din, const float *in, const float *dout, int n)
{
	NN_DISPATCH(nn_activate_backward)(a, din, in, dout, n);
}

/* Per channel, the sums over n images of dz and of dz times normalised x, added to sum and product. */
NN_KERNEL(void, nn_activate_reduce, (const NnActivation *a, const float *in, const float *dout, int n));

static inline void
nn_activate_reduce(const NnActivation *a, const float *in, const float *dout, int n)
{
	NN_DISPATCH(nn_activate_reduce)(a, in, dout, n);
}

/* Per channel, the sums over n images of x and of x^2, added to sum and product. */
NN_KERNEL(void, nn_activate_observe, (const NnActivation *a, const float *in, int n));

static inline void
nn_activate_observe(const NnActivation *a, const float *in, int n)
{
	NN_DISPATCH(nn_activate_observe)(a, in, n);
}

#endif /* NN_KERNELS_ACTIVATION_H */
