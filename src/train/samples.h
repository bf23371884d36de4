/*
 * samples.h: loading each process's part of the samples.
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
	int64 *ids; /* (n): the newest row of mnist_feedback that counts for the image */
} TrainingSet;

/* One process's part of every set. */
typedef struct TrainingData
{
	TrainingSet sets[TRAINING_NSETS];
} TrainingData;

/*
 * ERRCODE_OUT_OF_MEMORY if a run of nprocesses needs more than mnist_hil.training_memory.  other_bytes: what it needs
 * besides its samples.  SPI is connected.
 */
extern void samples_check_memory(const TrainingOrders *orders, int nprocesses, Size other_bytes);

/*
 * Load the samples of process rank of nprocesses into a memory context, under the active snapshot; SPI is connected.
 * other_bytes: what the run needs besides its samples, over all processes.  ERRCODE_OUT_OF_MEMORY if it needs more
 * than mnist_hil.training_memory in all.
 */
extern TrainingData *samples_load(const TrainingOrders *orders, int rank, int nprocesses, Size other_bytes,
								  MemoryContext context);

#endif /* TRAIN_SAMPLES_H */
