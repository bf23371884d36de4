/*
 * features.c: the features of a prediction that drift detection compares, and their names.
 *
 * mnist_prediction.features has them in the order of ImageFeature and PredictionFeature.  Only the catalog below has
 * their names, and their kinds, by which watch/drift.c chooses how to compare two samples.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/builtins.h"

#include "model/cache.h"
#include "pg/image_input.h"
#include "pg/rows.h"
#include "serve/features.h"
#include "serve/network.h"

PG_FUNCTION_INFO_V1(mnist_hil_features);
PG_FUNCTION_INFO_V1(mnist_hil_feature_catalog);
PG_FUNCTION_INFO_V1(mnist_features);

static const struct
{
	const char *name;
	const char *kind; /* continuous, category or flag */
	const char *description;
} catalog[FEATURES] = {
	[IMAGE_INK_SHARE] = {"ink_share", "continuous", "fraction of the 784 pixels that have ink"},
	[IMAGE_INTENSITY_MEAN] = {"intensity_mean", "continuous", "mean intensity of the pixels with ink; full ink is 1"},
	[IMAGE_INTENSITY_SPREAD] = {"intensity_spread", "continuous",
								"standard deviation of the intensity of the pixels with ink"},
	[IMAGE_BOX_WIDTH] = {"box_width", "continuous", "width of the bounding box of the ink, in pixels of 28"},
	[IMAGE_BOX_HEIGHT] = {"box_height", "continuous", "height of the bounding box, in pixels of 28"},
	[IMAGE_ASPECT] = {"aspect", "continuous", "width of the bounding box over its height"},
	[IMAGE_OFFSET_X] = {"offset_x", "continuous", "centre of mass, in pixels of 28 to the right of the centre"},
	[IMAGE_OFFSET_Y] = {"offset_y", "continuous", "centre of mass, in pixels of 28 below the centre"},
	[IMAGE_STROKE_WIDTH] = {"stroke_width", "continuous", "twice the area of the ink over the length of its outline"},
	[IMAGE_SLANT] = {"slant", "continuous", "slant to the right, in degrees from upright, by second moments"},
	[IMAGE_ORIGINAL_SIDE] = {"original_side", "continuous", "longer side of the original image, in pixels"},
	[IMAGE_LIGHT] = {"light_background", "flag", "1 if the background of the original image is light, else 0"},
	[IMAGE_BLANK] = {"blank", "flag", "1 if the image has no ink, else 0"},
	[FEATURE_CONFIDENCE] = {"confidence", "continuous", "probability of the predicted digit"},
	[FEATURE_ENTROPY] = {"entropy", "continuous", "entropy of the probabilities, in nats"},
	[FEATURE_LABEL] = {"label", "category", "the predicted digit"},
	[FEATURE_HIDDEN + 0] = {"hidden_1", "continuous", "first random projection of the network's last hidden layer"},
	[FEATURE_HIDDEN + 1] = {"hidden_2", "continuous", "second random projection of it"},
	[FEATURE_HIDDEN + 2] = {"hidden_3", "continuous", "third random projection of it"},
	[FEATURE_HIDDEN + 3] = {"hidden_4", "continuous", "fourth random projection of it"},
};

StaticAssertDecl(NN_HIDDEN == 4, "every projection has a name");

void
features_measure(const uint8 *pixels, const ImageSource *source, int label, const float *probabilities,
				 const float *hidden, float features[FEATURES])
{
	float entropy = 0;

	image_features(pixels, source, features);
	for (int digit = 0; digit < NN_CLASSES; digit++)
	{
		if (probabilities[digit] > 0)
			entropy -= probabilities[digit] * logf(probabilities[digit]);
	}
	features[FEATURE_CONFIDENCE] = probabilities[label];
	features[FEATURE_ENTROPY] = entropy;
	features[FEATURE_LABEL] = (float) label;
	memcpy(features + FEATURE_HIDDEN, hidden, NN_HIDDEN * sizeof(float));
}

/* Predict an image, given in MNIST's form and by its source, and measure the prediction. */
static void
measure_image(const uint8 *pixels, const ImageSource *source, const NnPlan *plan, float features[FEATURES])
{
	float probabilities[NN_CLASSES];
	float hidden[NN_HIDDEN];

	network_predict(plan, pixels, 1, probabilities, hidden);
	features_measure(pixels, source, nn_best_class(probabilities), probabilities, hidden, features);
}

/* mnist_hil_features(image bytea, version int): the features of a model version's prediction of a stored image. */
Datum
mnist_hil_features(PG_FUNCTION_ARGS)
{
	uint8 pixels[NN_PIXELS];
	ImageSource source;
	float features[FEATURES];

	image_stored_source(PG_GETARG_DATUM(0), pixels, &source);
	measure_image(pixels, &source, model_use_version(model_use_of(fcinfo->flinfo), PG_GETARG_INT32(1)), features);
	PG_RETURN_DATUM(make_reals(features, FEATURES));
}

/* mnist_hil_feature_catalog(): place, name, kind and description of every feature. */
Datum
mnist_hil_feature_catalog(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Tuplestorestate *rows = begin_rows(fcinfo, 4, &desc);

	for (int i = 0; i < FEATURES; i++)
	{
		Datum values[4];
		bool nulls[4] = {false, false, false, false};

		values[0] = Int32GetDatum(i + 1);
		values[1] = CStringGetTextDatum(catalog[i].name);
		values[2] = CStringGetTextDatum(catalog[i].kind);
		values[3] = CStringGetTextDatum(catalog[i].description);
		tuplestore_putvalues(rows, desc, values, nulls);
	}
	return (Datum) 0;
}

/* mnist_features(image bytea): the features of the live model's prediction, by name. */
Datum
mnist_features(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Tuplestorestate *rows = begin_rows(fcinfo, 2, &desc);
	uint8 pixels[NN_PIXELS];
	ImageSource source;
	float features[FEATURES];
	int version;

	(void) image_input_source(PG_GETARG_DATUM(0), pixels, &source);
	measure_image(pixels, &source, model_use_plan(model_use_of(fcinfo->flinfo), &version), features);
	for (int i = 0; i < FEATURES; i++)
	{
		Datum values[2];
		bool nulls[2] = {false, false};

		values[0] = CStringGetTextDatum(catalog[i].name);
		values[1] = Float4GetDatum(features[i]);
		tuplestore_putvalues(rows, desc, values, nulls);
	}
	return (Datum) 0;
}
