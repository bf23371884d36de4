/*
 * loss.h: softmax and cross-entropy.
 */
#ifndef NN_TRAIN_LOSS_H
#define NN_TRAIN_LOSS_H

#include <stddef.h>

#include "nn/train/batch.h"

/*
 * Returns the weighted loss of a batch and fills dlogits (n, stride), its gradient:
 * weight * (softmax(logits) - target).
 * loss = -sum_i weight_i sum_c target_ic log softmax(logits_i)_c.
 */
extern NnLoss nn_softmax_loss(float *dlogits, const float *logits, size_t stride, const NnBatch *batch);

#endif /* NN_TRAIN_LOSS_H */
