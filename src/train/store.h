/*
 * store.h: what a run has come to, stored.
 */
#ifndef TRAIN_STORE_H
#define TRAIN_STORE_H

#include "postgres.h"

#include "train/record.h"

/* What a run has come to. */
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
 * Write down all that a run comes to.  Fills in the outcome's version, and changes decision and verdict if another
 * model went live meanwhile or the switch cannot be made now; of a run that repeats another the verdict is whether
 * the weights are the same.
 */
extern void store_result(TrainingResult *result);

#endif /* TRAIN_STORE_H */
