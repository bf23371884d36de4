/*
 * loss.c: softmax and cross-entropy, with soft targets and a weight for each image.
 */
#include "nn/train/loss.h"
#include "nn/nn.h"

#include <math.h>

NnLoss
nn_softmax_loss(float *dlogits, const float *logits, size_t stride, const NnBatch *batch)
{
	NnLoss result = {0.0, 0};

	for (int i = 0; i < batch->n; i++, logits += stride, dlogits += stride)
	{
		const float *target = batch->targets + (size_t) i * NN_CLASSES;
		float weight = batch->weights[i];
		const int best = nn_best_class(logits);
		const int wanted = nn_best_class(target);
		float sum = 0.0f;
		double loss = 0.0;
		float log_sum;

		for (int c = 0; c < NN_CLASSES; c++)
		{
			dlogits[c] = expf(logits[c] - logits[best]);
			sum += dlogits[c];
		}
		log_sum = logits[best] + logf(sum);
		for (int c = 0; c < NN_CLASSES; c++)
		{
			loss -= (double) target[c] * (logits[c] - log_sum);
			dlogits[c] = weight * (dlogits[c] / sum - target[c]);
		}
		result.loss += weight * loss;
		result.correct += best == wanted;
	}
	return result;
}
