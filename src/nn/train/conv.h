/*
 * conv.h: the convolution of training, forward and backward.
 */
#ifndef NN_TRAIN_CONV_H
#define NN_TRAIN_CONV_H

#include "nn/train/layout.h"
#include "nn/train/op.h"

/* Take the convolution's memory, for groups of up to "group" images. */
extern void nn_conv_init(NnTrainOp *op, NnArena *arena, int group);

/* Prepare the weights for a step and clear the gradients. */
extern void nn_conv_begin(NnTrainOp *op, const float *values);

/* out (n, OH, OW, Cout) = in (n, H, W, Cin) * weights + bias. */
extern void nn_conv_forward(NnTrainOp *op, float *out, const float *in, int n);

/* Add the contribution of n images to the gradients of weights and bias; write din unless it is NULL. */
extern void nn_conv_backward(NnTrainOp *op, float *din, const float *in, float *dout, int n);

/* Write the gradients of weights and bias to grads. */
extern void nn_conv_finish(const NnTrainOp *op, float *grads);

#endif /* NN_TRAIN_CONV_H */
