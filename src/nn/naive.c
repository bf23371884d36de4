/*
 * naive.c: every layer as plain loops, the reference for the fast code.
 */
#include "nn/naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Position of (y, x, c) in an image of w columns and nc channels. */
static size_t
at(int y, int x, int c, int w, int nc)
{
	return ((size_t) y * (size_t) w + (size_t) x) * (size_t) nc + (size_t) c;
}

/* One output of a convolution. */
static double
conv_output(const NnLayer *layer, const float *values, const float *in, int y, int x, int c)
{
	const float *weights = values + layer->weight;
	double sum = values[layer->bias + (size_t) c];

	for (int ky = 0; ky < layer->kernel_h; ky++)
	{
		for (int kx = 0; kx < layer->kernel_w; kx++)
		{
			int iy = y + ky - layer->pad_h;
			int ix = x + kx - layer->pad_w;

			if (iy < 0 || iy >= layer->in_h || ix < 0 || ix >= layer->in_w)
				continue;
			for (int ci = 0; ci < layer->in_c; ci++)
			{
				size_t k = at(ky, kx, ci, layer->kernel_w, layer->in_c);

				sum += (double) in[at(iy, ix, ci, layer->in_w, layer->in_c)] *
					   (double) weights[k * (size_t) layer->out_c + (size_t) c];
			}
		}
	}
	return sum;
}

void
nn_naive_conv(const NnLayer *layer, const float *values, const float *in, float *out)
{
	for (int y = 0; y < layer->out_h; y++)
	{
		for (int x = 0; x < layer->out_w; x++)
		{
			for (int c = 0; c < layer->out_c; c++)
				out[at(y, x, c, layer->out_w, layer->out_c)] = (float) conv_output(layer, values, in, y, x, c);
		}
	}
}

void
nn_naive_batchnorm(const NnLayer *layer, const float *values, const float *in, float *out)
{
	const size_t pixels = (size_t) layer->in_h * (size_t) layer->in_w;
	const size_t channels = (size_t) layer->in_c;

	for (size_t i = 0; i < pixels; i++)
	{
		for (size_t c = 0; c < channels; c++)
		{
			double deviation = sqrt((double) values[layer->var + c] + (double) NN_BN_EPSILON);
			double normal = ((double) in[i * channels + c] - values[layer->mean + c]) / deviation;

			out[i * channels + c] = (float) (normal * values[layer->weight + c] + values[layer->bias + c]);
		}
	}
}

void
nn_naive_relu(const NnLayer *layer, const float *in, float *out)
{
	const size_t n = (size_t) layer->in_h * (size_t) layer->in_w * (size_t) layer->in_c;

	for (size_t i = 0; i < n; i++)
		out[i] = in[i] > 0.0f ? in[i] : 0.0f;
}

void
nn_naive_maxpool(const NnLayer *layer, const float *in, float *out)
{
	for (int y = 0; y < layer->out_h; y++)
	{
		for (int x = 0; x < layer->out_w; x++)
		{
			for (int c = 0; c < layer->out_c; c++)
			{
				float best = -INFINITY;

				for (int i = 0; i < layer->pool * layer->pool; i++)
				{
					int iy = y * layer->pool + i / layer->pool;
					int ix = x * layer->pool + i % layer->pool;

					best = fmaxf(best, in[at(iy, ix, c, layer->in_w, layer->in_c)]);
				}
				out[at(y, x, c, layer->out_w, layer->out_c)] = best;
			}
		}
	}
}

void
nn_naive_dense(const NnLayer *layer, const float *values, const float *in, float *out)
{
	const size_t fan_in = (size_t) layer->in_h * (size_t) layer->in_w * (size_t) layer->in_c;
	const size_t units = (size_t) layer->out_c;

	for (size_t c = 0; c < units; c++)
	{
		double sum = values[layer->bias + c];

		for (size_t k = 0; k < fan_in; k++)
			sum += (double) in[k] * (double) values[layer->weight + k * units + c];
		out[c] = (float) sum;
	}
}

void
nn_naive_layer(const NnLayer *layer, const float *values, const float *in, float *out)
{
	switch (layer->kind)
	{
		case NN_CONV:
			nn_naive_conv(layer, values, in, out);
			break;
		case NN_BATCHNORM:
			nn_naive_batchnorm(layer, values, in, out);
			break;
		case NN_RELU:
			nn_naive_relu(layer, in, out);
			break;
		case NN_MAXPOOL:
			nn_naive_maxpool(layer, in, out);
			break;
		case NN_DROPOUT:
			memcpy(out, in, (size_t) layer->in_h * (size_t) layer->in_w * (size_t) layer->in_c * sizeof(float));
			break;
		case NN_DENSE:
			nn_naive_dense(layer, values, in, out);
			break;
	}
}

void
nn_naive_softmax(const float *logits, int n, float *probabilities)
{
	double best = logits[0];
	double sum = 0.0;

	for (int i = 1; i < n; i++)
		best = fmax(best, logits[i]);
	for (int i = 0; i < n; i++)
		sum += exp(logits[i] - best);
	for (int i = 0; i < n; i++)
		probabilities[i] = (float) (exp(logits[i] - best) / sum);
}

bool
nn_naive_forward(const NnNet *net, const float *values, const uint8_t *pixels, float *probabilities)
{
	float *in = malloc(NN_MAX_ACTIVATIONS * sizeof(float));
	float *out = malloc(NN_MAX_ACTIVATIONS * sizeof(float));
	bool ok = in != NULL && out != NULL;

	for (int i = 0; ok && i < NN_PIXELS; i++)
		in[i] = (float) pixels[i] / 255.0f;
	for (int i = 0; ok && i < net->nlayers; i++)
	{
		float *swap = in;

		nn_naive_layer(&net->layers[i], values, in, out);
		in = out;
		out = swap;
	}
	if (ok)
		nn_naive_softmax(in, NN_CLASSES, probabilities);
	free(in);
	free(out);
	return ok;
}
