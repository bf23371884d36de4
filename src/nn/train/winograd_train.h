/*
 * winograd_train.h: 3 x 3 convolutions of training with fewer multiplications.
 */
#ifndef NN_TRAIN_WINOGRAD_TRAIN_H
#define NN_TRAIN_WINOGRAD_TRAIN_H

#include "nn/train/layout.h"
#include "nn/train/op.h"

/* Is this convolution done this way?  The answer depends on the layer alone. */
extern bool nn_winograd_train_fits(const NnLayer *layer);

/* Take its memory, instead of that of the direct convolution. */
extern void nn_winograd_train_init(NnTrainOp *op, NnArena *arena);

/* Transform the weights, for forward and for backward, and clear their gradient. */
extern void nn_winograd_train_begin(NnTrainOp *op, const float *values);

/* As nn_conv_forward. */
extern void nn_winograd_train_forward(NnTrainOp *op, float *out, const float *in, int n);

/* Add to the gradient of the transformed weights; write din. */
extern void nn_winograd_train_backward(NnTrainOp *op, float *din, const float *in, const float *dout, int n);

/* The gradient of the weights as (9, Cin, stride). */
extern const float *nn_winograd_train_finish(const NnTrainOp *op);

#endif /* NN_TRAIN_WINOGRAD_TRAIN_H */
