/*
 * test_blob.c: weights as bytes: what was written can be read, and everything else is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "nn/formats/blob.h"
#include "nn/nn.h"

#define SMALL "conv 3 5x5, bn, relu, maxpool 6, dropout 0.1, dense 10"
#define SMALL_LEN (sizeof(SMALL) - 1)
#define HEADER 24

typedef struct Sample
{
	NnNet net;
	float *values;
	uint8_t *blob;
	size_t size;
} Sample;

static Sample
make_sample(const char *text)
{
	Sample s;
	NnError error;

	assert_int_equal(nn_net_parse(&s.net, text, strlen(text), &error), NN_OK);
	s.values = malloc(s.net.nvalues * sizeof(float));
	s.size = nn_blob_size(&s.net);
	s.blob = malloc(s.size);
	assert_non_null(s.values);
	assert_non_null(s.blob);
	nn_net_init(&s.net, s.values, 3);
	nn_blob_write(&s.net, s.values, s.blob);
	return s;
}

static void
free_sample(Sample *s)
{
	free(s->values);
	free(s->blob);
}

/* Read a copy of exactly this size, so that AddressSanitizer finds any access beyond it. */
static NnStatus
read_copy(const uint8_t *blob, size_t size, NnError *error)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	NnNet net;
	const void *values;
	NnStatus status;

	assert_non_null(copy);
	if (size > 0)
		memcpy(copy, blob, size);
	status = nn_blob_read(copy, size, &net, &values, error);
	assert_int_equal(status, error->status);
	free(copy);
	return status;
}

static void
put_u32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t) (value >> (8 * i));
}

/* Correct a forged blob's checksum. */
static void
seal(uint8_t *blob, size_t size)
{
	put_u32(blob + 8, (uint32_t) crc32(0, blob + 12, (uInt) (size - 12)));
}

static void
test_round_trip(void **state)
{
	(void) state;
	for (int i = 0; nn_preset_name(i) != NULL; i++)
	{
		Sample s = make_sample(nn_preset_name(i));
		uint8_t *unaligned = malloc(s.size + 1);
		float *values = malloc(s.net.nvalues * sizeof(float));
		uint8_t *again = malloc(s.size);
		NnNet net;
		const void *raw;
		NnError error;

		assert_non_null(unaligned);
		assert_non_null(values);
		assert_non_null(again);
		memcpy(unaligned + 1, s.blob, s.size);
		assert_int_equal(nn_blob_read(unaligned + 1, s.size, &net, &raw, &error), NN_OK);
		assert_memory_equal(&net, &s.net, sizeof(net));
		nn_blob_values(&net, raw, values);
		assert_memory_equal(values, s.values, net.nvalues * sizeof(float));

		/* the same net and values give the same bytes */
		nn_blob_write(&net, values, again);
		assert_memory_equal(again, s.blob, s.size);
		free(unaligned);
		free(values);
		free(again);
		free_sample(&s);
	}
}

/* The exact bytes: blobs must stay readable on every machine and in all future versions. */
static void
test_layout(void **state)
{
	Sample s = make_sample("dense 10");
	uint8_t first[4];

	(void) state;
	assert_memory_equal(s.blob, "\x89MHNN\r\n\x1a", 8);
	assert_memory_equal(s.blob + 12,
						"\1\0\0\0"
						"\10\0\0\0"
						"\xaa\x1e\0\0"
						"dense 10",
						20);
	assert_int_equal(s.size, HEADER + 8 + 7850 * 4);

	s.values[0] = -1.5f;
	nn_blob_write(&s.net, s.values, s.blob);
	memcpy(first, s.blob + HEADER + 8, 4);
	assert_memory_equal(first, "\0\0\xc0\xbf", 4);
	free_sample(&s);
}

static void
test_every_flipped_bit(void **state)
{
	Sample s = make_sample(SMALL);
	NnError error;

	(void) state;
	for (size_t i = 0; i < s.size; i++)
	{
		for (int bit = 0; bit < 8; bit++)
		{
			s.blob[i] ^= (uint8_t) (1 << bit);
			if (read_copy(s.blob, s.size, &error) != NN_ERR_CORRUPT)
				fail_msg("bit %d of byte %zu went unnoticed", bit, i);
			s.blob[i] ^= (uint8_t) (1 << bit);
		}
	}
	assert_int_equal(read_copy(s.blob, s.size, &error), NN_OK);
	free_sample(&s);
}

static void
test_every_truncation(void **state)
{
	Sample s = make_sample(SMALL);
	NnError error;

	(void) state;
	for (size_t size = 0; size < s.size; size++)
		assert_int_equal(read_copy(s.blob, size, &error), NN_ERR_CORRUPT);
	free_sample(&s);
}

static void
test_trailing_garbage(void **state)
{
	Sample s = make_sample(SMALL);
	uint8_t *longer = calloc(1, s.size + 9);
	NnError error;

	(void) state;
	assert_non_null(longer);
	memcpy(longer, s.blob, s.size);
	for (size_t extra = 1; extra <= 9; extra++)
	{
		assert_int_equal(read_copy(longer, s.size + extra, &error), NN_ERR_CORRUPT);
		seal(longer, s.size + extra);
		assert_int_equal(read_copy(longer, s.size + extra, &error), NN_ERR_CORRUPT);
		assert_non_null(strstr(error.message, "size"));
		memcpy(longer, s.blob, s.size);
	}
	free(longer);
	free_sample(&s);
}

/* Even if the checksum is right, everything else must be checked. */
static void
test_forged(void **state)
{
	Sample s = make_sample(SMALL);
	uint8_t *forged = malloc(s.size);
	static const uint32_t sizes[] = {0, 1, 2049, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
	NnError error;

	(void) state;
	assert_non_null(forged);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		for (size_t field = 16; field <= 20; field += 4)
		{
			memcpy(forged, s.blob, s.size);
			put_u32(forged + field, sizes[i]);
			seal(forged, s.size);
			assert_int_equal(read_copy(forged, s.size, &error), NN_ERR_CORRUPT);
		}
	}

	/* a description that does not parse, one that is not canonical, one that needs another number of values */
	memcpy(forged, s.blob, s.size);
	memcpy(forged + HEADER, "conv 3 9", 8);
	seal(forged, s.size);
	assert_int_equal(read_copy(forged, s.size, &error), NN_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "description"));

	memcpy(forged, s.blob, s.size);
	memcpy(forged + HEADER, "Conv", 4);
	seal(forged, s.size);
	assert_int_equal(read_copy(forged, s.size, &error), NN_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "canonical"));

	memcpy(forged, s.blob, s.size);
	memcpy(forged + HEADER, "conv 2", 6);
	seal(forged, s.size);
	assert_int_equal(read_copy(forged, s.size, &error), NN_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "needs"));

	free(forged);
	free_sample(&s);
}

static void
test_version(void **state)
{
	Sample s = make_sample(SMALL);
	NnError error;

	(void) state;
	put_u32(s.blob + 12, 2);
	seal(s.blob, s.size);
	assert_int_equal(read_copy(s.blob, s.size, &error), NN_ERR_VERSION);
	assert_non_null(strstr(error.message, "version 2"));
	free_sample(&s);
}

static void
test_not_numbers(void **state)
{
	Sample s = make_sample(SMALL);
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	NnError error;
	size_t var = s.net.layers[1].var;

	(void) state;
	for (size_t i = 0; i < s.net.nvalues; i++)
	{
		float good = s.values[i];

		s.values[i] = bad[i % 3];
		nn_blob_write(&s.net, s.values, s.blob);
		assert_int_equal(read_copy(s.blob, s.size, &error), NN_ERR_CORRUPT);
		assert_non_null(strstr(error.message, "finite"));
		s.values[i] = good;
	}
	s.values[var] = -0.5f;
	nn_blob_write(&s.net, s.values, s.blob);
	assert_int_equal(read_copy(s.blob, s.size, &error), NN_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "variance"));
	free_sample(&s);
}

static void
test_foreign_bytes(void **state)
{
	NnError error;
	uint8_t bytes[4096];
	uint64_t random = 1;

	(void) state;
	assert_int_equal(read_copy(NULL, 0, &error), NN_ERR_CORRUPT);
	for (size_t i = 0; i < sizeof(bytes); i++)
	{
		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		bytes[i] = (uint8_t) (random >> 40);
	}
	assert_int_equal(read_copy(bytes, sizeof(bytes), &error), NN_ERR_CORRUPT);
	assert_int_equal(read_copy((const uint8_t *) "\x89PNG\r\n\x1a\n0123456789abcdefghij", 28, &error),
					 NN_ERR_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),		  cmocka_unit_test(test_layout),
		cmocka_unit_test(test_every_flipped_bit), cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_trailing_garbage),  cmocka_unit_test(test_forged),
		cmocka_unit_test(test_version),			  cmocka_unit_test(test_not_numbers),
		cmocka_unit_test(test_foreign_bytes),
	};

	return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
