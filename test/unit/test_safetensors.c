/*
 * test_safetensors.c: files that were written are read back bit for bit, and malformed ones are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "nn/formats/safetensors.h"
#include "nn/nn.h"
#include "util/rng.h"

/* A small network with every kind of layer, and the pieces of its file's header. */
#define SMALL "maxpool 7, conv 2 1x2, bn, relu, dropout 0.1, dense 10"
#define WEIGHTS "\"layers.1.weight\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]}"
#define META "\"__metadata__\":{\"format_version\":\"1\",\"network\":\"" SMALL "\"}"
#define REST                                                                                \
	"\"layers.1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},"         \
	"\"layers.2.gamma\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"        \
	"\"layers.2.beta\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[32,40]},"         \
	"\"layers.2.mean\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1040,1048]},"     \
	"\"layers.2.var\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1048,1056]},"      \
	"\"layers.5.weight\":{\"dtype\":\"F32\",\"shape\":[24,10],\"data_offsets\":[40,1000]}," \
	"\"layers.5.bias\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[1000,1040]}"
#define GOOD "{" META "," WEIGHTS "," REST "}"

typedef struct File
{
	uint8_t *bytes;
	size_t size;
} File;

static NnNet small;
static float small_values[264];

static void
put_length(uint8_t *out, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t) (value >> (8 * i));
}

/* Fill values with finite numbers of random bits; variances are positive. */
static void
fill(const NnNet *net, float *values)
{
	Rng rng = rng_start(9);

	nn_net_init(net, values, 9);
	for (size_t i = 0; i < net->nparams; i++)
	{
		uint32_t bits;

		do
		{
			bits = (uint32_t) rng_below(&rng, UINT32_MAX);
			memcpy(&values[i], &bits, sizeof(bits));
		} while (!isfinite(values[i]));
	}
	for (size_t i = net->nparams; i < net->nvalues; i++)
		values[i] = (float) rng_below(&rng, 1000) / 7.0f;
}

static File
write_file(const NnNet *net, const float *values)
{
	File f;

	f.size = nn_safetensors_size(net);
	f.bytes = malloc(f.size + 1);
	assert_non_null(f.bytes);
	f.bytes[f.size] = 0xa5;
	nn_safetensors_write(net, values, f.bytes);
	assert_int_equal(f.bytes[f.size], 0xa5);
	return f;
}

/* A file with this header and the small network's values. */
static File
make_file(const char *header, size_t len)
{
	File f = {NULL, 8 + len + sizeof(small_values)};

	f.bytes = malloc(f.size);
	assert_non_null(f.bytes);
	put_length(f.bytes, len);
	memcpy(f.bytes + 8, header, len);
	memcpy(f.bytes + 8 + len, small_values, sizeof(small_values));
	return f;
}

/* Read a copy of exactly this size, so that AddressSanitizer finds any access beyond it. */
static NnStatus
read_copy(const NnNet *net, const uint8_t *bytes, size_t size, NnError *error)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	float *values = malloc(net->nvalues * sizeof(float));
	NnStatus status;

	assert_non_null(copy);
	assert_non_null(values);
	if (size > 0)
		memcpy(copy, bytes, size);
	status = nn_safetensors_read(net, copy, size, values, error);
	assert_int_equal(status, error->status);
	assert_true((status == NN_OK) == (error->message[0] == '\0'));
	free(values);
	free(copy);
	return status;
}

static void
expect_header(const char *header, size_t len, NnStatus status, const char *message)
{
	File f = make_file(header, len);
	NnError error;

	if (read_copy(&small, f.bytes, f.size, &error) != status)
		fail_msg("status %d, \"%s\" for %.*s", error.status, error.message, (int) len, header);
	if (message != NULL && strstr(error.message, message) == NULL)
		fail_msg("\"%s\", not \"%s\" for %.*s", error.message, message, (int) len, header);
	free(f.bytes);
}

static void
corrupt(const char *header, const char *message)
{
	expect_header(header, strlen(header), NN_ERR_CORRUPT, message);
}

static void
good(const char *header)
{
	expect_header(header, strlen(header), NN_OK, NULL);
}

static int
set_up(void **state)
{
	NnError error;

	(void) state;
	if (nn_net_parse(&small, SMALL, strlen(SMALL), &error) != NN_OK ||
		small.nvalues != sizeof(small_values) / sizeof(small_values[0]))
		return -1;
	fill(&small, small_values);
	return 0;
}

static void
test_round_trip(void **state)
{
	(void) state;
	for (int i = 0; nn_preset_name(i) != NULL; i++)
	{
		NnNet net;
		NnError error;
		float *values;
		float *again;
		File f;
		uint8_t *unaligned;

		assert_int_equal(nn_net_parse(&net, nn_preset_name(i), strlen(nn_preset_name(i)), &error), NN_OK);
		values = malloc(net.nvalues * sizeof(float));
		again = malloc(net.nvalues * sizeof(float));
		assert_non_null(values);
		assert_non_null(again);
		fill(&net, values);
		f = write_file(&net, values);
		unaligned = malloc(f.size + 1);
		assert_non_null(unaligned);
		memcpy(unaligned + 1, f.bytes, f.size);
		assert_int_equal(nn_safetensors_read(&net, unaligned + 1, f.size, again, &error), NN_OK);
		assert_memory_equal(again, values, net.nvalues * sizeof(float));
		free(unaligned);
		free(f.bytes);
		free(again);
		free(values);
	}
}

/* The exact bytes: other programs must be able to read them, and old files must stay readable. */
static void
test_layout(void **state)
{
	File f = write_file(&small, small_values);
	size_t len = f.bytes[0] + 256u * f.bytes[1];
	char start[1024];
	int start_len =
		snprintf(start, sizeof(start),
				 "{\"__metadata__\":{\"format_version\":\"1\",\"network\":\"" SMALL "\",\"crc32\":\"%08lx"
				 "\"},\"layers.1.weight\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]},"
				 "\"layers.1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]},",
				 crc32_z(0, f.bytes + f.size - sizeof(small_values), sizeof(small_values)));

	(void) state;
	assert_memory_equal(f.bytes + 2, "\0\0\0\0\0\0", 6);
	assert_memory_equal(f.bytes + 8, start, (size_t) start_len);
	assert_int_equal(len % 8, 0); /* so that the data is aligned if the file is mapped */
	assert_int_equal(f.size, 8 + len + sizeof(small_values));
	assert_memory_equal(f.bytes + 8 + len, small_values, sizeof(small_values));
	free(f.bytes);
}

/* Differences that files of other programs may have. */
static void
test_freedom(void **state)
{
	(void) state;
	good(GOOD);
	good(GOOD "      ");
	good("{" REST "," WEIGHTS "," META "}");
	good("{ \"__metadata__\" : {\t\"network\":\"" SMALL "\" ,\n\"format_version\" : \"1\" }\r,\n " WEIGHTS "," REST
		 " }");
	good("{\"__metadata__\":{\"author\":\"J\\u00f6rg \\ud83d\\ude00 \\\"x\\\"\\n\xc3\xb6\",\"format_version\":\"1\","
		 "\"network\":\"MaxPool 7,conv 2 1x2 valid,bn,relu,dropout 0.10,dense 10\"}," WEIGHTS "," REST "}");
	good("{" META ",\"layers.1.weight\":{\"data_offsets\":[0,16],\"shape\":[1, 2, 1, 2],\"dtype\":\"F32\"}," REST
		 "}");
}

/* The tensors may have another order in the data. */
static void
test_order_of_data(void **state)
{
	static const char header[] =
		"{" META ",\"layers.1.weight\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[8,24]},"
		"\"layers.1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
		"\"layers.2.gamma\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]},"
		"\"layers.2.beta\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[32,40]},"
		"\"layers.2.mean\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1040,1048]},"
		"\"layers.2.var\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1048,1056]},"
		"\"layers.5.weight\":{\"dtype\":\"F32\",\"shape\":[24,10],\"data_offsets\":[40,1000]},"
		"\"layers.5.bias\":{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[1000,1040]}}";
	File f = make_file(header, sizeof(header) - 1);
	uint8_t *data = f.bytes + 8 + sizeof(header) - 1;
	float values[264];
	NnError error;

	(void) state;
	memcpy(data, &small_values[4], 8);
	memcpy(data + 8, &small_values[0], 16);
	assert_int_equal(nn_safetensors_read(&small, f.bytes, f.size, values, &error), NN_OK);
	assert_memory_equal(values, small_values, sizeof(values));
	free(f.bytes);
}

static void
test_every_truncation(void **state)
{
	File f = write_file(&small, small_values);
	NnError error;

	(void) state;
	assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_OK);
	for (size_t size = 0; size < f.size; size++)
		assert_int_equal(read_copy(&small, f.bytes, size, &error), NN_ERR_CORRUPT);
	free(f.bytes);
}

/* The header cut off at every byte, its length adjusted. */
/* Our own files have a checksum of their data: a flipped bit never gives another model. */
static void
test_every_flipped_bit(void **state)
{
	File f = write_file(&small, small_values);
	NnError error;

	(void) state;
	for (size_t bit = (f.size - sizeof(small_values)) * 8; bit < f.size * 8; bit++)
	{
		f.bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_ERR_CORRUPT);
		assert_non_null(strstr(error.message, "checksum"));
		f.bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	free(f.bytes);
}

static void
test_every_truncated_header(void **state)
{
	(void) state;
	for (size_t len = 0; len < sizeof(GOOD) - 1; len++)
		expect_header(GOOD, len, NN_ERR_CORRUPT, "header is invalid");
}

static void
test_trailing_bytes(void **state)
{
	File f = write_file(&small, small_values);
	uint8_t *longer = calloc(1, f.size + 9);
	NnError error;

	(void) state;
	assert_non_null(longer);
	memcpy(longer, f.bytes, f.size);
	for (size_t extra = 1; extra <= 9; extra++)
	{
		assert_int_equal(read_copy(&small, longer, f.size + extra, &error), NN_ERR_CORRUPT);
		assert_non_null(strstr(error.message, "behind its last tensor"));
	}
	free(longer);
	free(f.bytes);
}

static void
test_header_length(void **state)
{
	static const uint64_t lengths[] = {128 * 1024 + 1,	   1000000,		   UINT32_MAX,
									   (uint64_t) 1 << 32, UINT64_MAX - 7, UINT64_MAX};
	File f = write_file(&small, small_values);
	NnError error;

	(void) state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		put_length(f.bytes, lengths[i]);
		assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_ERR_CORRUPT);
		assert_non_null(strstr(error.message, "limit"));
	}
	put_length(f.bytes, f.size - 7);
	assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "truncated"));
	put_length(f.bytes, 0);
	assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_ERR_CORRUPT);
	free(f.bytes);
}

static void
test_malformed_json(void **state)
{
	(void) state;
	corrupt("[]", "expected an object");
	corrupt(" " GOOD, "expected an object");
	corrupt(GOOD "}", "behind the object");
	corrupt(GOOD "\n", "behind the object");
	corrupt("{" META "," WEIGHTS "," REST ",}", "expected a string");
	corrupt("{" META " " WEIGHTS "," REST "}", "comma or a brace");
	corrupt("{" META ",\"layers.1.weight\" {}," REST "}", "colon");
	corrupt("{" META ",\"layers.1.weight\":[]," REST "}", "expected an object");
	corrupt("{" META ",\"layers.1.weight\":null," REST "}", "expected an object");
	corrupt("{" META ",'layers.1.weight':{}," REST "}", "expected a string");
	corrupt("{\"__metadata__\":{\"format_version\":1}}", "expected a string");
	corrupt("{\"__metadata__\":{\"format_version\":\"1\",\"x\":{}}}", "expected a string");
	corrupt("{\"__metadata__\":{\"x\":\"\\x\"}}", "invalid escape");
	corrupt("{\"__metadata__\":{\"x\":\"\\u12g4\"}}", "invalid escape");
	corrupt("{\"__metadata__\":{\"x\":\"\\ud800\"}}", "invalid escape");
	corrupt("{\"__metadata__\":{\"x\":\"\\udc00\"}}", "invalid escape");
	corrupt("{\"__metadata__\":{\"x\":\"\\ud800\\u0041\"}}", "invalid escape");
	corrupt("{\"__metadata__\":{\"x\":\"\n\"}}", "control character");
	corrupt("{\"__metadata__\":{\"\\u0078\":\"y\"}}", "escape in a name");
	corrupt("{\"__metadata__\":{\"x\":\"\x80\"}}", "not UTF-8");
	corrupt("{\"__metadata__\":{\"x\":\"\xc0\xaf\"}}", "not UTF-8");
	corrupt("{\"__metadata__\":{\"x\":\"\xed\xa0\x80\"}}", "not UTF-8");
	corrupt("{\"__metadata__\":{\"x\":\"\xf5\x80\x80\x80\"}}", "not UTF-8");
	corrupt("{\"__metadata__\":{\"x\":\"\xe2\x82", "not UTF-8");
	expect_header("{\"__metadata__\":{\"x\":\"\0\"}}", 25, NN_ERR_CORRUPT, "control character");
}

static void
test_malformed_tensors(void **state)
{
	static const struct
	{
		const char *body;
		const char *message;
	} bad[] = {
		{"", "lacks dtype"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2]", "lacks dtype"},
		{"\"dtype\":\"F32\",\"data_offsets\":[0,16]", "lacks dtype"},
		{"\"shape\":[1,2,1,2],\"data_offsets\":[0,16]", "lacks dtype"},
		{"\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]", "duplicate"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16],\"x\":1", "expected dtype"},
		{"\"dtype\":32,\"shape\":[1,2,1,2],\"data_offsets\":[0,16]", "expected a string"},
		{"\"dtype\":\"F16\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]", "not of dtype F32"},
		{"\"dtype\":\"f32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]", "not of dtype F32"},
		{"\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,16]", "array of numbers"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2,1],\"data_offsets\":[0,16]", "too many numbers"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,],\"data_offsets\":[0,16]", "whole number"},
		{"\"dtype\":\"F32\",\"shape\":[1 2 1 2],\"data_offsets\":[0,16]", "comma or a bracket"},
		{"\"dtype\":\"F32\",\"shape\":[01,2,1,2],\"data_offsets\":[0,16]", "leading zero"},
		{"\"dtype\":\"F32\",\"shape\":[-1,2,1,2],\"data_offsets\":[0,16]", "whole number"},
		{"\"dtype\":\"F32\",\"shape\":[1.0,2,1,2],\"data_offsets\":[0,16]", "comma or a bracket"},
		{"\"dtype\":\"F32\",\"shape\":[1e0,2,1,2],\"data_offsets\":[0,16]", "comma or a bracket"},
		{"\"dtype\":\"F32\",\"shape\":[1000000000000000,2,1,2],\"data_offsets\":[0,16]", "too large"},
		{"\"dtype\":\"F32\",\"shape\":[18446744073709551617,2,1,2],\"data_offsets\":[0,16]", "too large"},
		{"\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,16]", "network's shape"},
		{"\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]", "network's shape"},
		{"\"dtype\":\"F32\",\"shape\":[2,1,1,2],\"data_offsets\":[0,16]", "network's shape"},
		{"\"dtype\":\"F32\",\"shape\":[4294967297,2,1,2],\"data_offsets\":[0,16]", "network's shape"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[]", "not two"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0]", "not two"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,8,16]", "too many numbers"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[16,0]", "outside its data"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,100000]", "outside its data"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[4,16]", "gap"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,12]", "gap"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,20]", "overlaps"},
		{"\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[16,32]", "gap"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		char header[4096];

		snprintf(header, sizeof(header), "{" META ",\"layers.1.weight\":{%s}," REST "}", bad[i].body);
		corrupt(header, bad[i].message);
	}
	corrupt("{" META "," WEIGHTS "," WEIGHTS "," REST "}", "duplicate tensor");
	corrupt("{" META "," REST "}", "gap");
	corrupt("{" META "," WEIGHTS "," REST ",\"more\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[1056,1056]}}",
			"9 tensors");
	corrupt("{" META ",\"layers.1.kernel\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,16]}," REST "}",
			"lacks tensor \"layers.1.weight\"");
	/* the shapes are right, but the offsets are too close together */
	corrupt("{" META ",\"layers.1.weight\":{\"dtype\":\"F32\",\"shape\":[1,2,1,2],\"data_offsets\":[0,8]},"
			"\"rest\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}," REST "}",
			"not of its shape's size");
}

static void
test_too_many(void **state)
{
	size_t size = 120 * 1024;
	char *header = malloc(size);
	size_t len;

	(void) state;
	assert_non_null(header);
	len = (size_t) snprintf(header, size, "{");
	for (int i = 0; i < 1000; i++)
		len += (size_t) snprintf(header + len, size - len,
								 "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
								 i > 0 ? "," : "", i);
	snprintf(header + len, size - len, "}");
	corrupt(header, "too many tensors");

	len = (size_t) snprintf(header, size, "{\"__metadata__\":{");
	for (int i = 0; i < 1000; i++)
		len += (size_t) snprintf(header + len, size - len, "%s\"m%d\":\"\"", i > 0 ? "," : "", i);
	snprintf(header + len, size - len, "}}");
	corrupt(header, "too many metadata");
	free(header);
}

static void
test_metadata(void **state)
{
#define REST_OF_GOOD "," WEIGHTS "," REST "}"
	(void) state;
	corrupt("{" WEIGHTS "," REST "}", "lacks the metadata");
	corrupt("{\"__metadata__\":{}" REST_OF_GOOD, "lacks the metadata");
	corrupt("{\"__metadata__\":{\"network\":\"" SMALL "\"}" REST_OF_GOOD, "lacks the metadata");
	corrupt("{\"__metadata__\":{\"format_version\":\"1\"}" REST_OF_GOOD, "lacks the metadata");
	corrupt("{" META "," META REST_OF_GOOD, "duplicate __metadata__");
	corrupt("{\"__metadata__\":{\"network\":\"" SMALL "\",\"network\":\"" SMALL "\"}" REST_OF_GOOD, "duplicate name");
	corrupt("{\"__metadata__\":{\"x\":\"1\",\"x\":\"1\"}" REST_OF_GOOD, "duplicate name");
	corrupt("{\"__metadata__\":{\"format_version\":\"1\",\"network\":\"dense x\"}" REST_OF_GOOD, "invalid network");
	expect_header("{\"__metadata__\":{\"format_version\":\"2\",\"network\":\"" SMALL "\"}" REST_OF_GOOD,
				  sizeof("{\"__metadata__\":{\"format_version\":\"2\",\"network\":\"" SMALL "\"}" REST_OF_GOOD) - 1,
				  NN_ERR_VERSION, "format version \"2\"");
	/* a valid file of another network: the caller named the wrong one */
	expect_header("{\"__metadata__\":{\"format_version\":\"1\",\"network\":\"softmax\"}" REST_OF_GOOD,
				  sizeof("{\"__metadata__\":{\"format_version\":\"1\",\"network\":\"softmax\"}" REST_OF_GOOD) - 1,
				  NN_ERR_SYNTAX, "is of network \"dense 10\"");
}

static void
test_not_numbers(void **state)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};
	float values[264];
	NnError error;
	File f;

	(void) state;
	for (size_t i = 0; i < small.nvalues; i++)
	{
		memcpy(values, small_values, sizeof(values));
		values[i] = bad[i % 3];
		f = write_file(&small, values);
		assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_ERR_CORRUPT);
		assert_non_null(strstr(error.message, "finite"));
		free(f.bytes);
	}
	memcpy(values, small_values, sizeof(values));
	values[small.layers[2].var + 1] = -0.5f;
	f = write_file(&small, values);
	assert_int_equal(read_copy(&small, f.bytes, f.size, &error), NN_ERR_CORRUPT);
	assert_non_null(strstr(error.message, "negative variance"));
	free(f.bytes);
}

/* The largest network that is allowed: its header must be within the limit for reading. */
static void
test_many_layers(void **state)
{
	char text[NN_MAX_TEXT] = "";
	NnNet net;
	NnError error;
	float *values;
	File f;

	(void) state;
	for (int i = 0; i < NN_MAX_LAYERS - 1; i++)
		strcat(text, "bn, ");
	strcat(text, "dense 10");
	assert_int_equal(nn_net_parse(&net, text, strlen(text), &error), NN_OK);
	values = malloc(net.nvalues * sizeof(float));
	assert_non_null(values);
	fill(&net, values);
	f = write_file(&net, values);
	assert_int_equal(read_copy(&net, f.bytes, f.size, &error), NN_OK);
	free(f.bytes);
	free(values);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_freedom),
		cmocka_unit_test(test_order_of_data),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_flipped_bit),
		cmocka_unit_test(test_every_truncated_header),
		cmocka_unit_test(test_trailing_bytes),
		cmocka_unit_test(test_header_length),
		cmocka_unit_test(test_malformed_json),
		cmocka_unit_test(test_malformed_tensors),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_not_numbers),
		cmocka_unit_test(test_many_layers),
	};

	return cmocka_run_group_tests_name("safetensors", tests, set_up, NULL);
}
