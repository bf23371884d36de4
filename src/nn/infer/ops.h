/*
 * ops.h: the inside of a plan, for plan.c and forward.c.
 *
 * The operations up to the first dense layer (the front) run image by image on buffers small enough for the nearest
 * caches; from there on (the tail) they run on several images at once, as rows of a matrix, so that the
 * large matrices of dense layers are read once for all of them.
 */
#ifndef NN_INFER_OPS_H
#define NN_INFER_OPS_H

#include "nn/infer/plan.h"
#include "nn/kernels/affine.h"

/* How many images the tail takes at once: no more than the widest tile, which is all that helps. */
#define NN_GROUP NN_MAX_TILE

typedef enum NnOpKind
{
	NN_OP_AFFINE, /* convolution or dense, with what follows it: batch norm, ReLU, pooling */
	NN_OP_SCALE,  /* a batch norm with nothing before it to fold into; with ReLU */
	NN_OP_RELU,
	NN_OP_MAXPOOL
} NnOpKind;

/* Activations (h, w, c) between rows and columns of zeros, which the convolution after it needs. */
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
	int winograd;	 /* NN_OP_AFFINE done by winograd.c with these tiles, and weights to match; or 0 */
	int first_layer; /* of the net, for filling in the weights */
	int end_layer;	 /* the one after the last that is part of this */
	size_t weights;	 /* offset from the plan's start, in bytes; for NN_OP_SCALE the factors */
	size_t bias;	 /* likewise; for NN_OP_SCALE what is added */
	NnAffine affine; /* NN_OP_AFFINE */
} NnOp;

struct NnPlan
{
	size_t size;		 /* of all, in bytes */
	size_t cost;		 /* of one image: its multiply-adds, or what takes about as long */
	size_t front_floats; /* of one buffer of the front, which has two */
	size_t work_floats;	 /* of scratch memory for winograd.c */
	size_t row_floats;	 /* of a row of the tail's matrices, of which there are two */
	int nops;
	int nfront; /* how many of them make the front */
	NnShape input;
	NnOp ops[NN_MAX_LAYERS];
};

/* What lies at an offset from the plan's start. */
static inline void *
nn_plan_at(const NnPlan *plan, size_t offset)
{
	return (char *) plan + offset;
}

/* Floats from row to row of the tail's matrices: not a power of two, so that rows do not fight for a cache line. */
static inline size_t
nn_row_floats(const NnShape *shape)
{
	size_t n = (size_t) shape->h * (size_t) shape->w * (size_t) shape->c;

	return (n + NN_BLOCK - 1) / NN_BLOCK * NN_BLOCK + NN_BLOCK;
}

#endif /* NN_INFER_OPS_H */
