/*
 * train.h: one training step: the gradient of a batch.
 */
#ifndef NN_TRAIN_TRAIN_H
#define NN_TRAIN_TRAIN_H

#include <stddef.h>

#include "nn/nn.h"
#include "nn/train/batch.h"

/* Activations, masks and gradients of activations for one mini-batch, in memory the caller gives. */
typedef struct NnTrainer NnTrainer;

/* Bytes of memory for nn_trainer_init. */
extern size_t nn_trainer_size(const NnNet *net, int max_batch);

/* Make a trainer for batches of up to max_batch images in memory of nn_trainer_size() bytes, aligned to NN_ALIGN. */
extern NnTrainer *nn_trainer_init(void *memory, const NnNet *net, int max_batch);

/* One forward and backward pass in training mode.  grads (nvalues) is overwritten. */
extern NnLoss nn_train_step(NnTrainer *trainer, const float *values, float *grads, const NnBatch *batch);

/*
 * The batch's statistics alone, by a forward pass: every batch norm's mean and unbiased variance go to the tail of
 * grads (nvalues), whose head is left as it is.  With keep_all and plain images this is what inference meets (Wu
 * and Johnson 2021, "precise" statistics).  Of the batch only n, images, seed and keep_all matter.
 */
extern void nn_train_statistics(NnTrainer *trainer, const float *values, float *grads, const NnBatch *batch);

#endif /* NN_TRAIN_TRAIN_H */
