/*
 * plan.h: a net made ready for inference.
 */
#ifndef NN_INFER_PLAN_H
#define NN_INFER_PLAN_H

#include <stddef.h>

#include "nn/nn.h"

/*
 * A plan is a net with its weights made ready for the kernels (batch norm folded into the convolution or dense
 * layer before it, weights packed), in one relocatable block: offsets only, so that it may lie in
 * shared memory at different addresses.  It depends on the CPU, not on the process.
 */
typedef struct NnPlan NnPlan;

/* Bytes of a net's plan. */
extern size_t nn_plan_size(const NnNet *net);

/* Build it from values (net->nvalues) in memory of that size, aligned to NN_ALIGN. */
extern void nn_plan_build(NnPlan *plan, const NnNet *net, const float *values);

/*
 * How many of n images to predict between two checks for interrupts: as many as take some tens of milliseconds at
 * most, and at least one.
 */
extern int nn_step(const NnPlan *plan, int n);

/* Bytes of scratch for nn_forward on up to n images at once; aligned to NN_ALIGN. */
extern size_t nn_scratch_size(const NnPlan *plan, int n);

/*
 * The weight of input k, of so many, in projection j: plus or minus one over the root of their number.  It depends on
 * nothing else, so that the projections of a model are the same whenever and wherever they are computed.
 */
extern float nn_projection(int j, size_t k, size_t inputs);

#endif /* NN_INFER_PLAN_H */
