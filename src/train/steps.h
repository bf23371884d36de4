/*
 * steps.h: the steps of training, one process's part of them.
 */
#ifndef TRAIN_STEPS_H
#define TRAIN_STEPS_H

#include "postgres.h"

#include "nn/infer/plan.h"
#include "train/workers.h"

/* Memory that each process of the run needs for steps and evaluation, in bytes. */
extern Size steps_bytes(const Hyperparameters *hyper, const NnNet *net, const NnNet *live_net, int nprocesses);

/* Images of a process's feedback that trials are not trained on but validated with: one in five, the last ones. */
extern int steps_trial_feedback(const Workers *workers, int64 feedback);

/* Make everything ready for steps and evaluation, once the data is loaded. */
extern void steps_init(Workers *workers);

/* Trainer: start from TRAINING_VALUES: copy them to the average, and clear Adam's moments. */
extern void steps_begin(const Workers *workers);

/* Do TRAINING_STEPS. */
extern void steps_run(Workers *workers);

#define STEPS_CALIBRATE_IMAGES 16384 /* over all processes */

/* Do TRAINING_CALIBRATE: compute the average's batch norm statistics from base images without augmentation. */
extern void steps_calibrate(Workers *workers);

/* Do TRAINING_FOLD. */
extern void steps_fold(Workers *workers);

/* Learning rate at a step of all_steps. */
extern float steps_learning_rate(const Hyperparameters *hyper, int64 step, int64 all_steps);

/* The live model, ready to predict up to EVALUATE_CHUNK images at once. */
extern const NnPlan *steps_live_plan(const Workers *workers, void **scratch);

/* A vector's weights, ready to predict as many images; scratch is allocated in the current memory context. */
extern const NnPlan *steps_plan(const Workers *workers, TrainingVector vector, void **scratch);

#define EVALUATE_CHUNK 64 /* images predicted between two checks for interrupts */

#endif /* TRAIN_STEPS_H */
