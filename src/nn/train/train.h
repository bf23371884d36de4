/*
 * train.h: one training step: the gradient of a batch.
 */
#ifndef NN_TRAIN_TRAIN_H
#define NN_TRAIN_TRAIN_H

#include <stddef.h>

#include "nn/nn.h"
#include "nn/train/batch.h"

/* Activations and their gradients for one batch, in memory that the caller provides. */
typedef struct NnTrainer NnTrainer;

/* Bytes of memory for nn_trainer_init. */
extern size_t nn_trainer_size(const NnNet *net, int max_batch);

/* Make a trainer for batches of up to max_batch images in memory of nn_trainer_size() bytes, aligned to NN_ALIGN. */
extern NnTrainer *nn_trainer_init(void *memory, const NnNet *net, int max_batch);

/* One forward and backward pass in training mode.  grads (nvalues) is overwritten. */
extern NnLoss nn_train_step(NnTrainer *trainer, const float *values, float *grads, const NnBatch *batch);

/*
 * Compute only the batch's statistics, by a forward pass: every batch norm's mean and unbiased variance are written
 * to the tail of grads (nvalues), and the rest of grads is not changed.  With keep_all and images that are not
 * augmented, these are the statistics of inference ("precise" statistics, Wu and Johnson 2021).  The batch's targets
 * and weights are not used, and frozen must be false.
 */
extern void nn_train_statistics(NnTrainer *trainer, const float *values, float *grads, const NnBatch *batch);

#endif /* NN_TRAIN_TRAIN_H */
