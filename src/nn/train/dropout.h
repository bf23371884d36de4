/*
 * dropout.h: dropout.
 */
#ifndef NN_TRAIN_DROPOUT_H
#define NN_TRAIN_DROPOUT_H

#include <stdint.h>

#include "nn/train/op.h"

/*
 * out = in under the mask, for n images of which the first is number "first" of the batch.  Backward is the
 * same with the gradients.  Each number is kept by 16 bits of a draw, so the rate is exact to 1/65536.
 */
extern void nn_dropout(const NnTrainOp *op, float *out, const NnMap *out_map, const float *in, const NnMap *in_map,
					   int n, int first, uint64_t key);

#endif /* NN_TRAIN_DROPOUT_H */
