/*
 * layers.h: what the training half's files share: layouts, operations, and each layer family's functions.
 *
 * Layout.  The channels of a pixel lie next to each other, padded to a multiple of NN_GRAIN floats, so that no
 * kernel has a remainder to care for; the padding is zero and stays zero.  A map may have a border of zero
 * pixels, put there once, so that a convolution never asks where an image ends.  Every pointer to a map's data
 * points to the first pixel of the first image inside the border.
 *
 * Operations.  nn_trainer_init turns the layers into operations: a convolution; an activation, which is batch
 * norm, ReLU and maximum pooling, each if present, in one pass; dropout; a dense layer; a copy from one layout
 * to another. Each has forward(out, in) and backward(din, ..., dout, in) for n images.
 */
#ifndef NN_LAYERS_H
#define NN_LAYERS_H

#include "nn/nn.h"

#define NN_GRAIN 16 /* floats: the widest vector */
#define NN_STRIDE(c) (((c) + NN_GRAIN - 1) / NN_GRAIN * NN_GRAIN)

/* Where the numbers of a batch of images lie. */
typedef struct NnMap
{
	int h, w, c;
	int stride;	   /* floats from one pixel to the next */
	size_t row;	   /* floats from one row to the next */
	size_t image;  /* floats from one image to the next */
	size_t origin; /* floats of border before the first pixel */
} NnMap;

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

	/* NN_TRAIN_CONV; (K, K, Cin, Cout) in panels, see conv.c */
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

/* Memory handed out piece by piece; with base NULL it is only counted. */
typedef struct NnArena
{
	char *base;
	size_t used;
} NnArena;

/* The next piece, aligned to NN_ALIGN. */
extern void *nn_arena_take(NnArena *arena, size_t bytes);

/*
 * A map of the given shape with a border of pad_h rows above and below and pad_w columns left and right, and
 * "more" rows below and columns right.
 */
extern NnMap nn_map(int h, int w, int c, int stride, int pad_h, int pad_w, int more);

/* conv.c */
extern void nn_conv_init(NnTrainOp *op, NnArena *arena, int group);
extern void nn_conv_begin(NnTrainOp *op, const float *values);
extern void nn_conv_forward(NnTrainOp *op, float *out, const float *in, int n);
extern void nn_conv_backward(NnTrainOp *op, float *din, const float *in, float *dout, int n);
extern void nn_conv_finish(const NnTrainOp *op, float *grads);

/* winograd_train.c */
extern bool nn_winograd_train_fits(const NnLayer *layer);
extern void nn_winograd_train_init(NnTrainOp *op, NnArena *arena);
extern void nn_winograd_train_begin(NnTrainOp *op, const float *values);
extern void nn_winograd_train_forward(NnTrainOp *op, float *out, const float *in, int n);
extern void nn_winograd_train_backward(NnTrainOp *op, float *din, const float *in, const float *dout, int n);
extern const float *nn_winograd_train_finish(const NnTrainOp *op);

/* activation.c */
extern void nn_activation_init(NnTrainOp *op, NnArena *arena);
extern void nn_activation_forward(const NnTrainOp *op, float *out, const float *in, int n);
extern void nn_activation_backward(const NnTrainOp *op, float *din, const float *in, const float *dout, int n);
extern void nn_batchnorm_begin(NnTrainOp *op);
extern void nn_batchnorm_observe(NnTrainOp *op, const float *in, int n);
extern void nn_batchnorm_forward(NnTrainOp *op, const float *values, float *grads, int n, bool frozen);
extern void nn_batchnorm_reduce(NnTrainOp *op, const float *in, const float *dout, int n);
extern void nn_batchnorm_backward(NnTrainOp *op, float *grads, int n, bool frozen);

/* dropout.c */
extern void nn_dropout(const NnTrainOp *op, float *out, const NnMap *out_map, const float *in, const NnMap *in_map,
					   int n, int first, uint64_t key);

/* dense.c */
extern void nn_dense_forward(const NnTrainOp *op, float *out, const float *in, const float *values, int n);
extern void nn_dense_backward(const NnTrainOp *op, float *din, float *grads, const float *dout, const float *in,
							  const float *values, int n);

/* loss.c */
extern NnLoss nn_softmax_loss(float *dlogits, const float *logits, size_t stride, const NnBatch *batch);

#endif /* NN_LAYERS_H */
