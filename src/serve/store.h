/*
 * store.h: predictions, and storing them.
 */
#ifndef SERVE_STORE_H
#define SERVE_STORE_H

#include "postgres.h"

#include "image/preprocess.h"
#include "model/challenge.h"
#include "nn/nn.h"

typedef struct Prediction
{
	int64 id; /* 0: not stored */
	int version;
	int16 label;
	float probabilities[NN_CLASSES];
	float hidden[NN_HIDDEN];
} Prediction;

/*
 * Draw the ids of n predictions.  The column's default would be too late, since the ids decide which model predicts.
 * Known ids also show which rows a trigger on the table suppressed.
 */
extern void store_draw_ids(Prediction *predictions, int n);

/*
 * Store n predictions, up to PREDICT_BATCH, under their ids, with their images (n, bytea).  Their features are
 * measured from pixels (n, NN_PIXELS) and sources (n).  If a trigger on the table suppresses a row, its id is set to
 * 0. shadows (n, or NULL) are the shadow predictions to store; version 0: none for this image.  challenge->id is 0
 * if no challenge is under way.
 */
extern void store_predictions(Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
							  Prediction *predictions, const Prediction *shadows, const Challenge *challenge);

#endif /* SERVE_STORE_H */
