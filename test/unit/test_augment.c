/*
 * test_augment.c: each parameter of the augmentation has its documented effect and no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn.h"
#include "nn/train/augment.h"
#include "util/rng.h"

#define KEYS 400

/* A thick stroke, brighter at one end, well inside the image. */
static uint8_t digit[NN_PIXELS];

static int
make_digit(void **state)
{
	(void) state;
	for (int i = 0; i < NN_PIXELS; i++)
	{
		double x = i % NN_SIDE - 13.5;
		double y = i / NN_SIDE - 13.5;
		double d = fabs(x + 0.3 * y);

		digit[i] = fabs(y) > 8.0 || d > 3.0 ? 0 : (uint8_t) ((200.0 + 5.0 * y) * (d < 2.0 ? 1.0 : 3.0 - d));
	}
	return 0;
}

/* Sum, centre (from the middle of the image) and central second moments of an image. */
typedef struct Moments
{
	double mass, x, y, xx, xy, yy;
} Moments;

static Moments
moments(const float *image)
{
	Moments m = {0};

	for (int i = 0; i < NN_PIXELS; i++)
	{
		m.mass += image[i];
		m.x += image[i] * (i % NN_SIDE - 13.5);
		m.y += image[i] * (i / NN_SIDE - 13.5);
	}
	m.x /= m.mass;
	m.y /= m.mass;
	for (int i = 0; i < NN_PIXELS; i++)
	{
		double x = i % NN_SIDE - 13.5 - m.x;
		double y = i / NN_SIDE - 13.5 - m.y;

		m.xx += image[i] * x * x / m.mass;
		m.xy += image[i] * x * y / m.mass;
		m.yy += image[i] * y * y / m.mass;
	}
	return m;
}

static Moments
original(void)
{
	float image[NN_PIXELS];

	nn_augment(image, digit, NULL, 0);
	return moments(image);
}

static void
test_nothing(void **state)
{
	static const NnAugment zero = {0};
	float a[NN_PIXELS];
	float b[NN_PIXELS];

	(void) state;
	nn_augment(a, digit, NULL, 1);
	nn_augment(b, digit, &zero, 2);
	assert_memory_equal(a, b, sizeof(a));
	for (int i = 0; i < NN_PIXELS; i++)
		assert_true(fabsf(a[i] - (float) digit[i] / 255.0f) < 1e-7f);
}

static void
test_key(void **state)
{
	static const NnAugment augment = {10.0f, 0.1f, 0.1f, 2.0f, 1.0f, 4.0f};
	float a[NN_PIXELS];
	float b[NN_PIXELS];

	(void) state;
	nn_augment(a, digit, &augment, 1);
	nn_augment(b, digit, &augment, 1);
	assert_memory_equal(a, b, sizeof(a));
	nn_augment(b, digit, &augment, 2);
	assert_memory_not_equal(a, b, sizeof(a));
}

/* With any parameters, all numbers are in 0..1 and no memory outside is read (the sanitizers check that). */
static void
test_extremes(void **state)
{
	static const NnAugment augments[] = {
		{180.0f, 0.9f, 2.0f, 100.0f, 30.0f, 0.1f},
		{0.0f, 0.0f, 0.0f, 0.0f, 1000.0f, 100.0f},
		{0.0f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f},
		{0.0f, 0.0f, 0.0f, 1e30f, 1.0f, 0.0f},
	};

	(void) state;
	for (int k = 0; k < 4 * KEYS; k++)
	{
		float image[NN_PIXELS];

		nn_augment(image, digit, &augments[k % 4], (uint64_t) k);
		for (int i = 0; i < NN_PIXELS; i++)
			assert_true(image[i] >= 0.0f && image[i] <= 1.0f);
	}
}

/* Only moves: the sum stays; the centre moves in all directions, up to the limit. */
static void
test_translate(void **state)
{
	static const NnAugment augment = {.translate = 3.0f};
	Moments before = original();
	double left = 0.0;
	double right = 0.0;
	double up = 0.0;
	double down = 0.0;

	(void) state;
	for (int k = 0; k < KEYS; k++)
	{
		float image[NN_PIXELS];
		Moments m;

		nn_augment(image, digit, &augment, (uint64_t) k);
		m = moments(image);
		assert_true(fabs(m.mass - before.mass) < 1e-3 * before.mass);
		assert_true(fabs(m.xy - before.xy) < 0.3);
		left = fmin(left, m.x - before.x);
		right = fmax(right, m.x - before.x);
		up = fmin(up, m.y - before.y);
		down = fmax(down, m.y - before.y);
	}
	assert_true(left > -3.01 && left < -2.8 && right < 3.01 && right > 2.8);
	assert_true(up > -3.01 && up < -2.8 && down < 3.01 && down > 2.8);
}

/* Only turns: sum and size stay; the main axis turns both ways, up to the limit. */
static void
test_rotate(void **state)
{
	static const NnAugment augment = {.rotate = 20.0f};
	Moments before = original();
	double axis = 0.5 * atan2(2.0 * before.xy, before.yy - before.xx);
	double lowest = 0.0;
	double highest = 0.0;

	(void) state;
	for (int k = 0; k < KEYS; k++)
	{
		float image[NN_PIXELS];
		Moments m;
		double turned;

		nn_augment(image, digit, &augment, (uint64_t) k);
		m = moments(image);
		turned = (0.5 * atan2(2.0 * m.xy, m.yy - m.xx) - axis) * 180.0 / M_PI;
		assert_true(fabs(m.mass - before.mass) < 0.01 * before.mass);
		assert_true(fabs(m.xx + m.yy - before.xx - before.yy) < 0.05 * (before.xx + before.yy));
		lowest = fmin(lowest, turned);
		highest = fmax(highest, turned);
	}
	assert_true(lowest > -21.0 && lowest < -18.5 && highest < 21.0 && highest > 18.5);
}

/* Only scales: the deviations along the axes grow and shrink independently, up to the limit. */
static void
test_scale(void **state)
{
	static const NnAugment augment = {.scale = 0.2f};
	Moments before = original();
	double least = 1.0;
	double most = 1.0;
	double apart = 0.0;

	(void) state;
	for (int k = 0; k < KEYS; k++)
	{
		float image[NN_PIXELS];
		Moments m;
		double across;
		double down;

		nn_augment(image, digit, &augment, (uint64_t) k);
		m = moments(image);
		across = sqrt(m.xx / before.xx);
		down = sqrt(m.yy / before.yy);
		assert_true(fabs(m.mass / before.mass - across * down) < 0.06);
		least = fmin(least, fmin(across, down));
		most = fmax(most, fmax(across, down));
		apart = fmax(apart, across - down);
	}
	assert_true(least > 0.77 && least < 0.85 && most < 1.23 && most > 1.15);
	assert_true(apart > 0.2);
}

/* Only shears: rows are displaced against each other and keep their heights. */
static void
test_shear(void **state)
{
	static const NnAugment augment = {.shear = 0.3f};
	Moments before = original();
	double lowest = 0.0;
	double highest = 0.0;

	(void) state;
	for (int k = 0; k < KEYS; k++)
	{
		float image[NN_PIXELS];
		Moments m;
		double slide;

		nn_augment(image, digit, &augment, (uint64_t) k);
		m = moments(image);
		slide = (m.xy - before.xy) / before.yy;
		assert_true(fabs(m.mass - before.mass) < 0.01 * before.mass);
		assert_true(fabs(m.yy - before.yy) < 0.05 * before.yy);
		lowest = fmin(lowest, slide);
		highest = fmax(highest, slide);
	}
	assert_true(lowest > -0.32 && lowest < -0.27 && highest < 0.32 && highest > 0.27);
}

/*
 * The elastic field, measured with an image that is a ramp: the value of a pixel shows from where it was sampled.
 * The field's mean is zero and its standard deviation alpha.  The greater sigma, the smaller is the difference
 * between neighbours.
 */
static void
test_elastic(void **state)
{
	static const float sigmas[] = {2.0f, 4.0f, 8.0f};
	uint8_t ramp[NN_PIXELS];
	double roughness[3];

	(void) state;
	for (int i = 0; i < NN_PIXELS; i++)
		ramp[i] = (uint8_t) (8 * (i % NN_SIDE));
	for (int s = 0; s < 3; s++)
	{
		NnAugment augment = {.elastic_alpha = 1.5f, .elastic_sigma = sigmas[s]};
		double sum = 0.0;
		double squares = 0.0;
		double differences = 0.0;
		int count = 0;

		for (int k = 0; k < KEYS; k++)
		{
			float image[NN_PIXELS];

			nn_augment(image, ramp, &augment, (uint64_t) k);
			for (int i = 0; i < NN_PIXELS; i++)
			{
				int x = i % NN_SIDE;
				int y = i / NN_SIDE;
				double moved = image[i] * 255.0 / 8.0 - x;

				/* Without the rim, which may be sampled from outside the image, where it is zero. */
				if (x < 8 || x > 18 || y < 8 || y > 18)
					continue;
				sum += moved;
				squares += moved * moved;
				differences += pow(image[i + NN_SIDE] * 255.0 / 8.0 - x - moved, 2.0);
				count++;
			}
		}
		assert_true(fabs(sum / count) < 0.15);
		assert_true(fabs(sqrt(squares / count) - 1.5) < 0.15);
		roughness[s] = sqrt(differences / squares);
	}
	/* In a field smoothed by a Gaussian, neighbours differ by 1 / (sqrt(2) sigma) of its standard deviation. */
	for (int s = 0; s < 3; s++)
		assert_true(fabs(roughness[s] * sqrt(2.0) * sigmas[s] - 1.0) < 0.15);
}

static void
test_strength(void **state)
{
	NnAugment augment = {
		.rotate = 10, .scale = 0.1f, .shear = 0.2f, .translate = 1, .elastic_alpha = 3, .elastic_sigma = 4};
	NnAugment none = {.elastic_sigma = 4};
	float scaled[NN_PIXELS];
	float plain[NN_PIXELS];

	(void) state;
	nn_augment_scale(&augment, 0.5f);
	assert_true(augment.rotate == 5.0f && augment.scale == 0.05f && augment.shear == 0.1f);
	assert_true(augment.translate == 0.5f && augment.elastic_alpha == 1.5f && augment.elastic_sigma == 4.0f);
	nn_augment_scale(&augment, 0);
	assert_memory_equal(&augment, &none, sizeof(none));
	nn_augment(scaled, digit, &augment, 7);
	nn_augment(plain, digit, NULL, 0);
	for (int i = 0; i < NN_PIXELS; i++)
		assert_true(fabsf(scaled[i] - plain[i]) < 1e-6f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	  cmocka_unit_test(test_key),	  cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_translate), cmocka_unit_test(test_rotate),  cmocka_unit_test(test_scale),
		cmocka_unit_test(test_shear),	  cmocka_unit_test(test_elastic), cmocka_unit_test(test_strength),
	};

	return cmocka_run_group_tests(tests, make_digit, NULL);
}
