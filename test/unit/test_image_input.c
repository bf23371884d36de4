/*
 * test_image_input.c: bad input gives an error and needs little memory; encoding; interrupts.
 */
#include "image_fixture.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "image/decode.h"
#include "image/encode.h"
#include "image/preprocess.h"

/* ---- bad input ---- */

static void
what_is_not_a_png(void **state)
{
	uint8_t raw[IMAGE_PIXELS + 1];
	uint8_t out[IMAGE_PIXELS];
	ImageError error;

	(void) state;
	for (int i = 0; i <= IMAGE_PIXELS; i++)
		raw[i] = (uint8_t) (i * 31);
	assert_int_equal(to_mnist((Bytes){raw, 0}, out, &error), IMAGE_ERR_FORMAT);
	assert_string_equal(error.message, "image is neither a PNG nor 784 raw bytes");
	assert_int_equal(to_mnist((Bytes){raw, 1}, out, &error), IMAGE_ERR_FORMAT);
	assert_int_equal(to_mnist((Bytes){raw, IMAGE_PIXELS - 1}, out, &error), IMAGE_ERR_FORMAT);
	assert_int_equal(to_mnist((Bytes){raw, IMAGE_PIXELS + 1}, out, &error), IMAGE_ERR_FORMAT);
	assert_int_equal(heap.calls, 0);
	assert_int_equal(to_mnist((Bytes){raw, IMAGE_PIXELS}, out, &error), IMAGE_OK);
	assert_memory_equal(out, raw, IMAGE_PIXELS);
}

/* Set width and height in the header and correct its checksum. */
static void
set_size(Bytes png, uint32_t width, uint32_t height)
{
	uint32_t crc;

	for (int i = 0; i < 4; i++)
	{
		png.data[16 + i] = (uint8_t) (width >> (24 - 8 * i));
		png.data[20 + i] = (uint8_t) (height >> (24 - 8 * i));
	}
	crc = (uint32_t) crc32(0, png.data + 12, 17);
	for (int i = 0; i < 4; i++)
		png.data[29 + i] = (uint8_t) (crc >> (24 - 8 * i));
}

static void
size_is_checked_before_anything_else(void **state)
{
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	ImageError error;
	Bytes png;

	(void) state;
	draw(1, 1, digit);
	png = make_gray(digit, 28, 28);
	reset_heap(NULL);
	set_size(png, 60000, 60000);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_LIMIT);
	assert_int_equal(heap.calls, 0);
	assert_string_equal(error.detail, "It has 60000 x 60000 pixels; at most 16777216 are allowed.");
	set_size(png, 0xffffffff, 0xffffffff);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_LIMIT);
	set_size(png, 70000, 1);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_LIMIT);
	set_size(png, 0, 28);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_CORRUPT);
	assert_int_equal(heap.calls, 0);
	/* the data must be as long as the header says */
	set_size(png, 28, 29);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_CORRUPT);
	set_size(png, 4000, 4000);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_CORRUPT);
	set_size(png, 28, 28);
	assert_int_equal(to_mnist(png, out, &error), IMAGE_OK);
	assert_int_equal(image_to_mnist(png.data, png.size, 783, &allocator, out, &error), IMAGE_ERR_LIMIT);
	assert_int_equal(image_to_mnist(png.data, png.size, 784, &allocator, out, &error), IMAGE_OK);
	free(png.data);
}

/* Append a chunk to out. */
static void
add_chunk(Bytes *out, const char *type, const uint8_t *data, size_t size)
{
	uint32_t crc = (uint32_t) crc32(crc32(0, (const Bytef *) type, 4), data, (uInt) size);
	uint8_t *p;

	out->data = realloc(out->data, out->size + size + 12);
	p = out->data + out->size;
	for (int i = 0; i < 4; i++)
	{
		p[i] = (uint8_t) (size >> (24 - 8 * i));
		p[8 + size + i] = (uint8_t) (crc >> (24 - 8 * i));
	}
	memcpy(p + 4, type, 4);
	if (size > 0)
		memcpy(p + 8, data, size);
	out->size += size + 12;
}

/* A copy of the PNG with another chunk after its header. */
static Bytes
with_chunk(Bytes png, const char *type, const uint8_t *data, size_t size)
{
	Bytes out = {malloc(33), 33};

	memcpy(out.data, png.data, 33);
	add_chunk(&out, type, data, size);
	out.data = realloc(out.data, out.size + png.size - 33);
	memcpy(out.data + out.size, png.data + 33, png.size - 33);
	out.size += png.size - 33;
	return out;
}

/* 20 MB of zeros, deflated, after a prefix. */
static Bytes
make_bomb(const char *prefix, size_t nprefix)
{
	static uint8_t zeros[1024 * 1024];
	Bytes out = {malloc(2 * sizeof(zeros)), 0};
	z_stream stream = {0};

	memcpy(out.data, prefix, nprefix);
	deflateInit(&stream, 9);
	stream.next_out = out.data + nprefix;
	stream.avail_out = (uInt) (2 * sizeof(zeros) - nprefix);
	for (int i = 0; i < 20; i++)
	{
		stream.next_in = zeros;
		stream.avail_in = sizeof(zeros);
		deflate(&stream, i < 19 ? Z_NO_FLUSH : Z_FINISH);
	}
	out.size = nprefix + stream.total_out;
	deflateEnd(&stream);
	return out;
}

static void
bombs_cost_nothing(void **state)
{
	static const struct
	{
		const char *type;
		const char *prefix;
		size_t size;
	} bombs[] = {{"zTXt", "key\0\0", 5}, {"iTXt", "key\0\1\0\0\0", 8}, {"iCCP", "profile\0\0", 9},
				 {"tEXt", "key\0", 4},	 {"sPLT", "p\0\10", 3},		   {"eXIf", "II", 2},
				 {"prIv", "", 0}};
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	ImageError error;
	Bytes png;

	(void) state;
	draw(1, 1, digit);
	png = make_gray(digit, 28, 28);
	for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++)
	{
		Bytes bomb = make_bomb(bombs[i].prefix, bombs[i].size);
		Bytes armed = with_chunk(png, bombs[i].type, bomb.data, bomb.size);

		reset_heap(NULL);
		assert_int_equal(to_mnist(armed, out, &error), IMAGE_OK);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
		assert_true(heap.peak < 128 * 1024);
		free(bomb.data);
		free(armed.data);
	}
	/* image data that continue for 20 MB after the last row */
	{
		Bytes bomb = make_bomb("", 0);
		Bytes armed = {malloc(33), 33};

		memcpy(armed.data, png.data, 33);
		add_chunk(&armed, "IDAT", bomb.data, bomb.size);
		add_chunk(&armed, "IEND", NULL, 0);
		reset_heap(NULL);
		to_mnist(armed, out, &error);
		assert_true(heap.peak < 128 * 1024);
		free(bomb.data);
		free(armed.data);
	}
	free(png.data);
}

/* Small PNGs of several kinds, for the tests that try every byte or every allocation. */
static Bytes
small_png(int i)
{
	static const int kinds[][2] = {{PNG_COLOR_TYPE_GRAY, 8},
								   {PNG_COLOR_TYPE_RGB_ALPHA, 8},
								   {PNG_COLOR_TYPE_PALETTE, 4},
								   {PNG_COLOR_TYPE_GRAY_ALPHA, 16}};
	uint8_t levels[40 * 30];

	for (int k = 0; k < 40 * 30; k++)
		levels[k] = k % 40 > 15 && k % 40 < 22 ? 15 : 0;
	return write_kind(levels, 40, 30, kinds[i % 4][0], kinds[i % 4][1], i >= 4);
}

static void
truncation_is_an_error(void **state)
{
	(void) state;
	for (int i = 0; i < 8; i++)
	{
		Bytes png = small_png(i);
		uint8_t out[IMAGE_PIXELS];
		ImageError error;

		assert_int_equal(to_mnist(png, out, &error), IMAGE_OK);
		for (size_t size = 0; size < png.size; size++)
		{
			/* a copy of exactly that size, so that AddressSanitizer finds any access beyond it */
			Bytes part = {malloc(size > 0 ? size : 1), size};

			memcpy(part.data, png.data, size);
			if (size != IMAGE_PIXELS)
				assert_int_equal(to_mnist(part, out, &error), size < 8 ? IMAGE_ERR_FORMAT : IMAGE_ERR_CORRUPT);
			free(part.data);
		}
		free(png.data);
	}
}

static void
every_damaged_byte_is_an_error(void **state)
{
	Bytes plain = small_png(1);
	Bytes png = with_chunk(plain, "tEXt", (const uint8_t *) "key\0some text", 13);
	uint8_t out[IMAGE_PIXELS];
	ImageError error;

	(void) state;
	assert_int_equal(to_mnist(png, out, &error), IMAGE_OK);
	for (size_t i = 0; i < png.size; i++)
		for (int bit = 0; bit < 8; bit++)
		{
			png.data[i] ^= (uint8_t) (1 << bit);
			assert_int_not_equal(to_mnist(png, out, &error), IMAGE_OK);
			png.data[i] ^= (uint8_t) (1 << bit);
		}
	free(png.data);
	free(plain.data);
}

static void
running_out_of_memory_is_an_error(void **state)
{
	(void) state;
	for (int i = 0; i < 8; i++)
	{
		Bytes png = small_png(i);
		uint8_t out[IMAGE_PIXELS];
		ImageError error;
		int needed;

		reset_heap(NULL);
		assert_int_equal(to_mnist(png, out, &error), IMAGE_OK);
		needed = heap.calls;
		assert_true(needed >= 5);
		for (int k = 1; k <= needed; k++)
		{
			reset_heap(NULL);
			heap.fail_at = k;
			assert_int_equal(to_mnist(png, out, &error), IMAGE_ERR_MEMORY);
			assert_string_equal(error.message, "out of memory");
		}
		free(png.data);
	}
}

/* ---- encoding ---- */

static void
encoding_round_trips(void **state)
{
	static const ImageColor colors[] = {IMAGE_GRAY, IMAGE_RGB, IMAGE_RGBA};
	static uint8_t samples[28 * 28 * 4];
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	ImageError error;
	int needed;

	(void) state;
	draw(5, 5, digit);
	for (size_t c = 0; c < 3; c++)
	{
		int channels = (int) colors[c];
		uint8_t *png = NULL;
		size_t size = 0;

		for (int i = 0; i < IMAGE_PIXELS * channels; i++)
			samples[i] = channels == 4 && i % 4 == 3 ? 255 : digit[i / channels];
		reset_heap(NULL);
		assert_int_equal(image_encode(samples, 28, 28, colors[c], &allocator, &png, &size, &error), IMAGE_OK);
		needed = heap.calls;
		assert_int_equal(heap.blocks, 1);
		assert_int_equal(png[25], channels == 1 ? 0 : channels == 3 ? 2 : 6);
		assert_int_equal(image_to_mnist(png, size, MAX_PIXELS, &allocator, out, &error), IMAGE_OK);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
		heap_release(&heap, png);
		for (int k = 1; k <= needed; k++)
		{
			reset_heap(NULL);
			heap.fail_at = k;
			assert_int_equal(image_encode(samples, 28, 28, colors[c], &allocator, &png, &size, &error),
							 IMAGE_ERR_MEMORY);
			assert_int_equal(heap.blocks, 0);
		}
	}
	assert_int_equal(image_encode(samples, 0, 28, IMAGE_GRAY, &allocator, NULL, NULL, &error), IMAGE_ERR_LIMIT);
	assert_int_equal(image_encode(samples, 28, 70000, IMAGE_GRAY, &allocator, NULL, NULL, &error), IMAGE_ERR_LIMIT);
}

/* A PNG of exactly 784 bytes is not taken for raw pixels. */
static void
png_of_784_bytes(void **state)
{
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	uint8_t filling[IMAGE_PIXELS] = {0};
	ImageError error;
	Bytes png;
	Bytes padded;

	(void) state;
	draw(5, 5, digit);
	png = make_gray(digit, 28, 28);
	assert_true(png.size + 12 <= IMAGE_PIXELS);
	padded = with_chunk(png, "tEXt", filling, IMAGE_PIXELS - png.size - 12);
	assert_int_equal(padded.size, IMAGE_PIXELS);
	assert_int_equal(to_mnist(padded, out, &error), IMAGE_OK);
	assert_memory_equal(out, digit, IMAGE_PIXELS);
	free(png.data);
	free(padded.data);
}

/* ---- interrupts ---- */

/* A canvas of n x n with strokes: in gray, or in RGBA with a transparent background. */
static Bytes
make_canvas(int n, bool transparent)
{
	uint8_t *canvas = calloc((size_t) n, (size_t) n);
	uint8_t *alpha = malloc((size_t) n * (size_t) n);
	uint8_t digit[IMAGE_PIXELS];
	Bytes png;

	assert_true(canvas != NULL && alpha != NULL);
	draw(5, 5, digit);
	paint(canvas, n, n, 0, 255, digit, n / 30, n / 60, n / 60);
	for (size_t i = 0; i < (size_t) n * (size_t) n; i++)
		alpha[i] = canvas[i] > 0 ? 255 : 0;
	png = transparent ? make_rgba(canvas, alpha, n, n) : make_gray(canvas, n, n);
	free(alpha);
	free(canvas);
	return png;
}

/* The decoder calls poll for every row, and each of the passes after it does, too. */
static void
large_pictures_look_for_interrupts(void **state)
{
	const int n = 2000;

	(void) state;
	for (int transparent = 0; transparent < 2; transparent++)
	{
		Bytes png = make_canvas(n, transparent);
		ImageInk ink;
		ImageError error;
		uint8_t out[IMAGE_PIXELS];
		int decoded;

		heap.polls = 0;
		assert_int_equal(image_decode(png.data, png.size, MAX_PIXELS, &allocator, &ink, &error), IMAGE_OK);
		decoded = heap.polls;
		assert_in_range(decoded, n + 2 * n * n / (1 << 20) + transparent * n, 10 * n);
		assert_int_equal(image_normalize(&ink, &allocator, out, &error), IMAGE_OK);
		assert_in_range(heap.polls - decoded, 2 * n + n / 2, 10 * n);
		heap_release(&heap, ink.ink);
		free(png.data);
	}
}

/* Like a memory context of the server: freeing it frees all blocks in it. */
typedef struct Arena
{
	void *blocks[1000];
	int nblocks;
	int polls;
	int stop_at; /* number of the call of poll that jumps out, from 1; 0: none */
	jmp_buf stop;
} Arena;

static void *
arena_allocate(void *context, size_t size)
{
	Arena *arena = context;

	assert_in_range(arena->nblocks, 0, 999);
	return arena->blocks[arena->nblocks++] = malloc(size);
}

static void
arena_release(void *context, void *pointer)
{
	(void) context;
	(void) pointer;
}

static void
arena_poll(void *context)
{
	Arena *arena = context;

	if (++arena->polls == arena->stop_at)
		longjmp(arena->stop, 1);
}

/* Convert a PNG; the stop_at-th call of poll jumps out.  Returns false if that happened. */
static bool
read_in_arena(Bytes png, int stop_at, uint8_t out[IMAGE_PIXELS])
{
	static Arena arena;
	const ImageAllocator leaving = {arena_allocate, arena_release, &arena, arena_poll};
	ImageError error;
	volatile bool done = false;

	memset(&arena, 0, sizeof(arena));
	arena.stop_at = stop_at;
	if (setjmp(arena.stop) == 0)
	{
		assert_int_equal(image_to_mnist(png.data, png.size, MAX_PIXELS, &leaving, out, &error), IMAGE_OK);
		done = true;
	}
	while (arena.nblocks > 0)
		free(arena.blocks[--arena.nblocks]);
	return done;
}

/* Any call of poll may jump out: all memory is the allocator's, and the next conversion gives the same result. */
static void
reading_can_be_left_anywhere(void **state)
{
	Bytes png = make_canvas(300, true);
	uint8_t whole[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	ImageError error;
	int polls;

	(void) state;
	heap.polls = 0;
	assert_int_equal(to_mnist(png, whole, &error), IMAGE_OK);
	polls = heap.polls;
	assert_true(polls > 600);
	for (int stop_at = 1; stop_at <= polls; stop_at += 7)
		assert_false(read_in_arena(png, stop_at, out));
	assert_true(read_in_arena(png, 0, out));
	assert_memory_equal(out, whole, IMAGE_PIXELS);
	free(png.data);
}

/* The encoder calls poll, too. */
static void
encoding_looks_for_interrupts(void **state)
{
	const int n = 1000;
	uint8_t *samples = calloc((size_t) n, (size_t) n);
	uint8_t *png;
	size_t size;
	ImageError error;

	(void) state;
	heap.polls = 0;
	assert_int_equal(image_encode(samples, n, n, IMAGE_GRAY, &allocator, &png, &size, &error), IMAGE_OK);
	assert_in_range(heap.polls, n, 2 * n);
	heap_release(&heap, png);
	free(samples);
}

/* Bytes after the end of a PNG do not count as part of it. */
static void
end_of_png_is_told(void **state)
{
	uint8_t digit[IMAGE_PIXELS];
	uint8_t out[IMAGE_PIXELS];
	ImageSource from;
	ImageError error;
	Bytes png;

	(void) state;
	draw(3, 3, digit);
	png = make_gray(digit, 28, 28);
	for (size_t more = 0; more < 3000; more = 2 * more + 1)
	{
		Bytes longer = {malloc(png.size + more), png.size + more};

		memcpy(longer.data, png.data, png.size);
		memset(longer.data + png.size, 'x', more);
		assert_int_equal(image_to_mnist_source(longer.data, longer.size, MAX_PIXELS, &allocator, out, &from, &error),
						 IMAGE_OK);
		assert_int_equal(from.size, png.size);
		assert_memory_equal(out, digit, IMAGE_PIXELS);
		free(longer.data);
	}
	assert_int_equal(image_to_mnist_source(out, IMAGE_PIXELS, MAX_PIXELS, &allocator, out, &from, &error), IMAGE_OK);
	assert_int_equal(from.size, IMAGE_PIXELS);
	free(png.data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_not_a_png),
		CASE(size_is_checked_before_anything_else),
		CASE(bombs_cost_nothing),
		CASE(truncation_is_an_error),
		CASE(every_damaged_byte_is_an_error),
		CASE(running_out_of_memory_is_an_error),
		CASE(encoding_round_trips),
		CASE(png_of_784_bytes),
		CASE(large_pictures_look_for_interrupts),
		CASE(reading_can_be_left_anywhere),
		CASE(encoding_looks_for_interrupts),
		CASE(end_of_png_is_told),
	};

	return cmocka_run_group_tests_name("image: input", tests, NULL, NULL);
}
