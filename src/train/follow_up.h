/*
 * follow_up.h: what comes after a run: pruning and a report.
 */
#ifndef TRAIN_FOLLOW_UP_H
#define TRAIN_FOLLOW_UP_H

#include "postgres.h"

#include "train/options.h"

/*
 * Remove the weights of old models and store a report, if the orders say so.  An error is stored as an event, or else
 * logged; the run's result is not affected.
 */
extern void follow_up(const TrainingOrders *orders);

#endif /* TRAIN_FOLLOW_UP_H */
