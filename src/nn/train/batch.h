/*
 * batch.h: a batch of training images and its loss.
 */
#ifndef NN_TRAIN_BATCH_H
#define NN_TRAIN_BATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct NnBatch
{
	int n;
	const float *images;  /* (n, 28, 28), 0..1 */
	const float *targets; /* (n, 10), each row sums to 1; labels may be soft */
	const float *weights; /* (n), each image's weight in the loss; 1/n gives the mean over the batch */
	uint64_t seed;		  /* for dropout: decides the masks, with the layer and the image's place in the batch */
	bool frozen;		  /* batch norm uses its running statistics and does not change them */
	bool keep_all;		  /* no dropout */
} NnBatch;

typedef struct NnLoss
{
	double loss; /* weighted sum of cross-entropies */
	int correct; /* images whose highest logit is that of their target's highest class */
} NnLoss;

#endif /* NN_TRAIN_BATCH_H */
