/*
 * features.h: the features of a prediction that drift detection compares.
 */
#ifndef SERVE_FEATURES_H
#define SERVE_FEATURES_H

#include "postgres.h"

#include "image/features.h"
#include "image/preprocess.h"
#include "nn/nn.h"

/* The positions in mnist_prediction.features: first those of ImageFeature, then these. */
typedef enum PredictionFeature
{
	FEATURE_CONFIDENCE = IMAGE_FEATURES,
	FEATURE_ENTROPY, /* of the probabilities, in nats */
	FEATURE_LABEL,
	FEATURE_HIDDEN, /* NN_HIDDEN of them */
	FEATURES = FEATURE_HIDDEN + NN_HIDDEN
} PredictionFeature;

/*
 * Measure a prediction: its image in MNIST's form, the source of that, its label, its probabilities (NN_CLASSES), and
 * the projections of the hidden layer from nn_forward_hidden (NN_HIDDEN).
 */
extern void features_measure(const uint8 *pixels, const ImageSource *source, int label, const float *probabilities,
							 const float *hidden, float features[FEATURES]);

#endif /* SERVE_FEATURES_H */
