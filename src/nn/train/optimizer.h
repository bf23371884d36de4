/*
 * optimizer.h: AdamW, weight averaging, the schedule of the learning rate.
 */
#ifndef NN_TRAIN_OPTIMIZER_H
#define NN_TRAIN_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "nn/nn.h"

typedef struct NnAdam
{
	float learning_rate;
	float beta1, beta2, epsilon;
	float weight_decay;	  /* decoupled (AdamW), for weights only: not for biases, gamma, beta */
	float stats_momentum; /* weight of a batch's statistics in the running average */
	int64_t step;		  /* 1, 2, ... for the bias correction */
} NnAdam;

/*
 * AdamW (Loshchilov and Hutter 2019) on values[from, to), with the sum of ngrads gradients, added in the given order.
 * The running statistics are updated with the mean of the ngrads batches' statistics.  Different processes may update
 * different slices.
 */
extern void nn_adam_step(const NnNet *net, float *values, float *m, float *v, const float *const *grads, int ngrads,
						 size_t from, size_t to, const NnAdam *adam);

/* average = decay * average + (1 - decay) * values, on [from, to). */
extern void nn_average_step(float *average, const float *values, float decay, size_t from, size_t to);

/* The learning rate at a step (0-based) as a fraction of its peak: linear warm-up, then cosine to zero. */
extern float nn_one_cycle(int64_t step, int64_t steps, float warmup);

#endif /* NN_TRAIN_OPTIMIZER_H */
