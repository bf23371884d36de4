/*
 * store.h: storing the result of a run.
 */
#ifndef TRAIN_STORE_H
#define TRAIN_STORE_H

#include "postgres.h"

#include "train/record.h"

/* The result of a run. */
typedef struct TrainingResult
{
	const Hyperparameters *hyper;
	const TrainingOrders *orders;
	const TrainingParent *parent;
	const NnNet *net;
	const float *values;
	const char *gate; /* as JSON */
	const char *requested_by;
	TrainingOutcome *outcome;
} TrainingResult;

/*
 * Store the result of a run.  Sets the outcome's version.  Changes decision and verdict if another model went live
 * meanwhile or the switch is postponed.  If the run repeats another one, the verdict says whether the weights are the
 * same.
 */
extern void store_result(TrainingResult *result);

#endif /* TRAIN_STORE_H */
