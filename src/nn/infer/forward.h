/*
 * forward.h: predict images.
 */
#ifndef NN_INFER_FORWARD_H
#define NN_INFER_FORWARD_H

#include <stdint.h>

#include "nn/infer/plan.h"

/*
 * Predict n images: pixels (n, 28, 28) of 0..255 give probabilities (n, 10).  scratch: nn_scratch_size() bytes.  The
 * result of an image depends neither on the other images nor on n: one by one or in a batch, the bits are the same.
 */
extern void nn_forward(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities, void *scratch);

/*
 * The same, and for each image a few numbers that summarise the output of the last hidden layer: hidden (n,
 * NN_HIDDEN), random projections (Achlioptas 2003) of the input of the last dense layer.  They cost nothing: the
 * projections are additional channels of that layer, in the place of padding.  In a net without a hidden layer the
 * pixels (0..1) are projected.  hidden may be NULL.
 */
extern void nn_forward_hidden(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities, float *hidden,
							  void *scratch);

#endif /* NN_INFER_FORWARD_H */
