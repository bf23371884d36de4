/*
 * explain.c: SQL functions that explain a prediction: which pixels support a label, and which contradict it.
 *
 * nn/infer/occlusion.c computes the attribution of each pixel: the live model predicts the image some 500 times, each
 * time with another part erased.  Here the result becomes an array or a picture.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "model/cache.h"
#include "nn/infer/occlusion.h"
#include "pg/arguments.h"
#include "pg/image_input.h"
#include "pg/memory.h"
#include "pg/rows.h"
#include "serve/picture.h"

#define SCALE 10 /* side of the square that a pixel becomes */
#define SIDE (IMAGE_SIDE * SCALE)

/* Okabe and Ito's colours, which colour-blind people can distinguish: orange supports, sky blue contradicts. */
static const uint8 color_for[3] = {230, 159, 0};
static const uint8 color_against[3] = {86, 180, 233};
static const float neutral = 0.6f; /* brightness of ink that does neither */

PG_FUNCTION_INFO_V1(mnist_explain);
PG_FUNCTION_INFO_V1(mnist_explanation);

typedef struct Explanation
{
	uint8 pixels[IMAGE_PIXELS];
	float attribution[IMAGE_PIXELS];
} Explanation;

/* The second argument: a digit, or -1 for NULL, which stands for the predicted digit. */
static int
label_argument(FunctionCallInfo fcinfo)
{
	int label;

	if (PG_ARGISNULL(1))
		return -1;
	label = PG_GETARG_INT32(1);
	check_label(label);
	return label;
}

/* Explain the image that is the first argument; false if that is NULL. */
static bool
explain_argument(FunctionCallInfo fcinfo, Explanation *explanation)
{
	int label = label_argument(fcinfo);
	const NnPlan *plan;
	NnOcclusion *occlusion;
	MemoryContext context;
	int version;

	if (PG_ARGISNULL(0))
		return false;
	image_input_pixels(PG_GETARG_DATUM(0), explanation->pixels);
	plan = model_use_plan(model_use_of(fcinfo->flinfo), &version);

	context = AllocSetContextCreate(CurrentMemoryContext, "mnist_explain", ALLOCSET_SMALL_SIZES);
	occlusion = nn_occlusion_init(nn_alloc(context, nn_occlusion_size(plan)), plan, explanation->pixels, label);
	while (nn_occlusion_step(occlusion))
		CHECK_FOR_INTERRUPTS();
	memcpy(explanation->attribution, nn_occlusion_result(occlusion), sizeof(explanation->attribution));
	MemoryContextDelete(context);
	return true;
}

/* mnist_explanation(image, label): how much each of the 28 x 28 pixels supports (> 0) or contradicts the label. */
Datum
mnist_explanation(PG_FUNCTION_ARGS)
{
	Explanation explanation;

	if (!explain_argument(fcinfo, &explanation))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(make_reals(explanation.attribution, IMAGE_PIXELS));
}

/* Blend a pixel's ink, in gray, with a colour; strength: 0 .. 1. */
static void
color_pixel(uint8 ink, float strength, const uint8 *color, uint8 *out)
{
	for (int c = 0; c < 3; c++)
		out[c] = (uint8) ((1.0f - strength) * neutral * ink + strength * color[c] + 0.5f);
}

/* mnist_explain(image, label): the same as a PNG. */
Datum
mnist_explain(PG_FUNCTION_ARGS)
{
	Explanation explanation;
	float largest = 0.0f;
	uint8 *samples;
	bytea *png;

	if (!explain_argument(fcinfo, &explanation))
		PG_RETURN_NULL();
	for (int i = 0; i < IMAGE_PIXELS; i++)
		largest = Max(largest, fabsf(explanation.attribution[i]));

	samples = palloc((Size) SIDE * SIDE * IMAGE_RGB);
	for (int y = 0; y < SIDE; y++)
	{
		for (int x = 0; x < SIDE; x++)
		{
			int i = y / SCALE * IMAGE_SIDE + x / SCALE;
			float attribution = explanation.attribution[i];

			color_pixel(explanation.pixels[i], largest > 0.0f ? fabsf(attribution) / largest : 0.0f,
						attribution > 0.0f ? color_for : color_against, samples + ((Size) y * SIDE + x) * IMAGE_RGB);
		}
	}
	png = encode_png(samples, SIDE, IMAGE_RGB);
	pfree(samples);
	PG_RETURN_BYTEA_P(png);
}
