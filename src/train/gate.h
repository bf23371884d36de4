/*
 * gate.h: choosing the candidate, and deciding whether it goes live.
 */
#ifndef TRAIN_GATE_H
#define TRAIN_GATE_H

#include "postgres.h"

#include "train/request.h"
#include "train/workers.h"

/* Predict sets (a mask of TRAINING_SET_BITs) with a vector's weights, all processes together. */
extern TrainingScores gate_evaluate(Workers *workers, TrainingVector vector, uint32 sets);

#define GATE_BLENDS 4 /* that fine-tuning chooses from */

/* Choose the candidate, and leave it in TRAINING_VALUES. */
extern void gate_choose(Workers *workers);

/* Predict sets with candidate and live model, all processes together; their scores go into the outcome. */
extern void gate_compare(Workers *workers, uint32 sets, TrainingComparison comparison[TRAINING_NSETS],
						 TrainingOutcome *outcome);

/*
 * Decide whether the candidate passes.  Sets the outcome's decision and verdict, and returns all figures as JSON, for
 * mnist_run.gate.
 */
extern char *gate_decide(const Hyperparameters *hyper, const TrainingOrders *orders, int live_version,
						 const TrainingComparison comparison[TRAINING_NSETS], TrainingOutcome *outcome);

#endif /* TRAIN_GATE_H */
