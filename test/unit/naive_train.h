/*
 * naive_train.h: a training step as plain loops in double precision, the reference for the fast step.
 */
#ifndef NAIVE_TRAIN_H
#define NAIVE_TRAIN_H

#include "nn/nn.h"
#include "nn/train/batch.h"

/* As nn_train_step, in double precision.  If grads is NULL, only the loss is computed. */
extern double naive_train_step(const NnNet *net, const double *values, double *grads, const NnBatch *batch);

#endif /* NAIVE_TRAIN_H */
