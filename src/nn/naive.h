/*
 * naive.h: every operation of the library as plain loops, summed in double precision.
 *
 * These are what the fast kernels and the training code are tested against.  They define what the layers mean; they
 * are not used to serve or to train.
 */
#ifndef NN_NAIVE_H
#define NN_NAIVE_H

#include "nn/nn.h"

/* All take one image: in (in_h, in_w, in_c), out (out_h, out_w, out_c) of the layer; values is the net's vector. */
extern void nn_naive_conv(const NnLayer *layer, const float *values, const float *in, float *out);
extern void nn_naive_batchnorm(const NnLayer *layer, const float *values, const float *in, float *out);
extern void nn_naive_relu(const NnLayer *layer, const float *in, float *out);
extern void nn_naive_maxpool(const NnLayer *layer, const float *in, float *out);
extern void nn_naive_dense(const NnLayer *layer, const float *values, const float *in, float *out);

/* Any of the above by its kind; dropout copies, as it does in inference.  Batch norm uses its running statistics. */
extern void nn_naive_layer(const NnLayer *layer, const float *values, const float *in, float *out);

/* Probabilities (n) from logits (n). */
extern void nn_naive_softmax(const float *logits, int n, float *probabilities);

/* The whole net on one image of 0..255.  Allocates its activations; returns false where that fails. */
extern bool nn_naive_forward(const NnNet *net, const float *values, const uint8_t *pixels, float *probabilities);

#endif /* NN_NAIVE_H */
