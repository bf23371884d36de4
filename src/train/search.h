/*
 * search.h: the trials of a run.
 */
#ifndef TRAIN_SEARCH_H
#define TRAIN_SEARCH_H

#include "postgres.h"

#include "train/fit.h"

/* What the largest and the smallest of all fits of the run need. */
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
 * Make the run's trials.  Sets run->hyper to those of the best; true: its weights are in TRAINING_AVERAGE, and the
 * workers are set up for it; false: it is yet to be trained in full.
 */
extern bool training_search(TrainingRun *run);

#endif /* TRAIN_SEARCH_H */
