/*
 * naive.h: every operation of the library as plain loops, summed in double precision.
 *
 * These functions define what the layers compute.  The tests compare the fast kernels and the training code with
 * them; serving and training do not use them.
 */
#ifndef NN_NAIVE_H
#define NN_NAIVE_H

#include "nn/nn.h"

/*
 * All take one image: in (in_h, in_w, in_c) and out (out_h, out_w, out_c) have the layer's shapes; values is the
 * net's vector.
 */
extern void nn_naive_conv(const NnLayer *layer, const float *values, const float *in, float *out);
extern void nn_naive_batchnorm(const NnLayer *layer, const float *values, const float *in, float *out);
extern void nn_naive_relu(const NnLayer *layer, const float *in, float *out);
extern void nn_naive_maxpool(const NnLayer *layer, const float *in, float *out);
extern void nn_naive_dense(const NnLayer *layer, const float *values, const float *in, float *out);

/* Run a layer of any kind, as in inference: dropout copies, and batch norm uses its running statistics. */
extern void nn_naive_layer(const NnLayer *layer, const float *values, const float *in, float *out);

/* Probabilities (n) from logits (n). */
extern void nn_naive_softmax(const float *logits, int n, float *probabilities);

/* The whole net on one image of 0..255.  Allocates its activations; returns false if that fails. */
extern bool nn_naive_forward(const NnNet *net, const float *values, const uint8_t *pixels, float *probabilities);

#endif /* NN_NAIVE_H */
