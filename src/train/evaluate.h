/*
 * evaluate.h: predicting whole sets, one process's part of them.
 */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "postgres.h"

#include "train/workers.h"

/* Do TRAINING_EVALUATE. */
extern void evaluate_sets(Workers *workers);

/* Do TRAINING_COMPARE. */
extern void evaluate_compare(Workers *workers);

/* Do TRAINING_WEIGH: predict this process's feedback and references, with the live model or with the average. */
extern void evaluate_feedback(Workers *workers);

#endif /* TRAIN_EVALUATE_H */
