/*
 * samples.h: each process's share of the samples.
 */
#ifndef TRAIN_SAMPLES_H
#define TRAIN_SAMPLES_H

#include "postgres.h"

#include "train/options.h"
#include "train/sets.h"

typedef struct TrainingSet
{
	int n;
	uint8 *pixels; /* (n, 784) */
	uint8 *labels; /* (n) */
	/* of feedback to train on, else NULL */
	float *weights; /* (n): how much each counts, above 0, at most 1 */
	/* of all feedback, else NULL */
	int64 *ids; /* (n): a row of mnist_feedback that it rests on */
} TrainingSet;

/* One process's share of every set. */
typedef struct TrainingData
{
	TrainingSet sets[TRAINING_NSETS];
} TrainingData;

/* Check that a run of so many processes, which needs other_bytes besides its samples, may have the memory. */
extern void samples_check_memory(const TrainingOrders *orders, int nprocesses, Size other_bytes);

/*
 * Load share rank of nprocesses into a memory context, under the snapshot at hand; SPI is connected.
 * other_bytes: what the run needs besides, over all processes; ERRCODE_OUT_OF_MEMORY if all of it is more than
 * mnist_hil.training_memory.
 */
extern TrainingData *samples_load(const TrainingOrders *orders, int rank, int nprocesses, Size other_bytes,
								  MemoryContext context);

#endif /* TRAIN_SAMPLES_H */
