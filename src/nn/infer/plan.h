/*
 * plan.h: a net prepared for inference.
 */
#ifndef NN_INFER_PLAN_H
#define NN_INFER_PLAN_H

#include <stddef.h>

#include "nn/nn.h"

/*
 * A plan is a net with its weights prepared for the kernels: batch norm is folded into the convolution or dense layer
 * before it, and the weights are packed.  It is one block of memory with offsets instead of pointers, so processes
 * may map it at different addresses in shared memory.
 */
typedef struct NnPlan NnPlan;

/* Bytes of a net's plan. */
extern size_t nn_plan_size(const NnNet *net);

/* Build it from values (net->nvalues) in memory of that size, aligned to NN_ALIGN. */
extern void nn_plan_build(NnPlan *plan, const NnNet *net, const float *values);

/*
 * How many of n images to predict between two checks for interrupts: at least one, and no more than take about 10 ms
 * with AVX-512, 100 ms without vectors.
 */
extern int nn_step(const NnPlan *plan, int n);

/* Bytes of scratch for nn_forward on up to n images at once; aligned to NN_ALIGN. */
extern size_t nn_scratch_size(const NnPlan *plan, int n);

/*
 * The weight of input k in projection j: plus or minus 1 / sqrt(inputs).  It is a function of the arguments alone, so
 * the projections of a model are the same whenever and wherever they are computed.
 */
extern float nn_projection(int j, size_t k, size_t inputs);

#endif /* NN_INFER_PLAN_H */
