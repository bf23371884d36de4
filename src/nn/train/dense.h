/*
 * dense.h: the fully connected layer of training.
 */
#ifndef NN_TRAIN_DENSE_H
#define NN_TRAIN_DENSE_H

#include "nn/train/op.h"

/* out (n, units) = in (n, fan-in) * weights (fan-in, units) + bias. */
extern void nn_dense_forward(const NnTrainOp *op, float *out, const float *in, const float *values, int n);

/* Write the gradients of weights and bias into grads, and din unless it is NULL. */
extern void nn_dense_backward(const NnTrainOp *op, float *din, float *grads, const float *dout, const float *in,
							  const float *values, int n);

#endif /* NN_TRAIN_DENSE_H */
