/*
 * activation.h: batch norm, ReLU and maximum pooling of training.
 */
#ifndef NN_TRAIN_ACTIVATION_H
#define NN_TRAIN_ACTIVATION_H

#include "nn/train/layout.h"
#include "nn/train/op.h"

/* Take the memory for an activation's vectors of channels. */
extern void nn_activation_init(NnTrainOp *op, NnArena *arena);

/* out = the activation of n images. */
extern void nn_activation_forward(const NnTrainOp *op, float *out, const float *in, int n);

/* din from dout for n images; with batch norm, after nn_batchnorm_backward. */
extern void nn_activation_backward(const NnTrainOp *op, float *din, const float *in, const float *dout, int n);

/* Clear the sums before the first group of a pass. */
extern void nn_batchnorm_begin(NnTrainOp *op);

/* Add n images to the sums of x and x^2. */
extern void nn_batchnorm_observe(NnTrainOp *op, const float *in, int n);

/*
 * From the sums over a batch of n: scale and shift, and the batch's mean and unbiased variance into grads; frozen:
 * from the running statistics, which go into grads as they are.
 */
extern void nn_batchnorm_forward(NnTrainOp *op, const float *values, float *grads, int n, bool frozen);

/* Add n images to the sums of the gradient that nn_batchnorm_backward needs. */
extern void nn_batchnorm_reduce(NnTrainOp *op, const float *in, const float *dout, int n);

/*
 * From the sums over a batch of n: the gradients of gamma and beta, and the terms of din that all images share, of
 * which there are none where the statistics are frozen.
 */
extern void nn_batchnorm_backward(NnTrainOp *op, float *grads, int n, bool frozen);

#endif /* NN_TRAIN_ACTIVATION_H */
