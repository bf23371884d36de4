/*
 * activation.c: what follows a convolution or dense layer: batch norm, ReLU and maximum pooling, each if
 * present.
 *
 * At these sizes a pass over the data costs as much as the arithmetic it does, so the three are one pass each
 * way (activation_kernels.h), with batch norm reduced to a scale and a shift per channel.  Where these come
 * from, and the sums over the batch that its gradient needs (Ioffe and Szegedy 2015), is the second half of
 * this file: a batch norm cuts the batch's way through the net in two places, because every image depends on
 * all others there; train.c runs what lies between the cuts in groups of images that stay in the cache.
 */
#include "nn/train/layers.h"

#include <math.h>
#include <string.h>

#define NN_MAX_POOL NN_SIDE
#define NN_KERNELS "activation_kernels.h"
#include "nn/kernels/each_isa.h"

/* out = the activation of n images. */
void
nn_activation_forward(const NnTrainOp *op, float *out, const float *in, int n)
{
	NN_DISPATCH(forward)(op, out, in, n);
}

/* din from dout for n images; with batch norm, after nn_batchnorm_backward. */
void
nn_activation_backward(const NnTrainOp *op, float *din, const float *in, const float *dout, int n)
{
	NN_DISPATCH(backward)(op, din, in, dout, n);
}

/* Take the memory for an activation's vectors of channels. */
void
nn_activation_init(NnTrainOp *op, NnArena *arena)
{
	size_t stride = (size_t) op->in.stride;

	op->scale = nn_arena_take(arena, stride * sizeof(float));
	op->shift = nn_arena_take(arena, stride * sizeof(float));
	op->mean = nn_arena_take(arena, stride * sizeof(float));
	op->invstd = nn_arena_take(arena, stride * sizeof(float));
	op->slope = nn_arena_take(arena, stride * sizeof(float));
	op->offset = nn_arena_take(arena, stride * sizeof(float));
	op->sum = nn_arena_take(arena, stride * sizeof(double));
	op->product = nn_arena_take(arena, stride * sizeof(double));
	if (arena->base != NULL && op->bn == NULL)
	{
		for (int c = 0; c < op->in.c; c++)
			op->scale[c] = 1.0f;
	}
}

/* Clear the sums before the first group of a pass. */
void
nn_batchnorm_begin(NnTrainOp *op)
{
	memset(op->sum, 0, op->in.stride * sizeof(double));
	memset(op->product, 0, op->in.stride * sizeof(double));
}

/* Add n images to the sums of x and x^2. */
void
nn_batchnorm_observe(NnTrainOp *op, const float *in, int n)
{
	NN_DISPATCH(observe)(op, in, n);
}

/*
 * From the sums over a batch of n: scale and shift, and the batch's mean and unbiased variance into grads; frozen:
 * from the running statistics, which go into grads as they are.
 */
void
nn_batchnorm_forward(NnTrainOp *op, const float *values, float *grads, int n, bool frozen)
{
	const NnLayer *bn = op->bn;
	double count = (double) n * op->in.h * op->in.w;

	for (int c = 0; c < op->in.c; c++)
	{
		double mean = op->sum[c] / count;
		double var = fmax(op->product[c] / count - mean * mean, 0.0);
		double invstd;

		if (frozen)
		{
			mean = values[bn->mean + c];
			var = values[bn->var + c];
		}
		invstd = 1.0 / sqrt(var + NN_BN_EPSILON);
		op->mean[c] = (float) mean;
		op->invstd[c] = (float) invstd;
		op->scale[c] = (float) (values[bn->weight + c] * invstd);
		op->shift[c] = (float) (values[bn->bias + c] - mean * invstd * values[bn->weight + c]);
		grads[bn->mean + c] = (float) mean;
		grads[bn->var + c] = (float) (count > 1 && !frozen ? var * count / (count - 1) : var);
	}
	nn_batchnorm_begin(op);
}

/* Add n images to the sums of the gradient that nn_batchnorm_backward needs. */
void
nn_batchnorm_reduce(NnTrainOp *op, const float *in, const float *dout, int n)
{
	NN_DISPATCH(reduce)(op, in, dout, n);
}

/*
 * From the sums over a batch of n: the gradients of gamma and beta, and the terms of din that all images share, of
 * which there are none where the statistics are frozen.
 */
void
nn_batchnorm_backward(NnTrainOp *op, float *grads, int n, bool frozen)
{
	const NnLayer *bn = op->bn;
	double count = (double) n * op->in.h * op->in.w;

	for (int c = 0; c < op->in.c; c++)
	{
		double slope = -(double) op->scale[c] * op->invstd[c] * op->product[c] / count;

		grads[bn->weight + c] = (float) op->product[c];
		grads[bn->bias + c] = (float) op->sum[c];
		op->slope[c] = frozen ? 0.0f : (float) slope;
		op->offset[c] = frozen ? 0.0f : (float) (-(double) op->scale[c] * op->sum[c] / count - slope * op->mean[c]);
	}
}
