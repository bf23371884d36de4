/*
 * train.c: one training step: forward, loss, backward.
 *
 * The layers are turned into operations (op.h).  Between two operations lies a boundary: the activations of
 * the whole batch, which backward needs, and their gradient.
 *
 * Layer by layer, every number would go to memory and back at each operation.  So a batch goes through the net in
 * stages.  A stage is a sequence of operations that need no more than one image at a time.  It runs for a group of
 * few images, whose numbers stay in the second-level cache, then for the next group.  Two kinds of operation end a
 * stage: a dense layer, which is one matrix product for the whole batch, and batch norm, which needs the sums over
 * all images first.  These sums are collected at the end of the stage before (forward) or after (backward).  Within a
 * stage gradients are kept for one group only.
 *
 * All sums have a fixed order, so a step's result is a function of its arguments and the instruction set.
 */
#include "nn/train/train.h"
#include "nn/train/activation.h"
#include "nn/train/conv.h"
#include "nn/train/dense.h"
#include "nn/train/dropout.h"
#include "nn/train/loss.h"
#include "nn/nn.h"
#include "nn/train/layout.h"
#include "nn/train/op.h"
#include "nn/train/trainer.h"
#include "nn/train/winograd_train.h"
#include "util/rng.h"

#include <string.h>

#define GROUP_BYTES (384 * 1024) /* most bytes of a group of images; it must fit into the second-level cache */
#define GROUP_MAX 16

/* Append an operation whose output has the given shape; its input is the boundary before it. */
static NnTrainOp *
add_op(NnTrainer *t, NnTrainOpKind kind, const NnLayer *layer, int h, int w, int c, int stride)
{
	NnTrainOp *op = &t->ops[t->nops++];

	op->kind = kind;
	op->layer = layer;
	op->pool = 1;
	t->boundaries[t->nops].map = nn_map(h, w, c, stride, 0, 0, 0);
	return op;
}

/* Turn the layers into operations and set the shapes of the boundaries, without borders. */
static void
make_ops(NnTrainer *t)
{
	const NnLayer *first = &t->net.layers[0];
	NnTrainOp *open = NULL; /* the last operation, if it is an activation: the next layers may join it */

	t->nops = 0;
	t->boundaries[0].map = nn_map(first->in_h, first->in_w, first->in_c, 1, 0, 0, 0);
	if (first->kind != NN_CONV && first->kind != NN_DENSE)
		add_op(t, NN_TRAIN_COPY, NULL, first->in_h, first->in_w, first->in_c, NN_STRIDE(first->in_c));

	for (int i = 0; i < t->net.nlayers; i++)
	{
		const NnLayer *layer = &t->net.layers[i];
		const NnMap *in = &t->boundaries[t->nops].map;
		int stride = NN_STRIDE(layer->out_c);

		switch (layer->kind)
		{
			case NN_CONV:
				add_op(t, NN_TRAIN_CONV, layer, layer->out_h, layer->out_w, layer->out_c, stride);
				open = NULL;
				break;
			case NN_DENSE:
				if (in->stride != in->c && in->h * in->w > 1)
					add_op(t, NN_TRAIN_COPY, NULL, in->h, in->w, in->c, in->c);
				add_op(t, NN_TRAIN_DENSE, layer, 1, 1, layer->out_c, stride);
				open = NULL;
				break;
			case NN_DROPOUT:
				add_op(t, NN_TRAIN_DROPOUT, layer, layer->out_h, layer->out_w, layer->out_c, stride);
				open = NULL;
				break;
			case NN_BATCHNORM:
				open = add_op(t, NN_TRAIN_ACTIVATION, NULL, layer->out_h, layer->out_w, layer->out_c, stride);
				open->bn = layer;
				break;
			case NN_RELU:
				if (open == NULL || open->relu || open->pool > 1)
					open = add_op(t, NN_TRAIN_ACTIVATION, NULL, layer->out_h, layer->out_w, layer->out_c, stride);
				open->relu = true;
				break;
			case NN_MAXPOOL:
				if (open == NULL || open->pool > 1)
					open = add_op(t, NN_TRAIN_ACTIVATION, NULL, layer->out_h, layer->out_w, layer->out_c, stride);
				open->pool = layer->pool;
				t->boundaries[t->nops].map = nn_map(layer->out_h, layer->out_w, layer->out_c, stride, 0, 0, 0);
				break;
		}
	}
}

/* The end (exclusive) of the stage that begins with operation "from". */
static int
stage_end(const NnTrainer *t, int from)
{
	int end = from + 1;

	if (t->ops[from].kind == NN_TRAIN_DENSE)
		return end;
	while (end < t->nops && t->ops[end].kind != NN_TRAIN_DENSE && t->ops[end].bn == NULL)
		end++;
	return end;
}

/* Give the boundaries their borders and decide which gradients are kept for the whole batch. */
static void
make_maps(NnTrainer *t)
{
	for (int k = 0; k <= t->nops; k++)
	{
		NnBoundary *b = &t->boundaries[k];
		const NnTrainOp *before = k > 0 ? &t->ops[k - 1] : NULL;
		const NnTrainOp *after = k < t->nops ? &t->ops[k] : NULL;
		NnMap map = b->map;
		int pad_h = 0;
		int pad_w = 0;
		int more = 0;

		if (k > 0 && after != NULL && after->kind == NN_TRAIN_CONV)
		{
			pad_h = after->layer->pad_h;
			pad_w = after->layer->pad_w;
			more = nn_winograd_train_fits(after->layer);
		}
		b->map = nn_map(map.h, map.w, map.c, map.stride, pad_h, pad_w, more);
		pad_h = pad_w = more = 0;
		if (before != NULL && before->kind == NN_TRAIN_CONV)
		{
			pad_h = before->layer->kernel_h - 1 - before->layer->pad_h;
			pad_w = before->layer->kernel_w - 1 - before->layer->pad_w;
			more = nn_winograd_train_fits(before->layer);
		}
		b->grad_map = nn_map(map.h, map.w, map.c, map.stride, pad_h, pad_w, more);
		b->whole = after == NULL || after->kind == NN_TRAIN_DENSE ||
				   (before != NULL && (before->kind == NN_TRAIN_DENSE || before->bn != NULL));
	}
	for (int k = 0; k < t->nops; k++)
	{
		t->ops[k].in = t->boundaries[k].map;
		t->ops[k].out = t->boundaries[k + 1].map;
		t->ops[k].din = t->boundaries[k].grad_map;
		t->ops[k].dout = t->boundaries[k + 1].grad_map;
	}
}

/* Set how many images each stage takes at once, so that its largest operation fits into GROUP_BYTES. */
static void
make_groups(NnTrainer *t)
{
	for (int from = 0; from < t->nops; from = stage_end(t, from))
	{
		size_t largest = 1;
		int group = t->max_batch;

		for (int k = from; k < stage_end(t, from); k++)
		{
			const NnTrainOp *op = &t->ops[k];
			size_t bytes = (op->in.image + op->out.image + op->din.image + op->dout.image) * sizeof(float);

			largest = bytes > largest ? bytes : largest;
		}
		if (t->ops[from].kind != NN_TRAIN_DENSE)
		{
			group = (int) (GROUP_BYTES / largest);
			group = group < 1 ? 1 : group > GROUP_MAX ? GROUP_MAX : group;
		}
		for (int k = from; k < stage_end(t, from); k++)
			t->groups[k] = group < t->max_batch ? group : t->max_batch;
	}
}

/* Lay everything out in the arena; if it has no memory, count the bytes. */
static void
lay_out(NnTrainer *t, NnArena *arena, const NnNet *net, int max_batch)
{
	t->net = *net;
	t->max_batch = max_batch;
	make_ops(t);
	make_maps(t);
	make_groups(t);
	for (int k = 0; k < t->nops; k++)
	{
		NnTrainOp *op = &t->ops[k];

		if (op->kind == NN_TRAIN_CONV)
			nn_conv_init(op, arena, t->groups[k]);
		else if (op->kind == NN_TRAIN_ACTIVATION)
			nn_activation_init(op, arena);
	}
	for (int k = 1; k <= t->nops; k++)
	{
		NnBoundary *b = &t->boundaries[k];
		int ngrads = b->whole ? max_batch : t->groups[k - 1];

		b->data = nn_arena_take(arena, max_batch * b->map.image * sizeof(float));
		b->grad = nn_arena_take(arena, ngrads * b->grad_map.image * sizeof(float));
		if (arena->base != NULL)
		{
			b->data += b->map.origin;
			b->grad += b->grad_map.origin;
		}
	}
}

size_t
nn_trainer_size(const NnNet *net, int max_batch)
{
	NnTrainer t = {0};
	NnArena arena = {NULL, 0};

	nn_arena_take(&arena, sizeof(NnTrainer));
	lay_out(&t, &arena, net, max_batch);
	return arena.used;
}

NnTrainer *
nn_trainer_init(void *memory, const NnNet *net, int max_batch)
{
	NnArena arena = {memory, 0};
	NnTrainer *t;

	/* The borders and the padding of channels are zero from here on. */
	memset(memory, 0, nn_trainer_size(net, max_batch));
	t = nn_arena_take(&arena, sizeof(NnTrainer));
	lay_out(t, &arena, net, max_batch);
	return t;
}

/* Copy n images from one layout to another. */
static void
copy_images(float *out, const NnMap *out_map, const float *in, const NnMap *in_map, int n)
{
	for (int i = 0; i < n; i++)
	{
		for (int y = 0; y < in_map->h; y++)
		{
			for (int x = 0; x < in_map->w; x++)
				memcpy(out + i * out_map->image + y * out_map->row + (size_t) x * out_map->stride,
					   in + i * in_map->image + y * in_map->row + (size_t) x * in_map->stride,
					   in_map->c * sizeof(float));
		}
	}
}

static uint64_t
dropout_key(const NnTrainer *t, const NnTrainOp *op, const NnBatch *batch)
{
	return rng_key(batch->seed, (uint64_t) (op->layer - t->net.layers));
}

void
nn_op_forward(NnTrainer *t, int k, const float *values, const NnBatch *batch, int first, int n)
{
	NnTrainOp *op = &t->ops[k];
	const float *in = k == 0 ? batch->images + (size_t) first * NN_PIXELS : nn_data_at(&t->boundaries[k], first);
	float *out = nn_data_at(&t->boundaries[k + 1], first);

	switch (op->kind)
	{
		case NN_TRAIN_COPY:
			copy_images(out, &op->out, in, &op->in, n);
			break;
		case NN_TRAIN_CONV:
			nn_conv_forward(op, out, in, n);
			break;
		case NN_TRAIN_ACTIVATION:
			nn_activation_forward(op, out, in, n);
			break;
		case NN_TRAIN_DROPOUT:
			if (batch->keep_all)
				copy_images(out, &op->out, in, &op->in, n);
			else
				nn_dropout(op, out, &op->out, in, &op->in, n, first, dropout_key(t, op, batch));
			break;
		case NN_TRAIN_DENSE:
			nn_dense_forward(op, out, in, values, n);
			break;
	}
}

void
nn_op_backward(NnTrainer *t, int k, const float *values, float *grads, const NnBatch *batch, int first, int n)
{
	NnTrainOp *op = &t->ops[k];
	const float *in = k == 0 ? batch->images + (size_t) first * NN_PIXELS : nn_data_at(&t->boundaries[k], first);
	float *din = k == 0 ? NULL : nn_grad_at(&t->boundaries[k], first);
	float *dout = nn_grad_at(&t->boundaries[k + 1], first);

	switch (op->kind)
	{
		case NN_TRAIN_COPY:
			if (din != NULL)
				copy_images(din, &op->din, dout, &op->dout, n);
			break;
		case NN_TRAIN_CONV:
			nn_conv_backward(op, din, in, dout, n);
			break;
		case NN_TRAIN_ACTIVATION:
			nn_activation_backward(op, din, in, dout, n);
			break;
		case NN_TRAIN_DROPOUT:
			if (batch->keep_all)
				copy_images(din, &op->din, dout, &op->dout, n);
			else
				nn_dropout(op, din, &op->din, dout, &op->dout, n, first, dropout_key(t, op, batch));
			break;
		case NN_TRAIN_DENSE:
			nn_dense_backward(op, din, grads, dout, in, values, n);
			break;
	}
}

/* Operations [from, end) forward, group by group; then the statistics of the next operation if it has batch norm. */
static void
stage_forward(NnTrainer *t, int from, int end, const float *values, float *grads, const NnBatch *batch)
{
	NnTrainOp *next = end < t->nops && t->ops[end].bn != NULL ? &t->ops[end] : NULL;
	int group = t->groups[from];

	for (int first = 0; first < batch->n; first += group)
	{
		int n = batch->n - first < group ? batch->n - first : group;

		for (int k = from; k < end; k++)
			nn_op_forward(t, k, values, batch, first, n);
		if (next != NULL)
			nn_batchnorm_observe(next, nn_data_at(&t->boundaries[end], first), n);
	}
	if (next != NULL)
		nn_batchnorm_forward(next, values, grads, batch->n, batch->frozen);
}

/*
 * Operations [from, end) backward, group by group.  For a batch norm at "from", only the sums are collected here.
 * The stage before, which runs next, begins with its gradient.
 */
static void
stage_backward(NnTrainer *t, int from, int end, const float *values, float *grads, const NnBatch *batch)
{
	NnTrainOp *start = t->ops[from].bn != NULL ? &t->ops[from] : NULL;
	bool pending = end < t->nops && t->ops[end].bn != NULL;
	int group = t->groups[from];

	for (int first = 0; first < batch->n; first += group)
	{
		int n = batch->n - first < group ? batch->n - first : group;

		for (int k = pending ? end : end - 1; k >= from; k--)
		{
			if (k == from && start != NULL)
				nn_batchnorm_reduce(start, nn_data_at(&t->boundaries[k], first),
									nn_grad_at(&t->boundaries[k + 1], first), n);
			else
				nn_op_backward(t, k, values, grads, batch, first, n);
		}
	}
	if (start != NULL)
		nn_batchnorm_backward(start, grads, batch->n, batch->frozen);
}

/* Prepare every operation for a batch. */
static void
begin(NnTrainer *t, const float *values)
{
	for (int k = 0; k < t->nops; k++)
	{
		if (t->ops[k].kind == NN_TRAIN_CONV)
			nn_conv_begin(&t->ops[k], values);
		else if (t->ops[k].bn != NULL)
			nn_batchnorm_begin(&t->ops[k]);
	}
}

void
nn_train_statistics(NnTrainer *t, const float *values, float *grads, const NnBatch *batch)
{
	begin(t, values);
	for (int from = 0; from < t->nops; from = stage_end(t, from))
		stage_forward(t, from, stage_end(t, from), values, grads, batch);
}

NnLoss
nn_train_step(NnTrainer *t, const float *values, float *grads, const NnBatch *batch)
{
	NnBoundary *last = &t->boundaries[t->nops];
	int starts[NN_MAX_OPS];
	int nstages = 0;
	NnLoss loss;

	begin(t, values);

	for (int from = 0; from < t->nops; from = stage_end(t, from))
	{
		starts[nstages++] = from;
		stage_forward(t, from, stage_end(t, from), values, grads, batch);
	}
	loss = nn_softmax_loss(last->grad, last->data, last->map.image, batch);
	while (nstages-- > 0)
		stage_backward(t, starts[nstages], stage_end(t, starts[nstages]), values, grads, batch);

	for (int k = 0; k < t->nops; k++)
	{
		if (t->ops[k].kind == NN_TRAIN_CONV)
			nn_conv_finish(&t->ops[k], grads);
	}
	return loss;
}
