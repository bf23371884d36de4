/*
 * occlusion.h: how much each pixel contributes to the prediction of a digit.
 */
#ifndef NN_INFER_OCCLUSION_H
#define NN_INFER_OCCLUSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/infer/plan.h"

/* The state of an explanation that is being computed. */
typedef struct NnOcclusion NnOcclusion;

/* Bytes of memory for an explanation, aligned to NN_ALIGN. */
extern size_t nn_occlusion_size(const NnPlan *plan);

/*
 * Begin an explanation of pixels (28, 28) of 0..255, which are copied.  With label -1 the predicted digit is
 * explained.  The plan must stay in memory until the end.
 */
extern NnOcclusion *nn_occlusion_init(void *memory, const NnPlan *plan, const uint8_t *pixels, int label);

/* Predict up to 32 more images, limited by nn_step; false when no square is left. */
extern bool nn_occlusion_step(NnOcclusion *o);

/*
 * (28, 28): by how much erasing the pixel lowers the label's log odds, estimated from erasing the squares that
 * contain it.  Positive: the pixel supports the label; 0 where there is no ink.  Zeiler and Fergus 2014, over three
 * sizes.
 */
extern const float *nn_occlusion_result(const NnOcclusion *o);

#endif /* NN_INFER_OCCLUSION_H */
