/*
 * budget.h: keeping a run within its time budget.
 */
#ifndef TRAIN_BUDGET_H
#define TRAIN_BUDGET_H

#include "postgres.h"

#include "train/fit.h"

/* Seconds until the run must have ended; infinite without a time budget. */
extern double budget_left(const TrainingRun *run);

/*
 * Train in full within that many seconds, the gate included: with fewer epochs than fit->hyper has, if these would
 * take longer, but with one at least.  hyper: the same as fit->hyper; its epochs and stop_epoch are set to what was
 * trained.
 */
extern TrainingFitEnd budget_fit(TrainingFit *fit, Hyperparameters *hyper, double seconds);

/* Record what the run left out for lack of time, if anything, and its hyperparameters. */
extern void budget_record(TrainingRun *run);

#endif /* TRAIN_BUDGET_H */
