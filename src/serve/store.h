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
 * Draw the ids of n predictions.  They are drawn here, not by the column's default, because which model predicts
 * follows from them, and to know which row got which, should a trigger on the table leave rows out.
 */
extern void store_draw_ids(Prediction *predictions, int n);

/*
 * Store n predictions, up to PREDICT_BATCH, under their ids, with their images (bytea), and measure them: pixels (n,
 * NN_PIXELS), sources (n).  The id of what a trigger on the table leaves out is set to 0.  Of those that a challenger
 * predicted along with, by shadows (n; version 0: not), that is stored, too; NULL: none.  challenge: under way, or of
 * id 0.
 */
extern void store_predictions(Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
							  Prediction *predictions, const Prediction *shadows, const Challenge *challenge);

#endif /* SERVE_STORE_H */
