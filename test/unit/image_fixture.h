/*
 * image_fixture.h: what the tests of src/image share: an allocator that counts and fails when told to, PNGs of
 * every kind, made with libpng, and pictures to put into them.
 */
#ifndef IMAGE_FIXTURE_H
#define IMAGE_FIXTURE_H

#include "image/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX_PIXELS ((size_t) 16 * 1024 * 1024)

/* A test case that begins with a fresh heap and must leave nothing on it. */
#define CASE(f) cmocka_unit_test_setup_teardown(f, reset_heap, check_heap)

typedef struct Heap
{
	size_t live; /* bytes allocated and not released */
	size_t peak;
	int blocks; /* blocks allocated and not released */
	int calls;
	int fail_at; /* the call that gets NULL, counted from 1; 0: none */
	int polls;	 /* how often poll was called */
} Heap;

extern Heap heap;
extern const ImageAllocator allocator; /* from heap */

typedef struct Bytes
{
	uint8_t *data;
	size_t size;
} Bytes;

/* What to write; raw holds the rows as libpng takes them, 16-bit samples big-endian, few bits packed. */
typedef struct Kind
{
	int width, height;
	int depth;
	int color;
	bool interlaced;
	png_color palette[256];
	int npalette;
	uint8_t opacities[256];
	int nopacities;
	bool keyed;
	png_color_16 key;
} Kind;

extern void heap_release(void *context, void *pointer);

/* Setup and teardown of CASE. */
extern int reset_heap(void **state);
extern int check_heap(void **state);

/* Write a PNG; the caller frees its data, here and below. */
extern Bytes make_png(const Kind *kind, const uint8_t *raw);

extern Bytes make_gray(const uint8_t *pixels, int width, int height);

/* An RGBA picture of gray pixels with their opacities. */
extern Bytes make_rgba(const uint8_t *gray, const uint8_t *alpha, int width, int height);

/* image_to_mnist; whatever comes out, nothing may be left on the heap and an error must be complete. */
extern ImageStatus to_mnist(Bytes png, uint8_t *pixels, ImageError *error);

/* Read a PNG that must be fine, and free it. */
extern void read_and_free(Bytes png, uint8_t *pixels);

/* A digit in MNIST's form. */
extern void draw(int label, uint64_t key, uint8_t *pixels);

/* The sum of all pixels. */
extern uint32_t ink_of(const uint8_t *pixels);

/* Mean absolute difference, in levels, over the pixels where there is ink in either. */
extern double distance(const uint8_t *a, const uint8_t *b);

/* Pixels as blocks of scale x scale at (left, top) of a canvas of ground; ink is drawn with the level pen. */
extern void paint(uint8_t *canvas, int width, int height, int ground, int pen, const uint8_t *pixels, int scale,
				  int left, int top);

/* Set a sample of 1 to 16 bits in a row of zeros. */
extern void set_sample(uint8_t *row, int depth, int index, int value);

/* Write levels (0 .. 2^depth-1, or 0..255) in a colour type, opaque where there is alpha. */
extern Bytes write_kind(const uint8_t *levels, int width, int height, int color, int depth, bool interlaced);

#endif /* IMAGE_FIXTURE_H */
