/*
 * dropout.h: dropout.
 */
#ifndef NN_TRAIN_DROPOUT_H
#define NN_TRAIN_DROPOUT_H

#include <stdint.h>

#include "nn/train/op.h"

/*
 * Write in, with the mask applied, to out, for n images from number "first" of the batch on.  Backward does the same
 * with the gradients.  16 bits of a draw decide whether a number is kept, so the rate is exact to 1/65536.
 */
extern void nn_dropout(const NnTrainOp *op, float *out, const NnMap *out_map, const float *in, const NnMap *in_map,
					   int n, int first, uint64_t key);

#endif /* NN_TRAIN_DROPOUT_H */
