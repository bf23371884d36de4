/*
 * optimizer.c: AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019), weight averaging, the schedule of the learning
 * rate.
 *
 * A step works on a slice [from, to) of the flat vectors, so that several processes can share it.  The result for
 * each number does not depend on how the vector is divided into slices.
 */
#include "nn/train/optimizer.h"
#include "nn/kernels/optimizer.h"
#include "nn/nn.h"

#include <math.h>
#include <string.h>

/* Update the running statistics in [from, to), an exponential average of the batches' statistics. */
static void
step_stats(float *values, const float *const *grads, int ngrads, size_t from, size_t to, float momentum)
{
	for (size_t i = from; i < to; i++)
	{
		float sum = 0.0f;

		for (int k = 0; k < ngrads; k++)
			sum += grads[k][i];
		values[i] += momentum * (sum / ngrads - values[i]);
	}
}

void
nn_adam_step(const NnNet *net, float *values, float *m, float *v, const float *const *grads, int ngrads, size_t from,
			 size_t to, const NnAdam *adam)
{
	NnAdamFactors factors;
	size_t done = from;

	factors.rate = (float) (adam->learning_rate / (1.0 - pow(adam->beta1, (double) adam->step)));
	factors.beta1 = adam->beta1;
	factors.beta2 = adam->beta2;
	factors.correction2 = (float) (1.0 / (1.0 - pow(adam->beta2, (double) adam->step)));
	factors.epsilon = adam->epsilon;

	/* Walk over the parameters of the slice in their order: layer by layer, weights, then biases. */
	for (int i = 0; i < net->nlayers && done < to; i++)
	{
		const NnLayer *layer = &net->layers[i];
		bool weights = layer->kind == NN_CONV || layer->kind == NN_DENSE;
		size_t ends[2];

		if (layer->nweight == 0)
			continue;
		ends[0] = layer->weight + layer->nweight;
		ends[1] = layer->bias + layer->out_c;
		for (int part = 0; part < 2; part++)
		{
			size_t end = ends[part] < to ? ends[part] : to;

			factors.decay = weights && part == 0 ? adam->learning_rate * adam->weight_decay : 0.0f;
			if (done < end)
			{
				nn_adam(values, m, v, grads, ngrads, done, end, &factors);
				done = end;
			}
		}
	}
	step_stats(values, grads, ngrads, done, to, adam->stats_momentum);
}

void
nn_average_step(float *average, const float *values, float decay, size_t from, size_t to)
{
	nn_blend(average + from, values + from, decay, 1.0f - decay, to - from);
}

float
nn_one_cycle(int64_t step, int64_t steps, float warmup)
{
	double rise = (double) warmup * (double) steps;
	double progress;

	if ((double) step < rise)
		return (float) fmin(((double) step + 1.0) / (rise + 1.0), 1.0);
	progress = ((double) step - rise) / ((double) steps - rise);
	return (float) (0.5 * (1.0 + cos(M_PI * fmin(progress, 1.0))));
}
