/*
 * naive_train.c: a training step as plain loops in double precision.
 *
 * It follows the definitions layer by layer; activations are (n, h, w, c) without padding.  test_gradient.c compares
 * its gradients with finite differences, and the fast step with it.
 */
#include "naive_train.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"

typedef struct Pass
{
	const NnNet *net;
	const double *values;
	double *grads;
	const NnBatch *batch;
	double *data[NN_MAX_LAYERS + 1]; /* the input of each layer, then the logits */
	double *grad[NN_MAX_LAYERS + 1];
} Pass;

static size_t
in_size(const NnLayer *layer)
{
	return (size_t) layer->in_h * layer->in_w * layer->in_c;
}

static size_t
out_size(const NnLayer *layer)
{
	return (size_t) layer->out_h * layer->out_w * layer->out_c;
}

/* Called once for every product of a convolution: out[o] += in[i] * weights[w]. */
typedef void (*ConvTerm)(const Pass *pass, const NnLayer *layer, int k, size_t o, size_t i, size_t w);

static void
each_term(const Pass *pass, const NnLayer *layer, int k, ConvTerm term)
{
	int outputs = layer->out_h * layer->out_w * layer->out_c;

	for (int p = 0; p < pass->batch->n * outputs; p++)
	{
		int c = p % layer->out_c;
		int x = p / layer->out_c % layer->out_w;
		int y = p / (layer->out_c * layer->out_w) % layer->out_h;
		size_t image = (size_t) (p / outputs) * in_size(layer);

		for (int t = 0; t < layer->kernel_h * layer->kernel_w; t++)
		{
			int iy = y + t / layer->kernel_w - layer->pad_h;
			int ix = x + t % layer->kernel_w - layer->pad_w;

			if (iy < 0 || iy >= layer->in_h || ix < 0 || ix >= layer->in_w)
				continue;
			for (int ci = 0; ci < layer->in_c; ci++)
				term(pass, layer, k, (size_t) p, image + ((size_t) iy * layer->in_w + ix) * layer->in_c + ci,
					 layer->weight + ((size_t) t * layer->in_c + ci) * layer->out_c + c);
		}
	}
}

static void
conv_term_forward(const Pass *pass, const NnLayer *layer, int k, size_t o, size_t i, size_t w)
{
	(void) layer;
	pass->data[k + 1][o] += pass->data[k][i] * pass->values[w];
}

static void
conv_term_backward(const Pass *pass, const NnLayer *layer, int k, size_t o, size_t i, size_t w)
{
	(void) layer;
	pass->grad[k][i] += pass->grad[k + 1][o] * pass->values[w];
	pass->grads[w] += pass->grad[k + 1][o] * pass->data[k][i];
}

/* The same for a dense layer. */
static void
each_dense_term(const Pass *pass, const NnLayer *layer, int k, ConvTerm term)
{
	size_t fan_in = in_size(layer);

	for (int n = 0; n < pass->batch->n; n++)
	{
		for (size_t i = 0; i < fan_in; i++)
		{
			for (int c = 0; c < layer->out_c; c++)
				term(pass, layer, k, (size_t) n * layer->out_c + c, n * fan_in + i,
					 layer->weight + i * layer->out_c + c);
		}
	}
}

static void
add_bias(const Pass *pass, const NnLayer *layer, int k)
{
	for (size_t o = 0; o < pass->batch->n * out_size(layer); o++)
		pass->data[k + 1][o] = pass->values[layer->bias + o % layer->out_c];
}

static void
bias_backward(const Pass *pass, const NnLayer *layer, int k)
{
	for (size_t o = 0; o < pass->batch->n * out_size(layer); o++)
		pass->grads[layer->bias + o % layer->out_c] += pass->grad[k + 1][o];
}

/* Mean and biased variance of channel c over the batch; if frozen, the running statistics. */
static void
batch_statistics(const Pass *pass, const NnLayer *layer, int k, int c, double *mean, double *var)
{
	size_t count = pass->batch->n * in_size(layer) / layer->in_c;

	if (pass->batch->frozen)
	{
		*mean = pass->values[layer->mean + c];
		*var = pass->values[layer->var + c];
		return;
	}
	*mean = *var = 0.0;
	for (size_t i = 0; i < count; i++)
		*mean += pass->data[k][i * layer->in_c + c] / (double) count;
	for (size_t i = 0; i < count; i++)
		*var += pow(pass->data[k][i * layer->in_c + c] - *mean, 2.0) / (double) count;
}

static void
batchnorm_forward(const Pass *pass, const NnLayer *layer, int k)
{
	size_t count = pass->batch->n * in_size(layer) / layer->in_c;

	for (int c = 0; c < layer->in_c; c++)
	{
		double mean;
		double var;

		batch_statistics(pass, layer, k, c, &mean, &var);
		for (size_t i = 0; i < count; i++)
			pass->data[k + 1][i * layer->in_c + c] = pass->values[layer->weight + c] *
														 (pass->data[k][i * layer->in_c + c] - mean) /
														 sqrt(var + NN_BN_EPSILON) +
													 pass->values[layer->bias + c];
		if (pass->grads != NULL)
		{
			pass->grads[layer->mean + c] = mean;
			pass->grads[layer->var + c] = pass->batch->frozen ? var : var * (double) count / (double) (count - 1);
		}
	}
}

static void
batchnorm_backward(const Pass *pass, const NnLayer *layer, int k)
{
	size_t count = pass->batch->n * in_size(layer) / layer->in_c;

	for (int c = 0; c < layer->in_c; c++)
	{
		double mean;
		double var;
		double sum = 0.0;
		double product = 0.0;
		double invstd;

		batch_statistics(pass, layer, k, c, &mean, &var);
		invstd = 1.0 / sqrt(var + NN_BN_EPSILON);
		for (size_t i = 0; i < count; i++)
		{
			sum += pass->grad[k + 1][i * layer->in_c + c];
			product += pass->grad[k + 1][i * layer->in_c + c] * (pass->data[k][i * layer->in_c + c] - mean) * invstd;
		}
		pass->grads[layer->weight + c] += product;
		pass->grads[layer->bias + c] += sum;
		/* The batch's statistics depend on every image, so they contribute to the gradient; frozen ones do not. */
		if (pass->batch->frozen)
			sum = product = 0.0;
		for (size_t i = 0; i < count; i++)
		{
			size_t p = i * layer->in_c + c;

			pass->grad[k][p] = pass->values[layer->weight + c] * invstd *
							   (pass->grad[k + 1][p] - sum / (double) count -
								(pass->data[k][p] - mean) * invstd * product / (double) count);
		}
	}
}

/* The index in the input of the maximum of output o's window; the first one, row by row, in a tie. */
static size_t
window_maximum(const Pass *pass, const NnLayer *layer, int k, size_t o)
{
	int c = (int) (o % layer->out_c);
	int x = (int) (o / layer->out_c % layer->out_w);
	int y = (int) (o / layer->out_c / layer->out_w % layer->out_h);
	size_t image = o / out_size(layer) * in_size(layer);
	size_t best = SIZE_MAX;

	for (int t = 0; t < layer->pool * layer->pool; t++)
	{
		size_t row = (size_t) (y * layer->pool + t / layer->pool) * layer->in_w;
		size_t i = image + (row + x * layer->pool + t % layer->pool) * layer->in_c + c;

		if (best == SIZE_MAX || pass->data[k][i] > pass->data[k][best])
			best = i;
	}
	return best;
}

/* The factor of number i of a dropout layer's input: 0, or 1 / (1 - rate); see dropout.c. */
static double
dropout_factor(const Pass *pass, const NnLayer *layer, size_t i)
{
	size_t size = in_size(layer);
	uint64_t key = rng_key(pass->batch->seed, (uint64_t) (layer - pass->net->layers));
	Rng rng = rng_start(rng_key(key, i / size));
	size_t pixel = i % size / layer->in_c;
	size_t c = i % layer->in_c;
	uint64_t draw = 0;

	for (size_t skip = 0; skip <= pixel * ((layer->in_c + 3) / 4) + c / 4; skip++)
		draw = rng_next(&rng);
	draw = (draw >> (16 * (c % 4))) & 0xffff;
	return draw >= (uint64_t) (layer->rate * 65536.0f) ? 1.0 / (1.0 - (double) layer->rate) : 0.0;
}

static void
layer_forward(const Pass *pass, const NnLayer *layer, int k)
{
	size_t size = pass->batch->n * out_size(layer);
	const double *in = pass->data[k];
	double *out = pass->data[k + 1];

	switch (layer->kind)
	{
		case NN_CONV:
			add_bias(pass, layer, k);
			each_term(pass, layer, k, conv_term_forward);
			break;
		case NN_DENSE:
			add_bias(pass, layer, k);
			each_dense_term(pass, layer, k, conv_term_forward);
			break;
		case NN_BATCHNORM:
			batchnorm_forward(pass, layer, k);
			break;
		case NN_RELU:
			for (size_t i = 0; i < size; i++)
				out[i] = in[i] > 0.0 ? in[i] : 0.0;
			break;
		case NN_MAXPOOL:
			for (size_t o = 0; o < size; o++)
				out[o] = in[window_maximum(pass, layer, k, o)];
			break;
		case NN_DROPOUT:
			for (size_t i = 0; i < size; i++)
				out[i] = in[i] * dropout_factor(pass, layer, i);
			break;
	}
}

static void
layer_backward(const Pass *pass, const NnLayer *layer, int k)
{
	size_t size = pass->batch->n * out_size(layer);
	const double *dout = pass->grad[k + 1];
	double *din = pass->grad[k];

	switch (layer->kind)
	{
		case NN_CONV:
			bias_backward(pass, layer, k);
			each_term(pass, layer, k, conv_term_backward);
			break;
		case NN_DENSE:
			bias_backward(pass, layer, k);
			each_dense_term(pass, layer, k, conv_term_backward);
			break;
		case NN_BATCHNORM:
			batchnorm_backward(pass, layer, k);
			break;
		case NN_RELU:
			for (size_t i = 0; i < size; i++)
				din[i] = pass->data[k][i] > 0.0 ? dout[i] : 0.0;
			break;
		case NN_MAXPOOL:
			for (size_t o = 0; o < size; o++)
				din[window_maximum(pass, layer, k, o)] += dout[o];
			break;
		case NN_DROPOUT:
			for (size_t i = 0; i < size; i++)
				din[i] = dout[i] * dropout_factor(pass, layer, i);
			break;
	}
}

/* The weighted cross-entropy and its gradient with respect to the logits. */
static double
softmax_loss(const Pass *pass)
{
	const NnBatch *batch = pass->batch;
	double loss = 0.0;

	for (int i = 0; i < batch->n; i++)
	{
		const double *logits = pass->data[pass->net->nlayers] + (size_t) i * NN_CLASSES;
		double *dlogits = pass->grad[pass->net->nlayers] + (size_t) i * NN_CLASSES;
		double sum = 0.0;

		for (int c = 0; c < NN_CLASSES; c++)
			sum += exp(logits[c]);
		for (int c = 0; c < NN_CLASSES; c++)
		{
			double target = batch->targets[i * NN_CLASSES + c];

			loss -= batch->weights[i] * target * (logits[c] - log(sum));
			dlogits[c] = batch->weights[i] * (exp(logits[c]) / sum - target);
		}
	}
	return loss;
}

double
naive_train_step(const NnNet *net, const double *values, double *grads, const NnBatch *batch)
{
	Pass pass = {.net = net, .values = values, .grads = grads, .batch = batch};
	double loss;

	if (grads != NULL)
		memset(grads, 0, net->nvalues * sizeof(double));
	for (int k = 0; k <= net->nlayers; k++)
	{
		size_t size = k < net->nlayers ? in_size(&net->layers[k]) : NN_CLASSES;

		pass.data[k] = calloc(batch->n * size, sizeof(double));
		pass.grad[k] = calloc(batch->n * size, sizeof(double));
		if (pass.data[k] == NULL || pass.grad[k] == NULL)
			abort();
	}
	for (int i = 0; i < batch->n * NN_PIXELS; i++)
		pass.data[0][i] = batch->images[i];

	for (int k = 0; k < net->nlayers; k++)
		layer_forward(&pass, &net->layers[k], k);
	loss = softmax_loss(&pass);
	for (int k = net->nlayers - 1; k >= 0 && grads != NULL; k--)
		layer_backward(&pass, &net->layers[k], k);

	for (int k = 0; k <= net->nlayers; k++)
	{
		free(pass.data[k]);
		free(pass.grad[k]);
	}
	return loss;
}
