/*
 * trials.h: what a run writes into the tables of trials and reads from them.
 */
#ifndef TRAIN_TRIALS_H
#define TRAIN_TRIALS_H

#include "postgres.h"

#include "train/record.h"

/* How a trial ended. */
typedef enum TrainingTrialEnd
{
	TRAINING_TRIAL_SUCCEEDED,
	TRAINING_TRIAL_PRUNED,
	TRAINING_TRIAL_FAILED,	 /* it diverged */
	TRAINING_TRIAL_CANCELLED /* the time of the search was over; as if it had not been made */
} TrainingTrialEnd;

/* A trial on record. */
typedef struct TrainingTrial
{
	TrainingTrialEnd end;
	char **parameters; /* in the order of the names asked for; NULL: not recorded */
	double value;
	int nreports;
	double *reports;
} TrainingTrial;

/*
 * Read the study of an earlier run, with the hyperparameters and data sets that it began with; SPI is connected.
 * Throws ERRCODE_UNDEFINED_OBJECT or ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE.
 */
extern void trials_read_study(int64 run_id, Hyperparameters *hyper, TrainingOrders *orders, TrainingStudy *study);

/* Copy the trials of another run, with their curves, in the transaction that adds this run's row. */
extern void trials_take_over(int64 run_id, int64 from_run);

/*
 * Read the run's trials that have ended, in order, into a memory context, with their parameters of the given names.
 * Returns how many there are.
 */
extern int trials_read(int64 run_id, const char *const *names, int nnames, TrainingTrial **trials,
					   MemoryContext context);

/* Put a trial on record before it begins. */
extern void trials_start(int64 run_id, int trial, const char *architecture, const char *parameters);

/* Close the row of the trial under way.  report: its last one; error: NULL if there was none. */
extern void trials_end(int64 run_id, TrainingTrialEnd end, const TrainingReport *report, double epochs,
					   const char *error, int sqlerrcode);

/*
 * Record which trial was the best, and its hyperparameters as the run's.  kept: the trial's training is the run's, so
 * its curve is copied.
 */
extern void trials_choose(int64 run_id, int trial, const Hyperparameters *hyper, bool kept);

#endif /* TRAIN_TRIALS_H */
