/*
 * activation.h: batch norm, ReLU and maximum pooling of training.
 */
#ifndef NN_TRAIN_ACTIVATION_H
#define NN_TRAIN_ACTIVATION_H

#include "nn/train/layout.h"
#include "nn/train/op.h"

/* Take memory for an activation's vectors, which have one number per channel. */
extern void nn_activation_init(NnTrainOp *op, NnArena *arena);

/* out = the activation of n images. */
extern void nn_activation_forward(const NnTrainOp *op, float *out, const float *in, int n);

/* din from dout for n images; with batch norm, nn_batchnorm_backward must have been called before. */
extern void nn_activation_backward(const NnTrainOp *op, float *din, const float *in, const float *dout, int n);

/* Clear the sums before the first group of a pass. */
extern void nn_batchnorm_begin(NnTrainOp *op);

/* Add n images to the sums of x and x^2. */
extern void nn_batchnorm_observe(NnTrainOp *op, const float *in, int n);

/*
 * Compute scale and shift from the sums over a batch of n, and write the batch's mean and unbiased variance into
 * grads.  With frozen the running statistics take the place of the batch's.
 */
extern void nn_batchnorm_forward(NnTrainOp *op, const float *values, float *grads, int n, bool frozen);

/* Add n images to the sums over the gradient that nn_batchnorm_backward needs. */
extern void nn_batchnorm_reduce(NnTrainOp *op, const float *in, const float *dout, int n);

/*
 * Compute, from the sums over a batch of n, the gradients of gamma and beta and the factors slope and offset of din,
 * which are 0 if the statistics are frozen.
 */
extern void nn_batchnorm_backward(NnTrainOp *op, float *grads, int n, bool frozen);

#endif /* NN_TRAIN_ACTIVATION_H */
