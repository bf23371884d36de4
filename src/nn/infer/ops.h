/*
 * ops.h: the contents of a plan, for plan.c and forward.c.
 *
 * The operations before the first dense layer (the front) run image by image, on buffers small enough for the nearest
 * caches.  The others (the tail) run on several images at once, as rows of a matrix, so that the large matrices of
 * dense layers are read once for all of these images.
 */
#ifndef NN_INFER_OPS_H
#define NN_INFER_OPS_H

#include "nn/infer/plan.h"
#include "nn/kernels/affine.h"

/* How many images the tail takes at once: the width of the widest tile; more would not be faster. */
#define NN_GROUP NN_MAX_TILE

typedef enum NnOpKind
{
	NN_OP_AFFINE, /* convolution or dense, with the batch norm, ReLU and pooling after it */
	NN_OP_SCALE,  /* a batch norm that cannot be folded into an NN_OP_AFFINE; with the ReLU after it */
	NN_OP_RELU,
	NN_OP_MAXPOOL
} NnOpKind;

/* Activations (h, w, c) with a border of zeros, pad_h rows and pad_w columns, for the convolution that reads them. */
typedef struct NnShape
{
	int h;
	int w;
	int c;
	int pad_h;
	int pad_w;
} NnShape;

typedef struct NnOp
{
	NnOpKind kind;
	NnShape in;
	NnShape out;
	int pool;
	bool relu;
	int winograd;	 /* NN_OP_AFFINE: m (2 or 4) if winograd.c computes it, with transformed weights; else 0 */
	int first_layer; /* the operation's first layer in the net, for filling in the weights */
	int end_layer;	 /* the layer after its last */
	size_t weights;	 /* offset of the weights from the plan's start, in bytes; for NN_OP_SCALE of the scales */
	size_t bias;	 /* likewise of the bias; for NN_OP_SCALE of the shifts */
	NnAffine affine; /* NN_OP_AFFINE */
} NnOp;

struct NnPlan
{
	size_t size;		 /* of the plan, in bytes */
	size_t cost;		 /* of one image, in multiply-adds; other work is converted to them */
	size_t front_floats; /* of one of the front's two buffers */
	size_t work_floats;	 /* of scratch memory for winograd.c */
	size_t row_floats;	 /* of a row of the tail's two matrices */
	int nops;
	int nfront; /* how many of the operations are the front */
	NnShape input;
	NnOp ops[NN_MAX_LAYERS];
};

/* The address at an offset from the plan's start. */
static inline void *
nn_plan_at(const NnPlan *plan, size_t offset)
{
	return (char *) plan + offset;
}

/* Floats from one row of the tail's matrices to the next: no power of two, so that rows use different cache sets. */
static inline size_t
nn_row_floats(const NnShape *shape)
{
	size_t n = (size_t) shape->h * (size_t) shape->w * (size_t) shape->c;

	return (n + NN_BLOCK - 1) / NN_BLOCK * NN_BLOCK + NN_BLOCK;
}

#endif /* NN_INFER_OPS_H */
