/*
 * image_fixture.h: shared by the tests of src/image: an allocator that counts and fails on request, PNGs of every
 * kind, made with libpng, and images to put into them.
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

/* A test case that begins with an empty heap and must release everything. */
#define CASE(f) cmocka_unit_test_setup_teardown(f, reset_heap, check_heap)

typedef struct Heap
{
	size_t live; /* bytes allocated and not released */
	size_t peak;
	int blocks; /* blocks allocated and not released */
	int calls;
	int fail_at; /* number of the call that returns NULL, from 1; 0: none */
	int polls;	 /* calls of poll */
} Heap;

extern Heap heap;
extern const ImageAllocator allocator; /* allocates from heap */

typedef struct Bytes
{
	uint8_t *data;
	size_t size;
} Bytes;

/* A kind of PNG.  Its rows (raw) are as libpng expects them: 16-bit samples big-endian, less than 8 bits packed. */
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

/* Make a PNG.  The caller frees the data of all PNGs that these functions return. */
extern Bytes make_png(const Kind *kind, const uint8_t *raw);

extern Bytes make_gray(const uint8_t *pixels, int width, int height);

/* An RGBA image of gray pixels with their opacities. */
extern Bytes make_rgba(const uint8_t *gray, const uint8_t *alpha, int width, int height);

/* Call image_to_mnist and check that nothing is left on the heap and that an error is complete. */
extern ImageStatus to_mnist(Bytes png, uint8_t *pixels, ImageError *error);

/* Bring a PNG that must be valid to MNIST's form, and free it. */
extern void read_and_free(Bytes png, uint8_t *pixels);

/* A synthetic digit in MNIST's form. */
extern void draw(int label, uint64_t key, uint8_t *pixels);

/* The sum of all pixels. */
extern uint32_t ink_of(const uint8_t *pixels);

/* Mean absolute difference, in levels, over the pixels where either image has ink. */
extern double distance(const uint8_t *a, const uint8_t *b);

/* Fill a canvas with level ground and draw pixels at (left, top), as blocks of scale x scale; ink has level pen. */
extern void paint(uint8_t *canvas, int width, int height, int ground, int pen, const uint8_t *pixels, int scale,
				  int left, int top);

/* Set a sample of 1 to 16 bits in a row of zeros. */
extern void set_sample(uint8_t *row, int depth, int index, int value);

/* A PNG of levels (0 .. 2^depth-1, or 0..255) in a colour type; opaque if the type has alpha. */
extern Bytes write_kind(const uint8_t *levels, int width, int height, int color, int depth, bool interlaced);

#endif /* IMAGE_FIXTURE_H */
