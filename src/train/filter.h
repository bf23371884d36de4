/*
 * filter.h: the label-noise filter.
 */
#ifndef TRAIN_FILTER_H
#define TRAIN_FILTER_H

#include "postgres.h"

#include "train/workers.h"

/*
 * Find labels in a run's feedback that are probably wrong, and exclude them in its snapshot.  *workers is set while
 * processes are at work: after an error the caller has to end them.
 */
extern void filter_labels(const TrainingOrders *orders, const TrainingParent *parent, const WorkerHome *home,
						  Workers **workers);

#endif /* TRAIN_FILTER_H */
