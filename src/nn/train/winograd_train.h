/*
 * winograd_train.h: 3 x 3 convolutions of training with fewer multiplications.
 */
#ifndef NN_TRAIN_WINOGRAD_TRAIN_H
#define NN_TRAIN_WINOGRAD_TRAIN_H

#include "nn/train/layout.h"
#include "nn/train/op.h"

/* Is this a convolution that is better done this way?  Of the same layer always the same answer. */
extern bool nn_winograd_train_fits(const NnLayer *layer);

/* Take the memory for it, in place of what the direct convolution would take. */
extern void nn_winograd_train_init(NnTrainOp *op, NnArena *arena);

/* Transform the weights, both ways, and clear their gradient. */
extern void nn_winograd_train_begin(NnTrainOp *op, const float *values);

/* As nn_conv_forward. */
extern void nn_winograd_train_forward(NnTrainOp *op, float *out, const float *in, int n);

/* Add to the gradient of the transformed weights; write din. */
extern void nn_winograd_train_backward(NnTrainOp *op, float *din, const float *in, const float *dout, int n);

/* The gradient of the weights as (9, Cin, stride). */
extern const float *nn_winograd_train_finish(const NnTrainOp *op);

#endif /* NN_TRAIN_WINOGRAD_TRAIN_H */
