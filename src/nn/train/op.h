/*
 * op.h: the operations of training.
 *
 * nn_trainer_init turns the layers into operations: a convolution; an activation, which is batch norm, ReLU and
 * maximum pooling, each if present, in one pass; dropout; a dense layer; a copy from one layout to another.  Each has
 * forward(out, in) and backward(din, ..., dout, in) for n images.
 */
#ifndef NN_TRAIN_OP_H
#define NN_TRAIN_OP_H

#include <stdbool.h>

#include "nn/kernels/map.h"
#include "nn/nn.h"

typedef enum NnTrainOpKind
{
	NN_TRAIN_COPY, /* between two layouts of the same shape */
	NN_TRAIN_CONV,
	NN_TRAIN_ACTIVATION, /* [batch norm] [ReLU] [maximum pooling] */
	NN_TRAIN_DROPOUT,
	NN_TRAIN_DENSE
} NnTrainOpKind;

typedef struct NnTrainOp
{
	NnTrainOpKind kind;
	const NnLayer *layer; /* of NN_TRAIN_CONV, NN_TRAIN_DROPOUT, NN_TRAIN_DENSE */
	const NnLayer *bn;	  /* of NN_TRAIN_ACTIVATION, or NULL */
	bool relu;
	int pool;				  /* 1: none */
	NnMap in, out, din, dout; /* layouts of the activations and of their gradients */

	/* NN_TRAIN_CONV; (K, K, Cin, Cout) packed, see nn/kernels/pack.h */
	float *packed;	/* weights */
	float *flipped; /* weights turned by 180 degrees and transposed, for the input's gradient */
	float *bias;
	float *zero; /* the bias of the input's gradient */
	float *dweight;
	float *dbias;
	bool winograd; /* packed, flipped and dweight are of transformed weights, see winograd_train.c */
	float *plain;  /* winograd: weights before or after their transform */
	float *in_points;
	float *out_points; /* winograd: transformed tiles */
	float *patches;	   /* the first layer: every pixel's neighbourhood, for a group of images */
	float *framed;	   /* the first layer: one image with its border */
	NnMap patch;

	/* NN_TRAIN_ACTIVATION: per channel; a layer without batch norm has scale 1 and the rest 0 */
	float *scale, *shift; /* forward: x * scale + shift */
	float *mean, *invstd;
	float *slope, *offset; /* backward: dx = dz * scale + x * slope + offset */
	double *sum, *product; /* totals over the batch: x and x^2; then dz and dz * normalised x */
} NnTrainOp;

#endif /* NN_TRAIN_OP_H */
