/*
 * forward.c: run a plan.
 *
 * Images are taken in groups.  The front of the plan (ops.h) runs image by image between two buffers and writes each
 * image's last activations to a row of a matrix.  The tail runs on the whole group between two such matrices.  The
 * result for an image does not depend on the size of its group: the kernels sum every output in the same order.
 */
#include "nn/infer/forward.h"
#include "nn/infer/ops.h"
#include "nn/infer/winograd.h"

#include <math.h>
#include <string.h>

/* Floats from one row of padded activations to the next. */
static size_t
row_stride(const NnShape *shape)
{
	return (size_t) (shape->w + 2 * shape->pad_w) * (size_t) shape->c;
}

/* Floats from the start of padded activations to the first one that is not padding. */
static size_t
interior(const NnShape *shape)
{
	return (size_t) shape->pad_h * row_stride(shape) + (size_t) shape->pad_w * (size_t) shape->c;
}

/* Set the rows and columns around the activations to zero. */
static void
clear_padding(const NnShape *shape, float *buffer)
{
	const size_t stride = row_stride(shape);
	const size_t side = (size_t) shape->pad_w * (size_t) shape->c;
	const size_t band = (size_t) shape->pad_h * stride;
	float *row = buffer + band;

	if (shape->pad_h == 0 && shape->pad_w == 0)
		return;
	memset(buffer, 0, band * sizeof(float));
	for (int y = 0; y < shape->h; y++, row += stride)
	{
		memset(row, 0, side * sizeof(float));
		memset(row + stride - side, 0, side * sizeof(float));
	}
	memset(row, 0, band * sizeof(float));
}

/* Scale an image's pixels to 0..1 and write them inside the padding that the first operation needs. */
static void
load_image(const NnShape *shape, const uint8_t *pixels, float *buffer)
{
	float *out = buffer + interior(shape);

	clear_padding(shape, buffer);
	for (int y = 0; y < NN_SIDE; y++)
	{
		for (int x = 0; x < NN_SIDE; x++)
			out[x] = (float) pixels[x] * (1.0f / 255.0f);
		pixels += NN_SIDE;
		out += row_stride(shape);
	}
}

static void
scale_image(const NnOp *op, const float *scale, const float *shift, const float *in, float *out)
{
	in += interior(&op->in);
	out += interior(&op->out);
	for (int y = 0; y < op->out.h; y++)
	{
		for (int x = 0; x < op->out.w; x++)
		{
			for (int c = 0; c < op->out.c; c++)
			{
				float value = in[x * op->out.c + c] * scale[c] + shift[c];

				out[x * op->out.c + c] = op->relu && !(value > 0.0f) ? 0.0f : value;
			}
		}
		in += row_stride(&op->in);
		out += row_stride(&op->out);
	}
}

static void
relu_image(const NnOp *op, const float *in, float *out)
{
	in += interior(&op->in);
	out += interior(&op->out);
	for (int y = 0; y < op->out.h; y++)
	{
		for (int i = 0; i < op->out.w * op->out.c; i++)
			out[i] = in[i] > 0.0f ? in[i] : 0.0f;
		in += row_stride(&op->in);
		out += row_stride(&op->out);
	}
}

/* The largest value of a channel in the pooling window that begins here. */
static float
window_max(const NnOp *op, const float *in)
{
	float best = op->relu ? 0.0f : in[0];

	for (int y = 0; y < op->pool; y++)
	{
		for (int x = 0; x < op->pool; x++)
		{
			float value = in[(size_t) y * row_stride(&op->in) + (size_t) (x * op->in.c)];

			if (value > best)
				best = value;
		}
	}
	return best;
}

static void
maxpool_image(const NnOp *op, const float *in, float *out)
{
	const size_t step = (size_t) (op->pool * op->in.c);

	in += interior(&op->in);
	out += interior(&op->out);
	for (int y = 0; y < op->out.h; y++)
	{
		for (int x = 0; x < op->out.w; x++)
		{
			for (int c = 0; c < op->out.c; c++)
				out[x * op->out.c + c] = window_max(op, in + (size_t) x * step + c);
		}
		in += (size_t) op->pool * row_stride(&op->in);
		out += row_stride(&op->out);
	}
}

/* Run one operation on one image (in the front, with scratch memory) or on n rows of a matrix (in the tail). */
static void
run_op(const NnPlan *plan, const NnOp *op, const float *in, float *out, int n, float *work)
{
	const float *weights = nn_plan_at(plan, op->weights);
	const float *bias = nn_plan_at(plan, op->bias);

	if (op->kind == NN_OP_AFFINE)
	{
		NnAffine a = op->affine;

		if (a.width == 0)
			a.width = n;
		if (op->winograd != 0)
			nn_winograd(&a, op->winograd, in, weights, bias, out + interior(&op->out), work);
		else
			nn_affine(&a, in, weights, bias, out + interior(&op->out));
		return;
	}
	for (int i = 0; i < n; i++)
	{
		if (op->kind == NN_OP_SCALE)
			scale_image(op, weights, bias, in, out);
		else if (op->kind == NN_OP_RELU)
			relu_image(op, in, out);
		else
			maxpool_image(op, in, out);
		in += nn_row_floats(&op->in);
		out += nn_row_floats(&op->out);
	}
}

/* Run the front on one image; row receives the tail's input. */
static void
run_front(const NnPlan *plan, const uint8_t *pixels, float *front, float *row)
{
	float *in = front;
	float *out = front + plan->front_floats;

	load_image(&plan->input, pixels, plan->nfront > 0 ? in : row);
	for (int i = 0; i < plan->nfront; i++)
	{
		const NnOp *op = &plan->ops[i];
		float *spare = in;

		if (i == plan->nfront - 1)
			out = row;
		clear_padding(&op->out, out);
		run_op(plan, op, in, out, 1, front + 2 * plan->front_floats);
		in = out;
		out = spare;
	}
}

/* Probabilities from logits; the largest logit is subtracted first, so that nothing overflows. */
static void
softmax(const float *logits, float *probabilities)
{
	const float best = logits[nn_best_class(logits)];
	float sum = 0.0f;

	for (int i = 0; i < NN_CLASSES; i++)
	{
		probabilities[i] = expf(logits[i] - best);
		sum += probabilities[i];
	}
	for (int i = 0; i < NN_CLASSES; i++)
		probabilities[i] /= sum;
}

void
nn_forward(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities, void *scratch)
{
	nn_forward_hidden(plan, pixels, n, probabilities, NULL, scratch);
}

void
nn_forward_hidden(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities, float *hidden,
				  void *scratch)
{
	const int ngroups = (n + NN_GROUP - 1) / NN_GROUP;
	float *const front = scratch;
	float *const tail = front + 2 * plan->front_floats + plan->work_floats;

	for (int group = 0; group < ngroups; group++)
	{
		/* groups of nearly equal size, so that no tile is nearly empty */
		int rows = n / ngroups + (group < n % ngroups ? 1 : 0);
		float *in = tail;
		float *out = tail + (size_t) rows * plan->row_floats;

		for (int i = 0; i < rows; i++)
		{
			run_front(plan, pixels, front, in + (size_t) i * nn_row_floats(&plan->ops[plan->nfront].in));
			pixels += NN_PIXELS;
		}
		for (int i = plan->nfront; i < plan->nops; i++)
		{
			float *spare = in;

			run_op(plan, &plan->ops[i], in, out, rows, NULL);
			in = out;
			out = spare;
		}
		for (int i = 0; i < rows; i++)
		{
			const float *row = in + (size_t) i * nn_row_floats(&plan->ops[plan->nops - 1].out);

			softmax(row, probabilities);
			probabilities += NN_CLASSES;
			if (hidden == NULL)
				continue;
			memcpy(hidden, row + NN_CLASSES, NN_HIDDEN * sizeof(float));
			hidden += NN_HIDDEN;
		}
	}
}
