/*
 * plan.c: from a net to operations and packed weights.
 *
 * Lowering walks over the layers and joins those that can run in one pass.  Dropout is left out.  Batch norm is
 * folded into the convolution or dense layer before it.  ReLU and max pooling are applied to the sums while they are
 * in registers.  A batch norm after any other layer becomes an operation of its own, a scale and a shift.  The
 * padding of a buffer depends on the operation that reads it, so it is set last.
 */
#include "nn/infer/plan.h"
#include "nn/infer/ops.h"
#include "nn/infer/winograd.h"
#include "util/rng.h"

#include <math.h>
#include <string.h>

/* The key from which the weights of the projections are drawn. */
#define PROJECTION_KEY UINT64_C(0x6d6e697374)

#define STEP_COST 500000000 /* multiply-adds: 10 ms with AVX-512, 100 ms without vectors (2.6 GHz) */
#define ACTIVATION_COST 4	/* writing an activation takes about as long as this many multiply-adds */

_Static_assert(NN_CLASSES + NN_HIDDEN <= NN_BLOCK, "projections fit into the padding of the last layer");

static size_t
round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- lowering ---- */

static NnShape
shape_in(const NnLayer *layer)
{
	return (NnShape){layer->in_h, layer->in_w, layer->in_c, 0, 0};
}

static NnShape
shape_out(const NnLayer *layer)
{
	return (NnShape){layer->out_h, layer->out_w, layer->out_c, 0, 0};
}

static int
skip_dropout(const NnNet *net, int i)
{
	while (i < net->nlayers && net->layers[i].kind == NN_DROPOUT)
		i++;
	return i;
}

/* Can a batch norm after the operation be folded into its weights? */
static bool
is_linear(const NnOp *op)
{
	return (op->kind == NN_OP_AFFINE || op->kind == NN_OP_SCALE) && !op->relu && op->pool == 1;
}

/* Fold layers from i on into the operation, as far as possible; returns the first layer that cannot be folded. */
static int
fold_layers(const NnNet *net, int i, NnOp *op)
{
	for (;;)
	{
		const NnLayer *layer;

		i = skip_dropout(net, i);
		if (i == net->nlayers)
			return i;
		layer = &net->layers[i];
		if (layer->kind == NN_RELU)
			op->relu = true; /* before or after pooling: the result is the same */
		else if (layer->kind == NN_MAXPOOL && op->kind == NN_OP_AFFINE && op->pool == 1)
			op->pool = layer->pool;
		else if (layer->kind != NN_BATCHNORM || !is_linear(op))
			return i;
		op->out = shape_out(layer);
		i++;
	}
}

static NnOpKind
op_kind(NnLayerKind kind)
{
	switch (kind)
	{
		case NN_BATCHNORM:
			return NN_OP_SCALE;
		case NN_RELU:
			return NN_OP_RELU;
		case NN_MAXPOOL:
			return NN_OP_MAXPOOL;
		default:
			return NN_OP_AFFINE;
	}
}

/* Fill in the list of operations, without padding, strides and offsets. */
static void
list_ops(NnPlan *plan, const NnNet *net)
{
	int i = skip_dropout(net, 0);
	bool front = true;

	while (i < net->nlayers)
	{
		const NnLayer *layer = &net->layers[i];
		NnOp *op = &plan->ops[plan->nops];

		if (layer->kind == NN_DENSE)
			front = false;
		op->kind = op_kind(layer->kind);
		op->in = shape_in(layer);
		op->out = shape_out(layer);
		op->pool = 1;
		op->first_layer = i;
		if (op->kind == NN_OP_MAXPOOL)
			op->pool = layer->pool;
		op->end_layer = i = fold_layers(net, i + 1, op);
		plan->nops++;
		if (front)
			plan->nfront++;
	}
}

/* Give each operation's output the border of zeros that the convolution after it needs. */
static void
pad_shapes(NnPlan *plan, const NnNet *net)
{
	plan->input = (NnShape){NN_SIDE, NN_SIDE, 1, 0, 0};
	for (int i = 0; i < plan->nops; i++)
	{
		const NnLayer *layer = &net->layers[plan->ops[i].first_layer];
		NnShape *written = i == 0 ? &plan->input : &plan->ops[i - 1].out;

		if (layer->kind != NN_CONV)
			continue;
		plan->ops[i].in.pad_h = written->pad_h = layer->pad_h;
		plan->ops[i].in.pad_w = written->pad_w = layer->pad_w;
	}
}

/* Sizes and strides of a convolution or dense layer. */
static void
set_affine(NnOp *op, const NnLayer *layer)
{
	NnAffine *a = &op->affine;

	a->channels = layer->out_c;
	a->pool = op->pool;
	a->relu = op->relu;
	if (layer->kind == NN_DENSE)
	{
		a->rows = a->height = 1;
		a->width = 0; /* the number of images, at run time */
		a->len = layer->in_h * layer->in_w * layer->in_c;
		a->in_pixel = nn_row_floats(&op->in);
		a->out_pixel = nn_row_floats(&op->out);
		return;
	}
	a->rows = layer->kernel_h;
	a->len = layer->kernel_w * layer->in_c;
	a->height = op->out.h * op->pool;
	a->width = op->out.w * op->pool;
	a->in_pixel = (size_t) layer->in_c;
	a->in_row = (size_t) (layer->in_w + 2 * layer->pad_w) * (size_t) layer->in_c;
	a->out_pixel = (size_t) op->out.c;
	a->out_row = (size_t) (op->out.w + 2 * op->out.pad_w) * (size_t) op->out.c;
	op->winograd = nn_winograd_tile(a, layer->kernel_w);
}

/* Floats of the operation's packed weights. */
static size_t
packed_weights(const NnOp *op)
{
	size_t channels = round_up((size_t) op->out.c, NN_BLOCK);

	if (op->winograd != 0)
		return channels * nn_winograd_elements(op->winograd) * op->affine.in_pixel;
	if (op->kind == NN_OP_AFFINE)
		return channels * (size_t) op->affine.rows * (size_t) op->affine.len;
	return op->kind == NN_OP_SCALE ? channels : 0;
}

static size_t
padded_floats(const NnShape *shape)
{
	return (size_t) (shape->h + 2 * shape->pad_h) * (size_t) (shape->w + 2 * shape->pad_w) * (size_t) shape->c;
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Fill in a plan, except for the weights. */
static void
lower(NnPlan *plan, const NnNet *net)
{
	memset(plan, 0, sizeof(*plan));
	list_ops(plan, net);
	pad_shapes(plan, net);

	plan->size = round_up(sizeof(NnPlan), NN_ALIGN);
	plan->cost = net->macs;
	if (plan->nfront > 0)
		plan->front_floats = padded_floats(&plan->input);
	plan->row_floats = nn_row_floats(&plan->ops[plan->nfront].in);
	for (int i = 0; i < plan->nops; i++)
	{
		NnOp *op = &plan->ops[i];

		plan->cost += ACTIVATION_COST * nn_row_floats(&op->out);
		if (op->kind == NN_OP_AFFINE)
			set_affine(op, &net->layers[op->first_layer]);
		if (i == plan->nops - 1)
			op->affine.channels += NN_HIDDEN; /* see nn_forward_hidden */
		if (op->winograd != 0)
			plan->work_floats = larger(plan->work_floats, nn_winograd_work(&op->affine, op->winograd));
		op->weights = plan->size;
		op->bias = op->weights + packed_weights(op) * sizeof(float);
		plan->size = op->bias + round_up((size_t) op->out.c, NN_BLOCK) * sizeof(float);
		if (i < plan->nfront)
			plan->front_floats = larger(plan->front_floats, padded_floats(&op->out));
		else
			plan->row_floats = larger(plan->row_floats, nn_row_floats(&op->out));
	}
	plan->front_floats = round_up(plan->front_floats, NN_BLOCK);
}

size_t
nn_plan_size(const NnNet *net)
{
	NnPlan plan;

	lower(&plan, net);
	return plan.size;
}

/* ---- weights ---- */

/* Combine the batch norms among the operation's layers from "from" on into one scale and one shift. */
static void
fold_norms(const NnNet *net, const NnOp *op, int from, const float *values, int channel, double *scale, double *shift)
{
	*scale = 1.0;
	*shift = 0.0;
	for (int i = from; i < op->end_layer; i++)
	{
		const NnLayer *layer = &net->layers[i];
		double factor;

		if (layer->kind != NN_BATCHNORM)
			continue;
		factor = values[layer->weight + (size_t) channel] /
				 sqrt((double) values[layer->var + (size_t) channel] + (double) NN_BN_EPSILON);
		*scale *= factor;
		*shift = (*shift - values[layer->mean + (size_t) channel]) * factor + values[layer->bias + (size_t) channel];
	}
}

/* Pack the weights of one output channel, (fan-in, Cout) to (Cout / NN_BLOCK, fan-in, NN_BLOCK). */
static void
pack_channel(const NnOp *op, const NnLayer *layer, const float *values, int channel, double scale, float *packed)
{
	size_t fan_in = (size_t) op->affine.rows * (size_t) op->affine.len;
	float *to = packed + (size_t) (channel / NN_BLOCK) * fan_in * NN_BLOCK + channel % NN_BLOCK;
	const float *from = values + layer->weight + channel;

	for (size_t k = 0; k < fan_in; k++)
		to[k * NN_BLOCK] = (float) (from[k * (size_t) layer->out_c] * scale);
}

/* The same for winograd.c: transform every kernel and pack them as (elements, Cout / NN_BLOCK, Cin, NN_BLOCK). */
static void
pack_winograd(int m, const NnLayer *layer, const float *values, int channel, double scale, float *packed)
{
	size_t cin = (size_t) layer->in_c;
	size_t matrix = cin * (size_t) layer->out_c;
	float *to = packed + (size_t) (channel / NN_BLOCK) * cin * NN_BLOCK + channel % NN_BLOCK;
	const float *from = values + layer->weight + channel;

	for (size_t c = 0; c < cin; c++)
	{
		double kernel[9];
		double u[NN_WINOGRAD_MAX_ELEMENTS];

		for (size_t k = 0; k < 9; k++)
			kernel[k] = from[(k * cin + c) * (size_t) layer->out_c] * scale;
		nn_winograd_kernel(m, kernel, u);
		for (size_t i = 0; i < nn_winograd_elements(m); i++)
			to[i * matrix + c * NN_BLOCK] = (float) u[i];
	}
}

float
nn_projection(int j, size_t k, size_t inputs)
{
	float size = 1.0f / sqrtf((float) inputs);

	return rng_key(PROJECTION_KEY + (uint64_t) j, k) >> 63 ? size : -size;
}

/* Write the projections behind the classes of the last layer, into the padding of its block of channels. */
static void
pack_projections(NnPlan *plan)
{
	const NnOp *op = &plan->ops[plan->nops - 1];
	float *weights = nn_plan_at(plan, op->weights);
	size_t inputs = (size_t) op->affine.len;

	for (size_t k = 0; k < inputs; k++)
	{
		for (int j = 0; j < NN_HIDDEN; j++)
			weights[k * NN_BLOCK + NN_CLASSES + (size_t) j] = nn_projection(j, k, inputs);
	}
}

void
nn_plan_build(NnPlan *plan, const NnNet *net, const float *values)
{
	lower(plan, net);
	memset((char *) plan + sizeof(NnPlan), 0, plan->size - sizeof(NnPlan));
	for (int i = 0; i < plan->nops; i++)
	{
		const NnOp *op = &plan->ops[i];
		const NnLayer *layer = &net->layers[op->first_layer];
		float *weights = nn_plan_at(plan, op->weights);
		float *bias = nn_plan_at(plan, op->bias);

		if (op->kind != NN_OP_AFFINE && op->kind != NN_OP_SCALE)
			continue;
		for (int c = 0; c < op->out.c; c++)
		{
			double scale;
			double shift;

			fold_norms(net, op, op->first_layer, values, c, &scale, &shift);
			if (op->kind == NN_OP_AFFINE)
			{
				if (op->winograd != 0)
					pack_winograd(op->winograd, layer, values, c, scale, weights);
				else
					pack_channel(op, layer, values, c, scale, weights);
				bias[c] = (float) (values[layer->bias + (size_t) c] * scale + shift);
			}
			else
			{
				weights[c] = (float) scale;
				bias[c] = (float) shift;
			}
		}
	}
	pack_projections(plan);
}

int
nn_step(const NnPlan *plan, int n)
{
	size_t most = STEP_COST / plan->cost;

	if (most >= (size_t) n)
		return n;
	if (most > NN_GROUP)
		most -= most % NN_GROUP;
	return most > 1 ? (int) most : 1;
}

size_t
nn_scratch_size(const NnPlan *plan, int n)
{
	size_t rows = n < NN_GROUP ? (size_t) n : NN_GROUP;

	return (2 * plan->front_floats + plan->work_floats + 2 * rows * plan->row_floats) * sizeof(float);
}
