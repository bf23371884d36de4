/*
 * op.h: the operations of training.
 *
 * nn_trainer_init turns the layers into operations of five kinds.  An activation joins batch norm, ReLU and maximum
 * pooling, each if present.  A copy goes from one layout to another.  The others are convolution, dropout and dense.
 * Each kind has functions forward(out, in) and backward(din, ..., dout, in) for n images.
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

	/* NN_TRAIN_CONV; weights (KH, KW, Cin, Cout) are packed, see nn/kernels/pack.h */
	float *packed;	/* weights */
	float *flipped; /* weights turned by 180 degrees and transposed, for the input's gradient */
	float *bias;
	float *zero; /* the bias of the input's gradient, all zeros */
	float *dweight;
	float *dbias;
	bool winograd; /* packed, flipped and dweight are of transformed weights, see winograd_train.c */
	float *plain;  /* winograd: weights or their gradient, not transformed */
	float *in_points;
	float *out_points; /* winograd: transformed tiles */
	float *patches;	   /* first layer: every pixel's neighbourhood, for a group of images */
	float *framed;	   /* first layer: one image with its border */
	NnMap patch;

	/* NN_TRAIN_ACTIVATION: per channel; without batch norm scale is 1 and the others are 0 */
	float *scale, *shift; /* forward: x * scale + shift */
	float *mean, *invstd;
	float *slope, *offset; /* backward: dx = dz * scale + x * slope + offset */
	double *sum, *product; /* sums over the batch: forward of x and x^2, backward of dz and dz * normalised x */
} NnTrainOp;

#endif /* NN_TRAIN_OP_H */
