/*
 * activation.c: batch norm, ReLU and maximum pooling, each if present, after a convolution or dense layer.
 *
 * At these sizes a pass over the data costs as much as its arithmetic.  So the three are one pass forward and one
 * backward (nn/kernels/activation.c), in which batch norm is only a scale and a shift per channel.
 *
 * The second half of this file computes scale and shift, and the sums over the batch that the gradient of batch norm
 * needs (Ioffe and Szegedy 2015).  In a batch norm every image depends on all others, forward and backward, so it
 * ends a stage of train.c in both directions.
 */
#include "nn/train/activation.h"
#include "nn/kernels/activation.h"

#include <math.h>
#include <string.h>

_Static_assert(NN_ACTIVATION_MAX_POOL == NN_SIDE, "a pooling window is at most an image");

/* The kernels' arguments for an operation. */
static NnActivation
kernel_args(const NnTrainOp *op)
{
	return (NnActivation){
		.relu = op->relu,
		.pool = op->pool,
		.in = op->in,
		.out = op->out,
		.din = op->din,
		.dout = op->dout,
		.scale = op->scale,
		.shift = op->shift,
		.mean = op->mean,
		.invstd = op->invstd,
		.slope = op->slope,
		.offset = op->offset,
		.sum = op->sum,
		.product = op->product,
	};
}

void
nn_activation_forward(const NnTrainOp *op, float *out, const float *in, int n)
{
	const NnActivation args = kernel_args(op);

	nn_activate_forward(&args, out, in, n);
}

void
nn_activation_backward(const NnTrainOp *op, float *din, const float *in, const float *dout, int n)
{
	const NnActivation args = kernel_args(op);

	nn_activate_backward(&args, din, in, dout, n);
}

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

void
nn_batchnorm_begin(NnTrainOp *op)
{
	memset(op->sum, 0, op->in.stride * sizeof(double));
	memset(op->product, 0, op->in.stride * sizeof(double));
}

void
nn_batchnorm_observe(NnTrainOp *op, const float *in, int n)
{
	const NnActivation args = kernel_args(op);

	nn_activate_observe(&args, in, n);
}

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

void
nn_batchnorm_reduce(NnTrainOp *op, const float *in, const float *dout, int n)
{
	const NnActivation args = kernel_args(op);

	nn_activate_reduce(&args, in, dout, n);
}

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
