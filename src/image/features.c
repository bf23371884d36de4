/*
 * features.c: features of an image, by which newer images are compared with older ones.
 *
 * They are measured for every stored prediction, so this must be very fast.  The pixels are copied to rows of 32, and
 * every pass over them is a loop that compilers vectorize.  Sums are of whole numbers below 2^24, which floats add
 * exactly, in any order.
 *
 * Stroke width is twice the area divided by the length of the outline: a stroke of width w and length l has the area
 * wl and an outline of little more than 2l.  The outline is measured by the total variation of the pixels along rows
 * and columns, which is 4 / pi times its length, averaged over all directions (Cauchy and Crofton).  Partly inked
 * pixels count by their fraction of ink in both.  Slant is the slope of the line that fits the ink, x over y, as in
 * the deslanting of LeCun, Bottou, Bengio, Haffner (1998).
 */
#include "image/features.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROW 32								/* a row of pixels, and four of background after it */
#define PADDED ((IMAGE_SIDE + 2) * ROW)		/* all rows, and one of background above and below */
#define FULL 255.0							/* a pixel of full ink */
#define CENTER ((IMAGE_SIDE - 1) / 2.0)		/* of the image, measured from the centre of its first pixel */
#define OUTLINE (0.78539816339744830961566) /* pi / 4 */
#define DEGREES (57.2957795130823208768)

/* The moments of the ink about the first pixel; a pixel's mass is its level. */
typedef struct Moments
{
	double mass, x, y, xx, xy, yy;
} Moments;

/* Sums over all pixels. */
typedef struct Sums
{
	uint32_t inked;
	uint32_t level;
	uint32_t squared;
	uint32_t variation; /* between neighbours in rows and columns */
} Sums;

static Sums
add_up(const uint8_t *padded)
{
	const uint8_t *pixels = padded + ROW;
	uint32_t inked = 0;
	uint32_t level = 0;
	uint32_t squared = 0;
	uint32_t across = 0;
	uint32_t down = 0;

	for (int i = 0; i < IMAGE_SIDE * ROW; i++)
	{
		inked += pixels[i] != 0;
		level += pixels[i];
		squared += (uint32_t) (pixels[i] * pixels[i]);
	}
	/* from the background before the first pixel to the background after the last */
	for (int i = 0; i < IMAGE_SIDE * ROW; i++)
		across += (uint32_t) abs(pixels[i] - pixels[i - 1]);
	for (int i = 0; i < (IMAGE_SIDE + 1) * ROW; i++)
		down += (uint32_t) abs(padded[i + ROW] - padded[i]);
	return (Sums){inked, level, squared, across + down};
}

/* The moments; columns[x] is set to whether column x has ink. */
static Moments
find_moments(const uint8_t *pixels, bool columns[ROW])
{
	float mass[ROW] = {0};
	float by_y[ROW] = {0};
	float by_yy[ROW] = {0};
	Moments moments = {0};

	for (int y = 0; y < IMAGE_SIDE; y++)
	{
		const float row = (float) y;

		for (int x = 0; x < ROW; x++)
		{
			float level = (float) pixels[y * ROW + x];

			mass[x] += level;
			by_y[x] += level * row;
			by_yy[x] += level * row * row;
		}
	}
	for (int x = 0; x < IMAGE_SIDE; x++)
	{
		columns[x] = mass[x] > 0;
		moments.mass += (double) mass[x];
		moments.x += x * (double) mass[x];
		moments.y += (double) by_y[x];
		moments.xx += x * x * (double) mass[x];
		moments.xy += x * (double) by_y[x];
		moments.yy += (double) by_yy[x];
	}
	return moments;
}

static bool
row_has_ink(const uint8_t *row)
{
	uint64_t words[ROW / 8];

	memcpy(words, row, sizeof(words));
	return (words[0] | words[1] | words[2] | words[3]) != 0;
}

/* The box around all ink; the image must have some. */
static void
measure_box(const uint8_t *pixels, const bool columns[ROW], float features[IMAGE_FEATURES])
{
	int left = 0;
	int right = IMAGE_SIDE - 1;
	int top = 0;
	int bottom = IMAGE_SIDE - 1;

	while (!columns[left])
		left++;
	while (!columns[right])
		right--;
	while (!row_has_ink(pixels + top * ROW))
		top++;
	while (!row_has_ink(pixels + bottom * ROW))
		bottom--;
	features[IMAGE_BOX_WIDTH] = (float) (right - left + 1);
	features[IMAGE_BOX_HEIGHT] = (float) (bottom - top + 1);
	features[IMAGE_ASPECT] = features[IMAGE_BOX_WIDTH] / features[IMAGE_BOX_HEIGHT];
}

/* The slope of the ink in degrees: upright is 0, leaning to the right is positive. */
static float
slant(const Moments *moments)
{
	double xy = moments->xy - moments->x * moments->y / moments->mass;
	double yy = moments->yy - moments->y * moments->y / moments->mass;

	/* ink in one row only */
	if (yy < 1e-6 * moments->mass)
		return 0;
	return (float) (DEGREES * atan2(-xy, yy));
}

void
image_features(const uint8_t pixels[IMAGE_PIXELS], const ImageSource *source, float features[IMAGE_FEATURES])
{
	uint8_t padded[PADDED] = {0};
	uint8_t *const rows = padded + ROW;
	bool columns[ROW];
	Sums sums;
	Moments moments;
	double mean;
	double variance;

	memset(features, 0, IMAGE_FEATURES * sizeof(float));
	features[IMAGE_ORIGINAL_SIDE] = (float) (source->width > source->height ? source->width : source->height);
	features[IMAGE_LIGHT] = source->light ? 1 : 0;
	for (int y = 0; y < IMAGE_SIDE; y++)
		memcpy(rows + y * ROW, pixels + y * IMAGE_SIDE, IMAGE_SIDE);
	sums = add_up(padded);
	if (sums.inked == 0)
	{
		features[IMAGE_BLANK] = 1;
		return;
	}
	mean = (double) sums.level / sums.inked;
	variance = (double) sums.squared / sums.inked - mean * mean;
	features[IMAGE_INK_SHARE] = (float) sums.inked / IMAGE_PIXELS;
	features[IMAGE_INTENSITY_MEAN] = (float) (mean / FULL);
	features[IMAGE_INTENSITY_SPREAD] = variance > 0 ? (float) (sqrt(variance) / FULL) : 0;
	features[IMAGE_STROKE_WIDTH] = (float) (2 * (double) sums.level / (OUTLINE * sums.variation));

	moments = find_moments(rows, columns);
	measure_box(rows, columns, features);
	features[IMAGE_OFFSET_X] = (float) (moments.x / moments.mass - CENTER);
	features[IMAGE_OFFSET_Y] = (float) (moments.y / moments.mass - CENTER);
	features[IMAGE_SLANT] = slant(&moments);
}
