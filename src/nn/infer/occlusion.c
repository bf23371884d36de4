/*
 * occlusion.c: how much each pixel contributes to the prediction of a digit.
 *
 * Parts of the image are erased, and the network predicts the rest (Zeiler and Fergus 2014, section 2.1).  If the
 * digit's log odds, log(p / (1 - p)), fall, the erased part supports the digit; if they rise, it is evidence against
 * the digit.  Probabilities are unsuitable: they hardly change when the network is sure.
 *
 * The parts are all squares of 1, 2 and 3 pixels a side that contain ink.  A single pixel gives the most precise
 * position.  Three pixels are about the width of a stroke; the network bridges smaller gaps.  A square's effect is
 * divided among its pixels in proportion to their ink.  A pixel's result is the mean over the squares of one size
 * that contain it, then the mean over the sizes.  Pixels without ink get 0.
 */
#include "nn/infer/occlusion.h"
#include "nn/infer/forward.h"
#include "nn/infer/plan.h"
#include "nn/nn.h"

#include <math.h>
#include <string.h>

#define BATCH 32	 /* most images that are predicted at once */
#define LEAST 1e-30f /* smaller probabilities are clamped to this before their logarithm is taken */

/* The squares' sides. */
static const int sides[] = {1, 2, 3};
#define NSIDES ((int) (sizeof(sides) / sizeof(sides[0])))
#define LARGEST 3

/* A square; it may reach over the image's edge. */
typedef struct Square
{
	int side;
	int x;
	int y;
	int ink; /* the sum of its pixels */
} Square;

struct NnOcclusion
{
	const NnPlan *plan;
	int label;
	float whole; /* log odds of the label for the whole image */
	int size;	 /* index in sides of the next square */
	int x;		 /* and its position */
	int y;
	uint8_t pixels[NN_PIXELS];
	uint8_t erased[BATCH * NN_PIXELS]; /* the image without each of these squares */
	Square squares[BATCH];
	float attribution[NN_PIXELS];
	void *scratch;
};

static size_t
header_size(void)
{
	return (sizeof(NnOcclusion) + NN_ALIGN - 1) / NN_ALIGN * NN_ALIGN;
}

size_t
nn_occlusion_size(const NnPlan *plan)
{
	return header_size() + nn_scratch_size(plan, BATCH);
}

static float
log_odds(const float *probabilities, int label)
{
	float others = 0.0f;

	for (int digit = 0; digit < NN_CLASSES; digit++)
	{
		if (digit != label)
			others += probabilities[digit];
	}
	return logf(fmaxf(probabilities[label], LEAST)) - logf(fmaxf(others, LEAST));
}

NnOcclusion *
nn_occlusion_init(void *memory, const NnPlan *plan, const uint8_t *pixels, int label)
{
	NnOcclusion *o = memory;
	float probabilities[NN_CLASSES];

	memset(o, 0, sizeof(*o));
	o->plan = plan;
	o->label = label;
	o->scratch = (char *) memory + header_size();
	memcpy(o->pixels, pixels, NN_PIXELS);
	nn_forward(plan, pixels, 1, probabilities, o->scratch);
	if (label < 0)
		o->label = nn_best_class(probabilities);
	o->whole = log_odds(probabilities, o->label);
	o->x = o->y = 1 - sides[0];
	return o;
}

/* Write the indexes of a square's pixels within the image to numbers; returns how many there are. */
static int
pixels_of(const Square *square, int numbers[])
{
	int n = 0;

	for (int y = square->y; y < square->y + square->side; y++)
	{
		for (int x = square->x; x < square->x + square->side; x++)
		{
			if (x >= 0 && x < NN_SIDE && y >= 0 && y < NN_SIDE)
				numbers[n++] = y * NN_SIDE + x;
		}
	}
	return n;
}

/* Find the next square that contains ink; false after the last. */
static bool
next_square(NnOcclusion *o, Square *square)
{
	int numbers[LARGEST * LARGEST];

	while (o->size < NSIDES)
	{
		*square = (Square){.side = sides[o->size], .x = o->x, .y = o->y};
		if (++o->x == NN_SIDE)
		{
			o->x = 1 - square->side;
			if (++o->y == NN_SIDE && ++o->size < NSIDES)
				o->x = o->y = 1 - sides[o->size];
		}
		for (int n = pixels_of(square, numbers); n > 0; n--)
			square->ink += o->pixels[numbers[n - 1]];
		if (square->ink > 0)
			return true;
	}
	return false;
}

/* Divide a square's effect among its pixels. */
static void
attribute(NnOcclusion *o, const Square *square, float effect)
{
	const float part = effect / ((float) square->ink * (float) (square->side * square->side) * (float) NSIDES);
	int numbers[LARGEST * LARGEST];

	for (int n = pixels_of(square, numbers); n > 0; n--)
		o->attribution[numbers[n - 1]] += part * (float) o->pixels[numbers[n - 1]];
}

bool
nn_occlusion_step(NnOcclusion *o)
{
	float probabilities[BATCH * NN_CLASSES];
	int numbers[LARGEST * LARGEST];
	const int most = nn_step(o->plan, BATCH);
	int n = 0;

	while (n < most && next_square(o, &o->squares[n]))
	{
		uint8_t *erased = &o->erased[n * NN_PIXELS];

		memcpy(erased, o->pixels, NN_PIXELS);
		for (int k = pixels_of(&o->squares[n], numbers); k > 0; k--)
			erased[numbers[k - 1]] = 0;
		n++;
	}
	if (n == 0)
		return false;
	nn_forward(o->plan, o->erased, n, probabilities, o->scratch);
	for (int k = 0; k < n; k++)
		attribute(o, &o->squares[k], o->whole - log_odds(&probabilities[k * NN_CLASSES], o->label));
	return true;
}

const float *
nn_occlusion_result(const NnOcclusion *o)
{
	return o->attribution;
}
