/*
 * commands.h: the commands that all processes of a run carry out together.
 */
#ifndef TRAIN_COMMANDS_H
#define TRAIN_COMMANDS_H

#include "postgres.h"

#include "train/workers.h"

/* The entry point of a helper, for workers_create. */
#define COMMANDS_HELPER_MAIN "mnist_hil_helper_main"

/* Trainer: have all processes carry out a command, this one included.  Returns when all have done so. */
extern void workers_command(Workers *workers, TrainingCommand command);

/*
 * Trainer: have all processes load their samples under one snapshot.  "then", unless NULL, is called afterwards in
 * the transaction that exported the snapshot.
 */
extern void workers_load(Workers *workers, void (*then)(void *argument), void *argument);

/* Trainer: make all processes ready for a fit.  is_trial: see steps_trial_feedback. */
extern void workers_setup(Workers *workers, const Hyperparameters *hyper, bool is_trial);

#endif /* TRAIN_COMMANDS_H */
