/*
 * fuzz_png.c: image_to_mnist on any bytes.
 *
 * Most random changes to a PNG are stopped by a checksum.  So the mutator makes PNGs of every kind itself, changes
 * them before or after their rows are deflated, and usually corrects the checksums.
 */
#include "image/decode.h"
#include "image/encode.h"
#include "image/preprocess.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MAX_PIXELS (256 * 256)
#define SIGNATURE_SIZE 8

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
extern size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static size_t live; /* blocks allocated and not released */

static void *
allocate(void *context, size_t size)
{
	void *block = malloc(size);

	(void) context;
	live += block != NULL;
	return block;
}

static void
release(void *context, void *pointer)
{
	(void) context;
	live -= pointer != NULL;
	free(pointer);
}

static void
require(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	ImageAllocator allocator = {allocate, release, NULL, NULL};
	uint8_t pixels[IMAGE_PIXELS];
	uint8_t again[IMAGE_PIXELS];
	uint8_t *png;
	size_t png_size;
	ImageError error;
	ImageStatus status;

	status = image_to_mnist(data, size, MAX_PIXELS, &allocator, pixels, &error);
	require(live == 0, "what was allocated is released");
	if (status != IMAGE_OK)
	{
		require(error.status == status, "the error says its status");
		require(memchr(error.message, '\0', sizeof(error.message)) != NULL, "the message is terminated");
		require(memchr(error.detail, '\0', sizeof(error.detail)) != NULL, "the detail is terminated");
		require(error.message[0] != '\0', "the error has a message");
		return 0;
	}
	/* the result can be encoded and decoded again */
	require(image_encode(pixels, IMAGE_SIDE, IMAGE_SIDE, IMAGE_GRAY, &allocator, &png, &png_size, &error) == IMAGE_OK,
			"the result is encoded");
	require(image_to_mnist(png, png_size, MAX_PIXELS, &allocator, again, &error) == IMAGE_OK, "and decoded");
	release(NULL, png);
	require(live == 0, "what was allocated for it is released");
	return 0;
}

static void
put_uint32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t) (value >> (24 - 8 * i));
}

static uint32_t
get_uint32(const uint8_t *in)
{
	return (uint32_t) in[0] << 24 | (uint32_t) in[1] << 16 | (uint32_t) in[2] << 8 | in[3];
}

/* Write a chunk to out; returns its size. */
static size_t
put_chunk(uint8_t *out, const char *type, const uint8_t *data, size_t size)
{
	put_uint32(out, (uint32_t) size);
	memcpy(out + 4, type, 4);
	if (size > 0)
		memcpy(out + 8, data, size);
	put_uint32(out + 8 + size, (uint32_t) crc32(0, out + 4, (uInt) size + 4));
	return size + 12;
}

/* Make a small PNG of a random kind, with random rows; returns its size. */
static size_t
make_png(Rng *rng, uint8_t *out)
{
	static const uint8_t kinds[][2] = {{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1},
									   {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
	uint8_t header[13] = {0};
	uint8_t chunk[768];
	uint8_t rows[8192];
	uint8_t deflated[9000];
	uLongf deflated_size = sizeof(deflated);
	uint32_t kind = rng_below(rng, sizeof(kinds) / sizeof(kinds[0]));
	uint32_t nrows = 1 + rng_below(rng, sizeof(rows));
	uint32_t zeros = rng_below(rng, 10);
	size_t size = SIGNATURE_SIZE;

	put_uint32(header, 1 + rng_below(rng, 40));
	put_uint32(header + 4, 1 + rng_below(rng, 40));
	header[8] = kinds[kind][1];
	header[9] = kinds[kind][0];
	header[12] = rng_below(rng, 3) == 0;
	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t) rng_below(rng, 256);
	for (uint32_t i = 0; i < nrows; i++)
		rows[i] = (uint8_t) (rng_below(rng, 10) < zeros ? rng_below(rng, 5) : rng_below(rng, 256));
	compress(deflated, &deflated_size, rows, nrows);

	memcpy(out, "\211PNG\r\n\032\n", SIGNATURE_SIZE);
	size += put_chunk(out + size, "IHDR", header, sizeof(header));
	if (header[9] == 3 || rng_below(rng, 10) == 0)
		size += put_chunk(out + size, "PLTE", chunk, (size_t) (header[8] == 8 ? 256 : 1 << (header[8] & 7)) * 3);
	if (rng_below(rng, 3) == 0)
		size += put_chunk(out + size, "tRNS", chunk, header[9] == 2 ? 6 : header[9] == 0 ? 2 : rng_below(rng, 17));
	if (rng_below(rng, 5) == 0)
		size += put_chunk(out + size, "zTXt", chunk, rng_below(rng, 200));
	size += put_chunk(out + size, "IDAT", deflated, deflated_size);
	size += put_chunk(out + size, "IEND", NULL, 0);
	return size;
}

/* Correct the checksums of all chunks. */
static void
repair(uint8_t *data, size_t size)
{
	size_t at = SIGNATURE_SIZE;

	while (at + 12 <= size)
	{
		uint32_t length = get_uint32(data + at);

		if (length > size - at - 12)
			return;
		put_uint32(data + at + 8 + length, (uint32_t) crc32(0, data + at + 4, length + 4));
		at += length + 12;
	}
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	uint8_t png[16384];
	Rng rng = rng_start(seed);

	if (!image_is_png(data, size) || rng_below(&rng, 4) == 0)
	{
		size_t made = make_png(&rng, png);

		if (made <= max_size)
		{
			memcpy(data, png, made);
			size = made;
		}
		if (rng_below(&rng, 2) == 0)
			return size;
	}
	size = LLVMFuzzerMutate(data, size, max_size);
	if (rng_below(&rng, 8) != 0)
		repair(data, size);
	return size;
}
