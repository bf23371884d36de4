/*
 * trainer.h: the contents of a trainer, for train.c and the benchmark.
 */
#ifndef NN_TRAIN_TRAINER_H
#define NN_TRAIN_TRAINER_H

#include "nn/nn.h"
#include "nn/train/batch.h"
#include "nn/train/op.h"

#define NN_MAX_OPS (NN_MAX_LAYERS + 2) /* the layers, a copy before the first, a copy before the dense layers */

/* What lies between two operations. */
typedef struct NnBoundary
{
	NnMap map;		/* of the activations */
	NnMap grad_map; /* of their gradient */
	float *data;	/* (max_batch images) */
	float *grad;	/* (max_batch images) or (one group) */
	bool whole;		/* grad is kept for the whole batch */
} NnBoundary;

struct NnTrainer
{
	NnNet net;
	int max_batch;
	int nops;
	NnTrainOp ops[NN_MAX_OPS];
	int groups[NN_MAX_OPS]; /* how many images operation k takes at once; the same throughout a stage */
	NnBoundary boundaries[NN_MAX_OPS + 1];
};

/* Image i of a boundary's activations. */
static inline float *
nn_data_at(const NnBoundary *b, int i)
{
	return b->data + i * b->map.image;
}

/* The gradient of a boundary, for the group of images that begins at "first". */
static inline float *
nn_grad_at(const NnBoundary *b, int first)
{
	return b->whole ? b->grad + first * b->grad_map.image : b->grad;
}

/*
 * Run operation k on the batch's n images from "first" on.  Backward collects the gradients of weights and writes the
 * gradient of the operation's input, unless the input is the images.
 */
extern void nn_op_forward(NnTrainer *t, int k, const float *values, const NnBatch *batch, int first, int n);
extern void nn_op_backward(NnTrainer *t, int k, const float *values, float *grads, const NnBatch *batch, int first,
						   int n);

#endif /* NN_TRAIN_TRAINER_H */
