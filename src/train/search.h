/*
 * search.h: the trials of a run.
 */
#ifndef TRAIN_SEARCH_H
#define TRAIN_SEARCH_H

#include "postgres.h"

#include "train/fit.h"

/* The size of the largest network, and the batch sizes, of all fits of the run. */
typedef struct TrainingLimits
{
	Size nvalues;
	int smallest_batch;
	int largest_batch;
} TrainingLimits;

extern void training_limits(const Hyperparameters *hyper, const TrainingStudy *study, TrainingLimits *limits);

/* Memory that each process needs for any of the fits. */
extern Size training_search_bytes(const Hyperparameters *hyper, const TrainingStudy *study,
								  const TrainingLimits *limits, const NnNet *live_net, int nprocesses);

/*
 * Make the run's trials, and set run->hyper to the hyperparameters of the best one.  Returns true if its weights are
 * in TRAINING_AVERAGE and the workers are set up for it, false if it must still be trained in full.
 */
extern bool training_search(TrainingRun *run);

#endif /* TRAIN_SEARCH_H */
