/*
 * image_fixture.c: see image_fixture.h.
 */
#include "image_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "image/preprocess.h"
#include "image/synthetic.h"

#define RAW_MAX (400 * 400 * 8)

/* ---- an allocator that counts, and fails on request ---- */

static void *
heap_allocate(void *context, size_t size)
{
	Heap *counts = context;
	size_t *block;

	if (++counts->calls == counts->fail_at)
		return NULL;
	block = malloc(sizeof(max_align_t) + size);
	assert_non_null(block);
	memset(block, 0xa5, sizeof(max_align_t) + size);
	*block = size;
	counts->live += size;
	counts->blocks++;
	if (counts->peak < counts->live)
		counts->peak = counts->live;
	return (char *) block + sizeof(max_align_t);
}

void
heap_release(void *context, void *pointer)
{
	Heap *counts = context;
	size_t *block;

	if (pointer == NULL)
		return;
	block = (size_t *) ((char *) pointer - sizeof(max_align_t));
	counts->live -= *block;
	counts->blocks--;
	free(block);
}

static void
heap_poll(void *context)
{
	Heap *counts = context;

	counts->polls++;
}

Heap heap;
const ImageAllocator allocator = {heap_allocate, heap_release, &heap, heap_poll};

int
reset_heap(void **state)
{
	(void) state;
	memset(&heap, 0, sizeof(heap));
	return 0;
}

int
check_heap(void **state)
{
	(void) state;
	assert_int_equal(heap.blocks, 0);
	return 0;
}

/* ---- PNGs ---- */

static void
append(png_structp png, png_bytep data, size_t size)
{
	Bytes *out = png_get_io_ptr(png);

	out->data = realloc(out->data, out->size + size);
	assert_non_null(out->data);
	memcpy(out->data + out->size, data, size);
	out->size += size;
}

static void
flush_nothing(png_structp png)
{
	(void) png;
}

Bytes
make_png(const Kind *kind, const uint8_t *raw)
{
	Bytes out = {NULL, 0};
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	int passes;
	size_t stride;

	png_set_write_fn(png, &out, append, flush_nothing);
	png_set_IHDR(png, info, (png_uint_32) kind->width, (png_uint_32) kind->height, kind->depth, kind->color,
				 kind->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
				 PNG_FILTER_TYPE_DEFAULT);
	if (kind->npalette > 0)
		png_set_PLTE(png, info, kind->palette, kind->npalette);
	if (kind->nopacities > 0)
		png_set_tRNS(png, info, kind->opacities, kind->nopacities, NULL);
	if (kind->keyed)
		png_set_tRNS(png, info, NULL, 0, &kind->key);
	png_write_info(png, info);
	stride = png_get_rowbytes(png, info);
	passes = png_set_interlace_handling(png);
	for (int pass = 0; pass < passes; pass++)
		for (int y = 0; y < kind->height; y++)
			png_write_row(png, raw + (size_t) y * stride);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	return out;
}

Bytes
make_gray(const uint8_t *pixels, int width, int height)
{
	Kind kind = {.width = width, .height = height, .depth = 8, .color = PNG_COLOR_TYPE_GRAY};

	return make_png(&kind, pixels);
}

/* An RGBA image of gray pixels with their opacities. */
Bytes
make_rgba(const uint8_t *gray, const uint8_t *alpha, int width, int height)
{
	Kind kind = {.width = width, .height = height, .depth = 8, .color = PNG_COLOR_TYPE_RGB_ALPHA};
	uint8_t *raw = malloc((size_t) width * height * 4);
	Bytes png;

	for (int i = 0; i < width * height; i++)
	{
		memset(raw + 4 * i, gray[i], 3);
		raw[4 * i + 3] = alpha[i];
	}
	png = make_png(&kind, raw);
	free(raw);
	return png;
}

ImageStatus
to_mnist(Bytes png, uint8_t *pixels, ImageError *error)
{
	ImageStatus status = image_to_mnist(png.data, png.size, MAX_PIXELS, &allocator, pixels, error);

	assert_int_equal(heap.blocks, 0);
	if (status != IMAGE_OK)
	{
		assert_int_equal(error->status, status);
		assert_true(error->message[0] >= 'a' || strncmp(error->message, "PNG", 3) == 0);
	}
	return status;
}

/* Bring a PNG that must be valid to MNIST's form, and free it. */
void
read_and_free(Bytes png, uint8_t *pixels)
{
	ImageError error;

	assert_int_equal(to_mnist(png, pixels, &error), IMAGE_OK);
	free(png.data);
}

void
set_sample(uint8_t *row, int depth, int index, int value)
{
	if (depth == 16)
	{
		row[2 * index] = (uint8_t) value;
		row[2 * index + 1] = (uint8_t) (value ^ 0x5a); /* the lower byte must make no difference */
	}
	else if (depth == 8)
		row[index] = (uint8_t) value;
	else
		row[index * depth / 8] |= (uint8_t) (value << (8 - depth - index * depth % 8));
}

/* A PNG of levels (0 .. 2^depth-1, or 0..255) in a colour type; opaque if the type has alpha. */
Bytes
write_kind(const uint8_t *levels, int width, int height, int color, int depth, bool interlaced)
{
	static uint8_t raw[RAW_MAX];
	Kind kind = {.width = width, .height = height, .depth = depth, .color = color, .interlaced = interlaced};
	int channels = color == PNG_COLOR_TYPE_RGB			? 3
				   : color == PNG_COLOR_TYPE_RGB_ALPHA	? 4
				   : color == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
														: 1;
	size_t stride = ((size_t) width * channels * depth + 7) / 8;

	memset(raw, 0, sizeof(raw));
	assert_true(stride * height <= sizeof(raw));
	if (color == PNG_COLOR_TYPE_PALETTE)
	{
		kind.npalette = 1 << depth;
		for (int i = 0; i < kind.npalette; i++)
		{
			uint8_t level = (uint8_t) (i * 255 / (kind.npalette - 1));

			kind.palette[i] = (png_color){level, level, level};
		}
	}
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			for (int c = 0; c < channels; c++)
			{
				bool opacity = (channels == 4 && c == 3) || (channels == 2 && c == 1);

				set_sample(raw + y * stride, depth, x * channels + c, opacity ? 255 : levels[y * width + x]);
			}
	return make_png(&kind, raw);
}

/* ---- images ---- */

/* A synthetic digit in MNIST's form. */
void
draw(int label, uint64_t key, uint8_t *pixels)
{
	ImageError error;

	assert_int_equal(image_synthetic(label, key, &allocator, pixels, &error), IMAGE_OK);
}

uint32_t
ink_of(const uint8_t *pixels)
{
	uint32_t sum = 0;

	for (int i = 0; i < IMAGE_PIXELS; i++)
		sum += pixels[i];
	return sum;
}

/* Mean absolute difference, in levels, over the pixels where either image has ink. */
double
distance(const uint8_t *a, const uint8_t *b)
{
	double sum = 0;
	int n = 0;

	for (int i = 0; i < IMAGE_PIXELS; i++)
		if (a[i] > 0 || b[i] > 0)
		{
			sum += abs(a[i] - b[i]);
			n++;
		}
	return n > 0 ? sum / n : 0;
}

/* Fill a canvas with level ground and draw pixels at (left, top), as blocks of scale x scale; ink has level pen. */
void
paint(uint8_t *canvas, int width, int height, int ground, int pen, const uint8_t *pixels, int scale, int left,
	  int top)
{
	memset(canvas, ground, (size_t) width * height);
	for (int y = 0; y < IMAGE_SIDE * scale; y++)
		for (int x = 0; x < IMAGE_SIDE * scale; x++)
			if (top + y >= 0 && top + y < height && left + x >= 0 && left + x < width)
			{
				int ink = pixels[y / scale * IMAGE_SIDE + x / scale];

				canvas[(top + y) * width + left + x] = (uint8_t) (ground + ((pen - ground) * ink) / 255);
			}
}
