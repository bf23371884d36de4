/*
 * network.h: prediction by a model's network, for all serving functions.
 */
#ifndef SERVE_NETWORK_H
#define SERVE_NETWORK_H

#include "postgres.h"

#include "nn/infer/plan.h"

#define PREDICT_BATCH 64 /* images at once, at most */

/*
 * Predict up to PREDICT_BATCH images, pixels (n, NN_PIXELS).  Writes probabilities (n, NN_CLASSES), uniform for blank
 * images, and hidden (n, NN_HIDDEN): random projections of the last hidden layer.
 */
extern void network_predict(const NnPlan *plan, const uint8 *pixels, int n, float *probabilities, float *hidden);

#endif /* SERVE_NETWORK_H */
