/*
 * test_image_form.c: any ink is brought to MNIST's form, and images in that form do not change.
 */
#include "image_fixture.h"

#include "image/encode.h"
#include "image/preprocess.h"
#include "image/synthetic.h"
#include "util/rng.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- MNIST's form ---- */

static void
place_does_not_matter(void **state)
{
	static uint8_t canvas[60 * 50];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	for (int label = 0; label < 10; label++)
	{
		draw(label, 31, digit);
		for (int i = 0; i < 9; i++)
		{
			paint(canvas, 60, 50, 255, 0, digit, 1, i * 4 - 3, 20 - i * 2);
			read_and_free(make_gray(canvas, 60, 50), out);
			assert_memory_equal(out, digit, IMAGE_PIXELS);
		}
	}
}

static void
size_does_not_matter(void **state)
{
	static uint8_t canvas[400 * 400];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	for (int label = 0; label < 10; label++)
		for (int scale = 2; scale <= 13; scale++)
		{
			draw(label, 17, digit);
			paint(canvas, 400, 400, 255, 0, digit, scale, 11, 23);
			read_and_free(make_gray(canvas, 400, 400), out);
			assert_true(distance(out, digit) < 2);
		}
}

/* An image in MNIST's form does not change when it is normalized again, whatever canvas it came from. */
static void
normalizing_twice_is_normalizing_once(void **state)
{
	static const int sides[] = {28, 64, 100, 280, 333};
	static uint8_t canvas[333 * 333];

	(void) state;
	for (size_t s = 0; s < sizeof(sides) / sizeof(sides[0]); s++)
		for (uint64_t key = 0; key < 60; key++)
		{
			uint8_t once[IMAGE_PIXELS];
			uint8_t twice[IMAGE_PIXELS];

			image_draw_digit((int) (key % 10), key, sides[s], canvas);
			read_and_free(make_gray(canvas, sides[s], sides[s]), once);
			read_and_free(make_gray(once, 28, 28), twice);
			assert_memory_equal(once, twice, IMAGE_PIXELS);
		}
}

/* The centre of mass, rounded, is at pixel 14 along both axes, unless the ink would then leave the image. */
static void
assert_centered(const uint8_t *pixels)
{
	double total = ink_of(pixels);
	double x = 0;
	double y = 0;
	bool at_edge = false;

	for (int i = 0; i < IMAGE_PIXELS; i++)
	{
		at_edge |= pixels[i] > 0 && (i % 28 == 0 || i % 28 == 27 || i / 28 == 0 || i / 28 == 27);
		x += pixels[i] * (i % 28) / total;
		y += pixels[i] * (i / 28) / total;
	}
	assert_true(at_edge || (x > 13.49 && x < 14.51));
	assert_true(at_edge || (y > 13.49 && y < 14.51));
}

static void
assert_in_form(const uint8_t *pixels)
{
	int left = 28;
	int right = -1;
	int top = 28;
	int bottom = -1;
	int most = 0;

	for (int i = 0; i < IMAGE_PIXELS; i++)
		if (pixels[i] > 0)
		{
			left = i % 28 < left ? i % 28 : left;
			right = i % 28 > right ? i % 28 : right;
			top = i / 28 < top ? i / 28 : top;
			bottom = i / 28 > bottom ? i / 28 : bottom;
			most = pixels[i] > most ? pixels[i] : most;
		}
	assert_true(right - left < 20 && bottom - top < 20);
	assert_true(right - left >= 18 || bottom - top >= 18);
	assert_true(most >= 240);
}

/* Odd ink: long strokes, a dot, a hairline, ink everywhere, ink only at the edge. */
static void
odd_ink_behaves(void **state)
{
	static uint8_t canvas[1000 * 1000];
	uint8_t out[IMAGE_PIXELS];

	(void) state;

	memset(canvas, 255, sizeof(canvas));
	for (int y = 0; y < 200; y++)
		memset(canvas + (20 + y) * 300 + 140, 0, 3);
	read_and_free(make_gray(canvas, 300, 300), out);
	assert_in_form(out);
	assert_in_range(ink_of(out), 20 * 200, 40 * 255);

	memset(canvas, 255, sizeof(canvas));
	canvas[500 * 1000 + 3] = 0;
	read_and_free(make_gray(canvas, 1000, 1000), out);
	assert_true(ink_of(out) > 0);

	/* an ellipse, one pixel wide, on 1000 x 1000 */
	memset(canvas, 255, sizeof(canvas));
	for (int i = 0; i < 20000; i++)
		canvas[(int) (500 + 400 * sin(i * 0.000314159)) * 1000 + (int) (500 + 300 * cos(i * 0.000314159))] = 0;
	read_and_free(make_gray(canvas, 1000, 1000), out);
	assert_in_form(out);
	assert_true(ink_of(out) > 20 * 255);

	/* a cross that reaches all four borders */
	memset(canvas, 255, sizeof(canvas));
	for (int y = 0; y < 100; y++)
		for (int x = 0; x < 100; x++)
			if ((x > 40 && x < 60) || (y > 40 && y < 60))
				canvas[y * 100 + x] = 0;
	read_and_free(make_gray(canvas, 100, 100), out);
	assert_in_form(out);
	assert_in_range(ink_of(out), 130 * 255, 160 * 255);

	/* a stroke along one border only */
	memset(canvas, 255, sizeof(canvas));
	for (int y = 10; y < 90; y++)
		memset(canvas + y * 100 + 95, 0, 5);
	read_and_free(make_gray(canvas, 100, 100), out);
	assert_in_form(out);

	/* a small stroke in a large canvas, tiny images */
	memset(canvas, 0, sizeof(canvas));
	for (int y = 0; y < 8; y++)
		canvas[(100 + y) * 1000 + 900] = 255;
	read_and_free(make_gray(canvas, 1000, 1000), out);
	assert_in_form(out);
	canvas[0] = 255;
	read_and_free(make_gray(canvas, 2, 2), out);
	read_and_free(make_gray(canvas, 3, 1), out);
}

static void
specks_are_ignored(void **state)
{
	static uint8_t canvas[300 * 300];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t clean[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	draw(9, 21, digit);
	paint(canvas, 300, 300, 255, 0, digit, 6, 70, 60);
	read_and_free(make_gray(canvas, 300, 300), clean);
	canvas[5 * 300 + 5] = 0;
	canvas[290 * 300 + 280] = 0;
	canvas[290 * 300 + 281] = 30;
	canvas[3 * 300 + 295] = 60;
	read_and_free(make_gray(canvas, 300, 300), out);
	assert_memory_equal(out, clean, IMAGE_PIXELS);
}

static void
blank_has_no_ink(void **state)
{
	static const int levels[] = {0, 1, 127, 128, 254, 255};
	static uint8_t canvas[64 * 64];
	static uint8_t alpha[64 * 64];
	uint8_t out[IMAGE_PIXELS];
	Rng rng = rng_start(2);

	(void) state;
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		for (int side = 1; side <= 64; side += 9)
		{
			memset(canvas, levels[i], sizeof(canvas));
			memset(alpha, i % 2 ? 255 : 90, sizeof(alpha));
			read_and_free(make_gray(canvas, side, side), out);
			assert_int_equal(ink_of(out), 0);
			read_and_free(make_rgba(canvas, alpha, side, side), out);
			assert_int_equal(ink_of(out), 0);
		}
	for (int i = 0; i < 64 * 64; i++)
		canvas[i] = (uint8_t) rng_below(&rng, 256);
	memset(alpha, 0, sizeof(alpha));
	read_and_free(make_rgba(canvas, alpha, 64, 64), out);
	assert_int_equal(ink_of(out), 0);
	/* a blank sheet, photographed */
	for (int i = 0; i < 64 * 64; i++)
		canvas[i] = (uint8_t) (200 + 4 * rng_normal(&rng));
	read_and_free(make_gray(canvas, 64, 64), out);
	assert_int_equal(ink_of(out), 0);
}

/* ---- synthetic digits ---- */

static void
synthetic_digits_vary_and_repeat(void **state)
{
	uint8_t first[IMAGE_PIXELS];
	uint8_t again[IMAGE_PIXELS];
	uint8_t other[IMAGE_PIXELS];

	(void) state;
	for (int label = 0; label < 10; label++)
		for (uint64_t key = 0; key < 100; key++)
		{
			draw(label, key, first);
			draw(label, key, again);
			draw(label, key + 1, other);
			assert_memory_equal(first, again, IMAGE_PIXELS);
			assert_true(distance(first, other) > 10);
			assert_in_form(first);
			assert_centered(first);
			assert_in_range(ink_of(first), 10 * 255, 330 * 255);
		}
}

/* The size of the canvas changes only the rendering of a digit, not its shape. */
static void
synthetic_digits_do_not_depend_on_the_canvas(void **state)
{
	static uint8_t canvas[2048 * 2048];
	uint8_t first[IMAGE_PIXELS];
	uint8_t other[IMAGE_PIXELS];

	(void) state;
	for (int side = 28; side <= 2048; side = side * 3 / 2)
	{
		double same = 0;
		double different = 0;

		for (int label = 0; label < 10; label++)
		{
			image_draw_digit(label, 9, side, canvas);
			read_and_free(make_gray(canvas, side, side), other);
			draw(label, 9, first);
			same += distance(first, other);
			draw(label, 10, first);
			different += distance(first, other);
		}
		/* on small canvases a pixel is almost as large as one of MNIST's, so the rendering is coarse */
		assert_true(same < different * (side < 60 ? 0.5 : 0.4));
	}
}

/* ---- MNIST itself ---- */

static uint8_t *
load_mnist(const char *name, size_t n)
{
	const char *folder = getenv("MNIST_DIR") != NULL ? getenv("MNIST_DIR") : "../shared/mnist";
	char path[1024];
	uint8_t *images;
	gzFile file;

	snprintf(path, sizeof(path), "%s/%s.gz", folder, name);
	file = gzopen(path, "rb");
	if (file == NULL)
	{
		snprintf(path, sizeof(path), "%s/%s", folder, name);
		file = gzopen(path, "rb");
	}
	if (file == NULL)
		return NULL;
	images = malloc(16 + n * IMAGE_PIXELS);
	assert_int_equal(gzread(file, images, (unsigned) (16 + n * IMAGE_PIXELS)), 16 + n * IMAGE_PIXELS);
	gzclose(file);
	return images;
}

static void
mnist_comes_through_unchanged(void **state)
{
	static const struct
	{
		const char *name;
		size_t n;
	} files[] = {{"train-images-idx3-ubyte", 60000}, {"t10k-images-idx3-ubyte", 10000}};

	(void) state;
	for (int f = 0; f < 2; f++)
	{
		uint8_t *images = load_mnist(files[f].name, files[f].n);
		size_t changed = 0;

		if (images == NULL)
		{
			print_message("MNIST is not at hand (MNIST_DIR)\n");
			skip();
		}
		for (size_t i = 0; i < files[f].n; i++)
		{
			const uint8_t *image = images + 16 + i * IMAGE_PIXELS;
			uint8_t out[IMAGE_PIXELS];
			uint8_t *png;
			size_t size;
			ImageError error;

			assert_int_equal(image_encode(image, 28, 28, IMAGE_GRAY, &allocator, &png, &size, &error), IMAGE_OK);
			assert_int_equal(image_to_mnist(png, size, MAX_PIXELS, &allocator, out, &error), IMAGE_OK);
			heap_release(&heap, png);
			changed += memcmp(image, out, IMAGE_PIXELS) != 0;
		}
		print_message("%s: %zu of %zu images changed by their way through PNG\n", files[f].name, changed, files[f].n);
		assert_true(changed <= files[f].n / 10000);
		free(images);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(place_does_not_matter),
		CASE(size_does_not_matter),
		CASE(normalizing_twice_is_normalizing_once),
		CASE(odd_ink_behaves),
		CASE(specks_are_ignored),
		CASE(blank_has_no_ink),
		CASE(synthetic_digits_vary_and_repeat),
		CASE(synthetic_digits_do_not_depend_on_the_canvas),
		CASE(mnist_comes_through_unchanged),
	};

	return cmocka_run_group_tests_name("image: MNIST's form", tests, NULL, NULL);
}
