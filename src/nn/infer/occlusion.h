/*
 * occlusion.h: which pixels speak for a digit.
 */
#ifndef NN_INFER_OCCLUSION_H
#define NN_INFER_OCCLUSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/infer/plan.h"

/* An explanation under way. */
typedef struct NnOcclusion NnOcclusion;

/* Bytes of memory for one, aligned to NN_ALIGN. */
extern size_t nn_occlusion_size(const NnPlan *plan);

/* Begin: pixels (28, 28) of 0..255, which are copied; label -1: the predicted digit.  The plan must stay. */
extern NnOcclusion *nn_occlusion_init(void *memory, const NnPlan *plan, const uint8_t *pixels, int label);

/* Predict some more images, as many as nn_step says of 32; false when there is nothing left to do. */
extern bool nn_occlusion_step(NnOcclusion *o);

/*
 * (28, 28): by how much erasing the pixel lowers the label's log odds: its part of what erasing squares around it
 * does.  Positive: it speaks for the label; 0 where there is no ink.  Zeiler and Fergus 2014, over three sizes.
 */
extern const float *nn_occlusion_result(const NnOcclusion *o);

#endif /* NN_INFER_OCCLUSION_H */
