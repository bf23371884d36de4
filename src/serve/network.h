/*
 * network.h: images through a model's network, as every function that serves puts them.
 */
#ifndef SERVE_NETWORK_H
#define SERVE_NETWORK_H

#include "postgres.h"

#include "nn/infer/plan.h"

#define PREDICT_BATCH 64 /* images at once, at most */

/*
 * Predict n images, pixels (n, NN_PIXELS), of any number up to PREDICT_BATCH: probabilities (n, NN_CLASSES), uniform
 * for blank images, and hidden (n, NN_HIDDEN).
 */
extern void network_predict(const NnPlan *plan, const uint8 *pixels, int n, float *probabilities, float *hidden);

#endif /* SERVE_NETWORK_H */
