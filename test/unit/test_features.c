/*
 * test_features.c: features against plain loops over their definitions, and against known values.
 */
#include "image_fixture.h"

#include "image/features.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

static const ImageSource source = {28, 28, false, IMAGE_PIXELS};

static int
at(const uint8_t *pixels, int x, int y)
{
	return x < 0 || y < 0 || x >= IMAGE_SIDE || y >= IMAGE_SIDE ? 0 : pixels[y * IMAGE_SIDE + x];
}

/* The definitions as plain loops. */
static void
naive_features(const uint8_t *pixels, const ImageSource *from, double features[IMAGE_FEATURES])
{
	double n = 0;
	double mass = 0;
	double mx = 0;
	double my = 0;
	double deviation = 0;
	double xy = 0;
	double yy = 0;
	double outline = 0;
	int left = 28;
	int right = -1;
	int top = 28;
	int bottom = -1;

	for (int i = 0; i < IMAGE_FEATURES; i++)
		features[i] = 0;
	features[IMAGE_ORIGINAL_SIDE] = from->width > from->height ? from->width : from->height;
	features[IMAGE_LIGHT] = from->light;
	for (int y = 0; y < 28; y++)
		for (int x = 0; x < 28; x++)
		{
			int level = at(pixels, x, y);

			n += level > 0;
			mass += level / 255.0;
			mx += x * level / 255.0;
			my += y * level / 255.0;
			if (level > 0)
			{
				left = x < left ? x : left;
				right = x > right ? x : right;
				top = y < top ? y : top;
				bottom = y > bottom ? y : bottom;
			}
		}
	if (n == 0)
	{
		features[IMAGE_BLANK] = 1;
		return;
	}
	mx /= mass;
	my /= mass;
	for (int y = -1; y < 28; y++)
		for (int x = -1; x < 28; x++)
		{
			double level = at(pixels, x, y) / 255.0;

			outline += fabs(at(pixels, x + 1, y) / 255.0 - level) + fabs(at(pixels, x, y + 1) / 255.0 - level);
			deviation += level > 0 ? (level - mass / n) * (level - mass / n) : 0;
			xy += level * (x - mx) * (y - my);
			yy += level * (y - my) * (y - my);
		}
	features[IMAGE_INK_SHARE] = n / 784;
	features[IMAGE_INTENSITY_MEAN] = mass / n;
	features[IMAGE_INTENSITY_SPREAD] = sqrt(deviation / n);
	features[IMAGE_BOX_WIDTH] = right - left + 1;
	features[IMAGE_BOX_HEIGHT] = bottom - top + 1;
	features[IMAGE_ASPECT] = features[IMAGE_BOX_WIDTH] / features[IMAGE_BOX_HEIGHT];
	features[IMAGE_OFFSET_X] = mx - 13.5;
	features[IMAGE_OFFSET_Y] = my - 13.5;
	features[IMAGE_STROKE_WIDTH] = 2 * mass / (outline * PI / 4);
	features[IMAGE_SLANT] = yy > 1e-6 * mass ? atan2(-xy, yy) * 180 / PI : 0;
}

static void
check(const uint8_t *pixels, const ImageSource *from)
{
	float features[IMAGE_FEATURES];
	double naive[IMAGE_FEATURES];

	image_features(pixels, from, features);
	naive_features(pixels, from, naive);
	for (int i = 0; i < IMAGE_FEATURES; i++)
		if (!(fabs((double) features[i] - naive[i]) < 1e-4 * (1 + fabs(naive[i]))))
			fail_msg("feature %d is %g, should be %g", i, (double) features[i], naive[i]);
}

static void
digits_agree_with_plain_loops(void **state)
{
	uint8_t pixels[IMAGE_PIXELS];

	(void) state;
	for (uint64_t key = 0; key < 200; key++)
	{
		draw((int) (key % 10), key, pixels);
		check(pixels, &source);
	}
}

/* Raw pixels may be anything: noise up to the edges, single pixels, rows, columns, all ink. */
static void
any_pixels_agree_with_plain_loops(void **state)
{
	Rng rng = rng_start(7);
	uint8_t pixels[IMAGE_PIXELS];

	(void) state;
	for (int i = 0; i < 200; i++)
	{
		uint32_t sparse = 1 + rng_below(&rng, 300);
		ImageSource from = {(int) rng_below(&rng, 5000) + 1, (int) rng_below(&rng, 5000) + 1, i % 2 == 0, 1};

		for (int k = 0; k < IMAGE_PIXELS; k++)
			pixels[k] = rng_below(&rng, sparse) == 0 ? (uint8_t) rng_below(&rng, 256) : 0;
		check(pixels, &from);
	}
	for (int i = 0; i < 28; i++)
	{
		memset(pixels, 0, sizeof(pixels));
		memset(pixels + i * 28, 255, 28);
		check(pixels, &source);
		memset(pixels, 0, sizeof(pixels));
		for (int y = 0; y < 28; y++)
			pixels[y * 28 + i] = (uint8_t) (y + 1);
		check(pixels, &source);
		memset(pixels, 0, sizeof(pixels));
		pixels[i * 29 % IMAGE_PIXELS] = 1;
		check(pixels, &source);
	}
	memset(pixels, 255, sizeof(pixels));
	check(pixels, &source);
	memset(pixels, 0, sizeof(pixels));
	check(pixels, &source);
}

/* A rectangle 4 pixels wide and 20 high, and the same slanted by one pixel to the right every two rows. */
static void
known_figures(void **state)
{
	uint8_t upright[IMAGE_PIXELS] = {0};
	uint8_t leaning[IMAGE_PIXELS] = {0};
	float f[IMAGE_FEATURES];

	(void) state;
	for (int y = 4; y < 24; y++)
	{
		memset(upright + y * 28 + 12, 255, 4);
		memset(leaning + y * 28 + 7 + (23 - y) / 2, 255, 4);
	}
	image_features(upright, &(ImageSource){300, 200, true, 1}, f);
	assert_true(fabs((double) f[IMAGE_INK_SHARE] - 80 / 784.0) < 1e-6);
	assert_true(f[IMAGE_INTENSITY_MEAN] == 1 && f[IMAGE_INTENSITY_SPREAD] == 0);
	assert_true(f[IMAGE_BOX_WIDTH] == 4 && f[IMAGE_BOX_HEIGHT] == 20);
	assert_true(fabs((double) f[IMAGE_ASPECT] - 0.2) < 1e-6);
	assert_true(f[IMAGE_OFFSET_X] == 0 && f[IMAGE_OFFSET_Y] == 0);
	/* 2 * 80 / (48 * pi / 4) */
	assert_true(fabs((double) f[IMAGE_STROKE_WIDTH] - 160 / (12 * PI)) < 1e-5);
	assert_true(f[IMAGE_SLANT] == 0);
	assert_true(f[IMAGE_ORIGINAL_SIDE] == 300 && f[IMAGE_LIGHT] == 1 && f[IMAGE_BLANK] == 0);

	image_features(leaning, &source, f);
	assert_true(fabs((double) f[IMAGE_SLANT] - atan(0.5) * 180 / PI) < 0.2);
}

/* In a blank image every feature is 0, except for those of the source. */
static void
blank(void **state)
{
	uint8_t pixels[IMAGE_PIXELS] = {0};
	float f[IMAGE_FEATURES];

	(void) state;
	image_features(pixels, &(ImageSource){5, 7, true, 1}, f);
	for (int i = 0; i < IMAGE_FEATURES; i++)
		assert_true(f[i] == (i == IMAGE_ORIGINAL_SIDE ? 7 : i == IMAGE_LIGHT || i == IMAGE_BLANK ? 1 : 0));
}

/* The features of the source: size and polarity of a PNG; of raw pixels whether their border is bright. */
static void
what_came_in_is_told(void **state)
{
	static uint8_t canvas[90 * 60];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	ImageSource from;
	ImageError error;

	(void) state;
	draw(4, 8, digit);
	for (int light = 0; light < 2; light++)
	{
		Bytes png;

		paint(canvas, 90, 60, light ? 255 : 0, light ? 0 : 255, digit, 2, 10, 2);
		png = make_gray(canvas, 90, 60);
		assert_int_equal(image_to_mnist_source(png.data, png.size, MAX_PIXELS, &allocator, out, &from, &error),
						 IMAGE_OK);
		assert_true(from.width == 90 && from.height == 60 && from.light == (light == 1));
		free(png.data);

		for (int i = 0; i < IMAGE_PIXELS; i++)
			out[i] = light ? (uint8_t) (255 - digit[i]) : digit[i];
		assert_int_equal(image_to_mnist_source(out, IMAGE_PIXELS, MAX_PIXELS, &allocator, out, &from, &error),
						 IMAGE_OK);
		assert_true(from.width == 28 && from.height == 28 && from.light == (light == 1));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(digits_agree_with_plain_loops),
		CASE(any_pixels_agree_with_plain_loops),
		CASE(known_figures),
		CASE(blank),
		CASE(what_came_in_is_told),
	};

	return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
