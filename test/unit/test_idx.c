/*
 * test_idx.c: IDX files, as published and damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/idx.h"

#define LARGE_ITEMS 1000
#define MAX_FILE (64 * 1024)

static int live_allocations;

static void *
allocate(void *context, size_t size)
{
	(void) context;
	live_allocations++;
	return malloc(size);
}

static void
release(void *context, void *pointer)
{
	(void) context;
	live_allocations--;
	free(pointer);
}

static void *
allocate_nothing(void *context, size_t size)
{
	(void) context;
	(void) size;
	return NULL;
}

static const ImageAllocator heap = {allocate, release, NULL, NULL};
static const ImageAllocator exhausted = {allocate_nothing, release, NULL, NULL};

static void
put32(uint8_t *out, uint32_t value)
{
	out[0] = value >> 24;
	out[1] = value >> 16;
	out[2] = value >> 8;
	out[3] = value;
}

/* Make a file of n images, in which all bytes of image i are i; returns its size. */
static size_t
make_images(uint8_t *out, uint32_t n)
{
	put32(out, 0x803);
	put32(out + 4, n);
	put32(out + 8, 28);
	put32(out + 12, 28);
	for (uint32_t i = 0; i < n; i++)
		memset(out + 16 + i * 784, (int) i, 784);
	return 16 + n * 784;
}

/* Make a file of n labels 0, 1, ..., 9, 0, ...; returns its size. */
static size_t
make_labels(uint8_t *out, uint32_t n)
{
	put32(out, 0x801);
	put32(out + 4, n);
	for (uint32_t i = 0; i < n; i++)
		out[8 + i] = i % 10;
	return 8 + n;
}

/* Compress in gzip's format; returns the size. */
static size_t
gzip(uint8_t *out, const uint8_t *data, size_t size)
{
	z_stream stream;

	memset(&stream, 0, sizeof(stream));
	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (z_const Bytef *) data;
	stream.avail_in = size;
	stream.next_out = out;
	stream.avail_out = MAX_FILE;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&stream), Z_OK);
	return stream.total_out;
}

/* Read a whole file; returns the first status that is not IMAGE_OK. */
static ImageStatus
read_all(IdxKind kind, const uint8_t *data, size_t size, ImageError *error)
{
	IdxReader reader;
	uint8_t item[784];
	ImageStatus status;

	status = idx_open(&reader, kind, data, size, &heap, error);
	if (status != IMAGE_OK)
		return status;
	while (status == IMAGE_OK && reader.next < reader.nitems)
		status = idx_read(&reader, item, error);
	if (status == IMAGE_OK)
		status = idx_finish(&reader, error);
	idx_close(&reader);
	return status;
}

static void
expect_failure(IdxKind kind, const uint8_t *data, size_t size, ImageStatus expected)
{
	ImageError error = {0};
	ImageStatus status = read_all(kind, data, size, &error);

	assert_int_equal(status, expected);
	assert_int_equal(error.status, expected);
	assert_true(error.message[0] != '\0');
	assert_int_equal(live_allocations, 0);
}

static void
check_images(const uint8_t *data, size_t size, int n)
{
	IdxReader reader;
	ImageError error;
	uint8_t item[784];

	assert_int_equal(idx_open(&reader, IDX_IMAGES, data, size, &heap, &error), IMAGE_OK);
	assert_int_equal(reader.nitems, n);
	assert_int_equal(reader.item_size, 784);
	for (int i = 0; i < n; i++)
	{
		assert_int_equal(idx_read(&reader, item, &error), IMAGE_OK);
		for (int j = 0; j < 784; j++)
			assert_int_equal(item[j], i);
	}
	assert_int_equal(idx_finish(&reader, &error), IMAGE_OK);
	idx_close(&reader);
	assert_int_equal(live_allocations, 0);
}

static void
test_reads_what_was_written(void **state)
{
	static uint8_t plain[MAX_FILE];
	static uint8_t compressed[MAX_FILE];
	size_t size = make_images(plain, 50);
	ImageError error;

	(void) state;
	check_images(plain, size, 50);
	check_images(compressed, gzip(compressed, plain, size), 50);

	size = make_labels(plain, 1000);
	assert_int_equal(read_all(IDX_LABELS, plain, size, &error), IMAGE_OK);
	assert_int_equal(read_all(IDX_LABELS, compressed, gzip(compressed, plain, size), &error), IMAGE_OK);
}

static void
test_every_truncation_is_noticed(void **state)
{
	static uint8_t plain[MAX_FILE];
	static uint8_t compressed[MAX_FILE];
	size_t size = make_images(plain, 3);
	size_t compressed_size = gzip(compressed, plain, size);

	(void) state;
	for (size_t n = 0; n < size; n++)
		expect_failure(IDX_IMAGES, plain, n, IMAGE_ERR_CORRUPT);
	for (size_t n = 0; n < compressed_size; n++)
		expect_failure(IDX_IMAGES, compressed, n, IMAGE_ERR_CORRUPT);
}

static void
test_what_follows_is_noticed(void **state)
{
	static uint8_t plain[MAX_FILE];
	static uint8_t compressed[MAX_FILE];
	size_t size = make_labels(plain, 100);
	size_t compressed_size;

	(void) state;
	compressed_size = gzip(compressed, plain, size + 1);
	expect_failure(IDX_LABELS, compressed, compressed_size, IMAGE_ERR_CORRUPT);
	expect_failure(IDX_LABELS, plain, size + 1, IMAGE_ERR_CORRUPT);
	compressed_size = gzip(compressed, plain, size);
	compressed[compressed_size] = 0;
	expect_failure(IDX_LABELS, compressed, compressed_size + 1, IMAGE_ERR_CORRUPT);
}

/* A damaged gzip file gives an error or, if the damage has no effect, the same items as before. */
static void
test_damage_is_noticed(void **state)
{
	static uint8_t plain[MAX_FILE];
	static uint8_t compressed[MAX_FILE];
	size_t size = make_images(plain, 3);
	size_t compressed_size = gzip(compressed, plain, size);
	int noticed = 0;

	(void) state;
	for (size_t n = 0; n < compressed_size; n++)
	{
		IdxReader reader;
		ImageError error;
		uint8_t items[3 * 784];
		bool good;

		compressed[n] ^= 0x10;
		good = idx_open(&reader, IDX_IMAGES, compressed, compressed_size, &heap, &error) == IMAGE_OK;
		if (good)
		{
			good = reader.nitems == 3;
			for (int i = 0; good && i < 3; i++)
				good = idx_read(&reader, items + i * 784, &error) == IMAGE_OK;
			good = good && idx_finish(&reader, &error) == IMAGE_OK;
			idx_close(&reader);
		}
		if (good)
			assert_memory_equal(items, plain + 16, sizeof(items));
		else
			noticed++;
		assert_int_equal(live_allocations, 0);
		compressed[n] ^= 0x10;
	}
	assert_true(noticed > 20);
}

static void
test_wrong_headers(void **state)
{
	static uint8_t plain[MAX_FILE];
	size_t size = make_images(plain, 2);

	(void) state;
	expect_failure(IDX_LABELS, plain, size, IMAGE_ERR_FORMAT); /* the other kind */
	assert_true(idx_is(IDX_IMAGES, plain, size, &heap));
	assert_false(idx_is(IDX_LABELS, plain, size, &heap));

	put32(plain, 0x80803);
	expect_failure(IDX_IMAGES, plain, size, IMAGE_ERR_FORMAT);
	put32(plain, 0xD03); /* floats */
	expect_failure(IDX_IMAGES, plain, size, IMAGE_ERR_FORMAT);
	put32(plain, 0x803);
	put32(plain + 8, 32);
	expect_failure(IDX_IMAGES, plain, size, IMAGE_ERR_FORMAT);
	put32(plain + 8, 28);
	put32(plain + 4, 0);
	expect_failure(IDX_IMAGES, plain, size, IMAGE_ERR_CORRUPT);
	put32(plain + 4, IDX_MAX_ITEMS + 1);
	expect_failure(IDX_IMAGES, plain, size, IMAGE_ERR_LIMIT);
	put32(plain + 4, UINT32_MAX);
	expect_failure(IDX_IMAGES, plain, size, IMAGE_ERR_LIMIT);
	expect_failure(IDX_IMAGES, (const uint8_t *) "\x89PNG\r\n\x1a\n", 8, IMAGE_ERR_FORMAT);
}

static void
test_labels_out_of_range(void **state)
{
	uint8_t plain[64];
	size_t size = make_labels(plain, 10);

	(void) state;
	plain[8 + 7] = 10;
	expect_failure(IDX_LABELS, plain, size, IMAGE_ERR_CORRUPT);
}

/* A small file that would inflate to gigabytes is refused as soon as it exceeds the size in its header. */
static void
test_bomb_is_not_inflated(void **state)
{
	static uint8_t zeros[1024 * 1024];
	static uint8_t bomb[1024 * 1024];
	z_stream stream;
	IdxReader reader;
	ImageError error;
	uint8_t header[8];
	uint8_t label;

	(void) state;
	put32(header, 0x801);
	put32(header + 4, 1);
	memset(&stream, 0, sizeof(stream));
	assert_int_equal(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_out = bomb;
	stream.avail_out = sizeof(bomb);
	stream.next_in = header;
	stream.avail_in = sizeof(header);
	assert_int_equal(deflate(&stream, Z_NO_FLUSH), Z_OK);
	for (int i = 0; i < 64; i++)
	{
		stream.next_in = zeros;
		stream.avail_in = sizeof(zeros);
		assert_int_equal(deflate(&stream, i < 63 ? Z_NO_FLUSH : Z_FINISH), i < 63 ? Z_OK : Z_STREAM_END);
	}
	deflateEnd(&stream);

	assert_int_equal(idx_open(&reader, IDX_LABELS, bomb, stream.total_out, &heap, &error), IMAGE_OK);
	assert_int_equal(idx_read(&reader, &label, &error), IMAGE_OK);
	assert_int_equal(idx_finish(&reader, &error), IMAGE_ERR_CORRUPT);
	assert_true(reader.stream.total_out <= sizeof(header) + 2);
	idx_close(&reader);
	assert_int_equal(live_allocations, 0);
}

static void
test_out_of_memory(void **state)
{
	static uint8_t plain[MAX_FILE];
	static uint8_t compressed[MAX_FILE];
	size_t size = gzip(compressed, plain, make_images(plain, 2));
	IdxReader reader;
	ImageError error;

	(void) state;
	assert_int_equal(idx_open(&reader, IDX_IMAGES, compressed, size, &exhausted, &error), IMAGE_ERR_MEMORY);
}

static int polls;

static void
count_poll(void *context)
{
	(void) context;
	polls++;
}

/* Files longer than a slice are read correctly, and the caller's poll function is called at every slice. */
static void
test_large_files(void **state)
{
	static uint8_t plain[LARGE_ITEMS * 784 + 16];
	static uint8_t compressed[LARGE_ITEMS * 784 + 4096];
	const ImageAllocator asking = {allocate, release, NULL, count_poll};
	z_stream stream;
	size_t size = make_images(plain, LARGE_ITEMS);

	(void) state;
	/* bytes that do not compress */
	for (size_t i = 16; i < size; i++)
		plain[i] = (uint8_t) (i * i * 31 % 65521 >> 3);
	memset(&stream, 0, sizeof(stream));
	assert_int_equal(deflateInit2(&stream, 0, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = plain;
	stream.avail_in = (uInt) size;
	stream.next_out = compressed;
	stream.avail_out = sizeof(compressed);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	deflateEnd(&stream);
	for (int kind = 0; kind < 2; kind++)
	{
		const uint8_t *file = kind == 0 ? plain : compressed;
		size_t length = kind == 0 ? size : stream.total_out;
		IdxReader reader;
		ImageError error;
		uint8_t item[784];

		polls = 0;
		assert_int_equal(idx_open(&reader, IDX_IMAGES, file, length, &asking, &error), IMAGE_OK);
		for (int i = 0; i < LARGE_ITEMS; i++)
		{
			assert_int_equal(idx_read(&reader, item, &error), IMAGE_OK);
			assert_memory_equal(item, plain + 16 + i * 784, 784);
		}
		assert_int_equal(idx_finish(&reader, &error), IMAGE_OK);
		assert_in_range(polls, 3, 20);
		idx_close(&reader);
		assert_int_equal(read_all(IDX_IMAGES, file, length - 1, &error), IMAGE_ERR_CORRUPT);
	}
	assert_int_equal(live_allocations, 0);
}

/* A compressed file can consist of empty blocks and produce no output: poll is called all the same. */
static void
test_nothing_compressed_is_interruptible(void **state)
{
	static uint8_t file[4 * 1024 * 1024];
	const ImageAllocator asking = {allocate, release, NULL, count_poll};
	const uint8_t header[10] = {0x1f, 0x8b, 8};
	const uint8_t block[5] = {0, 0, 0, 0xff, 0xff};
	IdxReader reader;
	ImageError error;

	(void) state;
	memcpy(file, header, sizeof(header));
	for (size_t i = sizeof(header); i + sizeof(block) <= sizeof(file); i += sizeof(block))
		memcpy(file + i, block, sizeof(block));
	polls = 0;
	assert_int_equal(idx_open(&reader, IDX_IMAGES, file, sizeof(file), &asking, &error), IMAGE_ERR_CORRUPT);
	assert_in_range(polls, 16, 20);
	assert_int_equal(live_allocations, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads_what_was_written),
									   cmocka_unit_test(test_every_truncation_is_noticed),
									   cmocka_unit_test(test_what_follows_is_noticed),
									   cmocka_unit_test(test_damage_is_noticed),
									   cmocka_unit_test(test_wrong_headers),
									   cmocka_unit_test(test_labels_out_of_range),
									   cmocka_unit_test(test_bomb_is_not_inflated),
									   cmocka_unit_test(test_out_of_memory),
									   cmocka_unit_test(test_large_files),
									   cmocka_unit_test(test_nothing_compressed_is_interruptible)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
