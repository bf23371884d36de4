/*
 * features.h: what is kept of a prediction to watch for drift.
 */
#ifndef SERVE_FEATURES_H
#define SERVE_FEATURES_H

#include "postgres.h"

#include "image/features.h"
#include "image/preprocess.h"
#include "nn/nn.h"

/* The places of mnist_prediction.features: those of the image, then these. */
typedef enum PredictionFeature
{
	FEATURE_CONFIDENCE = IMAGE_FEATURES,
	FEATURE_ENTROPY, /* of the probabilities, in nats */
	FEATURE_LABEL,
	FEATURE_HIDDEN, /* NN_HIDDEN of them */
	FEATURES = FEATURE_HIDDEN + NN_HIDDEN
} PredictionFeature;

/*
 * Measure a prediction: its image in MNIST's form and as it came in, its label and probabilities (NN_CLASSES), and
 * what nn_forward_hidden said of the hidden layer (NN_HIDDEN).
 */
extern void features_measure(const uint8 *pixels, const ImageSource *source, int label, const float *probabilities,
							 const float *hidden, float features[FEATURES]);

#endif /* SERVE_FEATURES_H */
