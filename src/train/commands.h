/*
 * commands.h: what the processes of a run carry out together.
 */
#ifndef TRAIN_COMMANDS_H
#define TRAIN_COMMANDS_H

#include "postgres.h"

#include "train/workers.h"

/* The entry point of a helper, for workers_create. */
#define COMMANDS_HELPER_MAIN "mnist_hil_helper_main"

/* Trainer: have all processes do something, itself included, and return when all have. */
extern void workers_command(Workers *workers, TrainingCommand command);

/* Trainer: have all processes load their shares, under one snapshot; then call a function within it, unless NULL. */
extern void workers_load(Workers *workers, void (*then)(void *argument), void *argument);

/* Trainer: make all processes ready for a fit.  is_trial: see steps_trial_feedback. */
extern void workers_setup(Workers *workers, const Hyperparameters *hyper, bool is_trial);

#endif /* TRAIN_COMMANDS_H */
