/*
 * test_image_decode.c: every kind of PNG gives the same ink, in either polarity, opaque or transparent.
 */
#include "image_fixture.h"

#include "image/decode.h"
#include "util/rng.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- every kind of PNG ---- */

static void
every_kind_reads_the_same(void **state)
{
	static const struct
	{
		int color;
		int depths[6];
	} kinds[] = {{PNG_COLOR_TYPE_GRAY, {1, 2, 4, 8, 16}},
				 {PNG_COLOR_TYPE_PALETTE, {1, 2, 4, 8}},
				 {PNG_COLOR_TYPE_GRAY_ALPHA, {8, 16}},
				 {PNG_COLOR_TYPE_RGB, {8, 16}},
				 {PNG_COLOR_TYPE_RGB_ALPHA, {8, 16}}};
	/* the digit's own size, and sizes at which some of the seven passes of interlacing are empty */
	static const int sizes[][2] = {{28, 28}, {33, 41}, {5, 3}, {1, 9}, {4, 1}};
	static uint8_t levels[64 * 64];
	uint8_t digit[IMAGE_PIXELS];

	(void) state;
	draw(5, 77, digit);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (int d = 0; kinds[k].depths[d] != 0; d++)
			for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
				for (int interlaced = 0; interlaced < 2; interlaced++)
				{
					int depth = kinds[k].depths[d];
					int last = depth < 8 ? (1 << depth) - 1 : 255;
					int width = sizes[s][0];
					int height = sizes[s][1];
					ImageInk ink;
					ImageError error;
					Bytes png;

					for (int i = 0; i < width * height; i++)
						levels[i] = (uint8_t) (s == 0 ? digit[i] * last / 255 : (i % 7 == 3) * last);
					png = write_kind(levels, width, height, kinds[k].color, depth, interlaced);
					assert_int_equal(image_decode(png.data, png.size, MAX_PIXELS, &allocator, &ink, &error),
									 IMAGE_OK);
					assert_int_equal(ink.width, width);
					assert_int_equal(ink.height, height);
					assert_false(ink.inverted);
					for (int i = 0; i < width * height; i++)
						assert_int_equal(ink.ink[i], levels[i] * 255 / last);
					heap_release(&heap, ink.ink);
					free(png.data);
				}
}

/* Colours are converted to gray by luminance: pure green is much lighter than pure blue. */
static void
colors_have_luminance(void **state)
{
	uint8_t raw[3 * 64 * 3];
	Kind kind = {.width = 64, .height = 3, .depth = 8, .color = PNG_COLOR_TYPE_RGB};
	ImageInk ink;
	ImageError error;
	Bytes png;

	(void) state;
	memset(raw, 0, sizeof(raw));
	for (int c = 0; c < 3; c++)
		raw[3 * (64 + 20 + c) + c] = 255;
	memset(raw + 3 * (64 + 30), 255, 3);
	png = make_png(&kind, raw);
	assert_int_equal(image_decode(png.data, png.size, MAX_PIXELS, &allocator, &ink, &error), IMAGE_OK);
	assert_in_range(ink.ink[64 + 20], 74, 78);
	assert_in_range(ink.ink[64 + 21], 147, 151);
	assert_in_range(ink.ink[64 + 22], 27, 31);
	assert_int_equal(ink.ink[64 + 30], 255);
	heap_release(&heap, ink.ink);
	free(png.data);
}

/* ---- polarity and contrast ---- */

static void
polarity_does_not_matter(void **state)
{
	static uint8_t canvas[28 * 28];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	for (int label = 0; label < 10; label++)
	{
		draw(label, 5, digit);
		read_and_free(make_gray(digit, 28, 28), out);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
		for (int i = 0; i < IMAGE_PIXELS; i++)
			canvas[i] = 255 - digit[i];
		read_and_free(make_gray(canvas, 28, 28), out);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
	}
}

static void
faint_pens_read_well(void **state)
{
	static const int pairs[][2] = {{220, 180}, {60, 100}, {128, 90}, {128, 166}, {250, 0}, {5, 240}};
	static uint8_t canvas[28 * 28];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	draw(2, 9, digit);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		paint(canvas, 28, 28, pairs[i][0], pairs[i][1], digit, 1, 0, 0);
		read_and_free(make_gray(canvas, 28, 28), out);
		assert_true(distance(out, digit) < 12);
	}
}

/* An unevenly lit sheet with noise. */
static void
noise_is_not_ink(void **state)
{
	static uint8_t canvas[280 * 280];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	Rng rng = rng_start(3);

	(void) state;
	draw(3, 12, digit);
	paint(canvas, 280, 280, 205, 60, digit, 8, 20, 30);
	for (int i = 0; i < 280 * 280; i++)
	{
		float level = canvas[i] + 5 * rng_normal(&rng) + 10.0f * (float) (i % 280) / 280;

		canvas[i] = (uint8_t) fminf(fmaxf(level, 0), 255);
	}
	read_and_free(make_gray(canvas, 280, 280), out);
	/* the box of the ink may be at most one pixel of the canvas larger on every side */
	assert_true(distance(out, digit) < 45);
	assert_in_range(ink_of(out) * 100 / ink_of(digit), 85, 115);
}

/* ---- transparency ---- */

/* The digit's strokes are in the opacity; gray is the pen's colour, and random in transparent pixels. */
static void
transparent_canvas_reads_as_ink(void **state)
{
	static const int pens[] = {0, 255, 128, 40, 200};
	uint8_t digit[IMAGE_PIXELS];
	uint8_t gray[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	Rng rng = rng_start(8);

	(void) state;
	draw(8, 4, digit);
	for (size_t p = 0; p < sizeof(pens) / sizeof(pens[0]); p++)
	{
		for (int i = 0; i < IMAGE_PIXELS; i++)
			gray[i] = (uint8_t) (digit[i] > 0 ? pens[p] : (int) rng_below(&rng, 256));
		read_and_free(make_rgba(gray, digit, 28, 28), out);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
	}
	/* a pen of changing colour */
	for (int i = 0; i < IMAGE_PIXELS; i++)
		gray[i] = (uint8_t) (digit[i] > 0 ? i * 255 / IMAGE_PIXELS : 77);
	read_and_free(make_rgba(gray, digit, 28, 28), out);
	assert_memory_equal(out, digit, IMAGE_PIXELS);
}

/* Opaque paper with a digit, surrounded by a transparent margin: the margin gets the paper's colour. */
static void
sheet_in_a_transparent_margin(void **state)
{
	static uint8_t gray[40 * 40];
	static uint8_t alpha[40 * 40];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	draw(6, 2, digit);
	for (int light = 0; light < 2; light++)
	{
		paint(gray, 40, 40, light ? 255 : 0, light ? 0 : 255, digit, 1, 6, 6);
		for (int y = 0; y < 40; y++)
			for (int x = 0; x < 40; x++)
			{
				bool margin = x < 5 || y < 5 || x >= 35 || y >= 35;

				alpha[y * 40 + x] = margin ? 0 : 255;
				if (margin)
					gray[y * 40 + x] = (uint8_t) (x * 7 + y * 13);
			}
		read_and_free(make_rgba(gray, alpha, 40, 40), out);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
	}
}

static void
even_translucency_is_opacity(void **state)
{
	uint8_t digit[IMAGE_PIXELS];
	uint8_t gray[IMAGE_PIXELS];
	uint8_t alpha[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	draw(4, 2, digit);
	memset(alpha, 100, sizeof(alpha));
	for (int i = 0; i < IMAGE_PIXELS; i++)
		gray[i] = 255 - digit[i];
	read_and_free(make_rgba(gray, alpha, 28, 28), out);
	assert_memory_equal(out, digit, IMAGE_PIXELS);
}

/* The chunk tRNS: opacities of a palette, and one transparent colour in gray and RGB of 8 and 16 bits. */
static void
transparency_chunk_is_read(void **state)
{
	static uint8_t raw[28 * 28 * 6];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t solid[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];

	(void) state;
	draw(7, 3, digit);
	for (int i = 0; i < IMAGE_PIXELS; i++)
		solid[i] = digit[i] > 100 ? 255 : 0;
	{
		Kind kind = {.width = 28,
					 .height = 28,
					 .depth = 8,
					 .color = PNG_COLOR_TYPE_PALETTE,
					 .npalette = 256,
					 .nopacities = 256};

		for (int i = 0; i < 256; i++)
		{
			kind.palette[i] = (png_color){10, 10, 10};
			kind.opacities[i] = (uint8_t) i;
		}
		read_and_free(make_png(&kind, digit), out);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
	}
	for (int channels = 1; channels <= 3; channels += 2)
		for (int bytes = 1; bytes <= 2; bytes++)
		{
			Kind kind = {.width = 28,
						 .height = 28,
						 .depth = 8 * bytes,
						 .keyed = true,
						 .color = channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY};
			int key = bytes == 2 ? 0x3031 : 0x30;

			kind.key.gray = kind.key.red = kind.key.green = kind.key.blue = (png_uint_16) key;
			/* the pen's colour differs from the transparent colour of the background only in the last bit */
			for (int i = 0; i < IMAGE_PIXELS * channels; i++)
			{
				int value = solid[i / channels] > 0 && i % channels == channels - 1 ? key ^ 1 : key;

				if (bytes == 2)
					raw[2 * i] = (uint8_t) (value >> 8);
				raw[bytes * i + bytes - 1] = (uint8_t) value;
			}
			read_and_free(make_png(&kind, raw), out);
			assert_true(distance(out, solid) < 1);
		}
	{
		Kind kind = {
			.width = 28, .height = 28, .depth = 2, .color = PNG_COLOR_TYPE_GRAY, .keyed = true, .key = {.gray = 2}};

		memset(raw, 0, sizeof(raw));
		for (int i = 0; i < IMAGE_PIXELS; i++)
			set_sample(raw + i / 28 * 7, 2, i % 28, solid[i] > 0 ? 3 : 2);
		read_and_free(make_png(&kind, raw), out);
		assert_true(distance(out, solid) < 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_kind_reads_the_same),
		CASE(colors_have_luminance),
		CASE(polarity_does_not_matter),
		CASE(faint_pens_read_well),
		CASE(noise_is_not_ink),
		CASE(transparent_canvas_reads_as_ink),
		CASE(sheet_in_a_transparent_margin),
		CASE(even_translucency_is_opacity),
		CASE(transparency_chunk_is_read),
	};

	return cmocka_run_group_tests_name("image: decoding", tests, NULL, NULL);
}
