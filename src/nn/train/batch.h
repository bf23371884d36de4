/*
 * batch.h: a batch of images to learn from, and its loss.
 */
#ifndef NN_TRAIN_BATCH_H
#define NN_TRAIN_BATCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct NnBatch
{
	int n;
	const float *images;  /* (n, 28, 28), 0..1 */
	const float *targets; /* (n, 10), each row sums to 1 (soft labels are welcome) */
	const float *weights; /* (n): the image's weight in the loss; for a mean over the batch, 1/n */
	uint64_t seed;		  /* for dropout; masks depend on nothing else */
	bool frozen;		  /* batch norm goes by its running statistics, and leaves them as they are */
	bool keep_all;		  /* no dropout */
} NnBatch;

typedef struct NnLoss
{
	double loss; /* weighted sum of cross-entropies */
	int correct; /* images whose arg max agrees with their target's */
} NnLoss;

#endif /* NN_TRAIN_BATCH_H */
