/*
 * blob.c: a network as bytes.
 *
 *		offset	bytes
 *		0		8		magic
 *		8		4		CRC-32 (zlib's) of all bytes after it
 *		12		4		format version
 *		16		4		bytes of the description
 *		20		4		number of values
 *		24		...		description, canonical, not terminated
 *		...		...		values, float32
 *
 * All numbers are little-endian.  Magic, checksum and version must keep their places in all future versions, so that
 * a reader can tell a newer blob from a damaged one.
 */
#include "nn/formats/blob.h"
#include "nn/nn.h"
#include "util/bytes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define BLOB_VERSION 1
#define AT_CRC 8
#define AT_VERSION 12
#define AT_TEXT_LEN 16
#define AT_NVALUES 20
#define HEADER_SIZE 24
#define VALUE_SIZE 4

static const char magic[AT_CRC] = {'\x89', 'M', 'H', 'N', 'N', '\r', '\n', '\x1a'};

static uint32_t
checksum(const uint8_t *blob, size_t size)
{
	return (uint32_t) crc32_z(crc32_z(0, NULL, 0), blob + AT_VERSION, size - AT_VERSION);
}

size_t
nn_blob_size(const NnNet *net)
{
	return HEADER_SIZE + nn_net_format(net, NULL, 0) + net->nvalues * VALUE_SIZE;
}

void
nn_blob_write(const NnNet *net, const float *values, void *blob)
{
	uint8_t *bytes = blob;
	char text[NN_MAX_TEXT * 2];
	size_t len = nn_net_format(net, text, sizeof(text));
	uint8_t *out = bytes + HEADER_SIZE + len;

	memcpy(bytes, magic, sizeof(magic));
	put_u32(bytes + AT_VERSION, BLOB_VERSION);
	put_u32(bytes + AT_TEXT_LEN, (uint32_t) len);
	put_u32(bytes + AT_NVALUES, (uint32_t) net->nvalues);
	memcpy(bytes + HEADER_SIZE, text, len);
	for (size_t i = 0; i < net->nvalues; i++)
		put_float32(out + i * VALUE_SIZE, values[i]);
	put_u32(bytes + AT_CRC, checksum(bytes, nn_blob_size(net)));
}

/* Check magic, checksum, version and sizes: all that does not depend on the description. */
static NnStatus
check_header(const uint8_t *bytes, size_t size, NnError *error)
{
	const size_t max = HEADER_SIZE + NN_MAX_TEXT + (size_t) NN_MAX_VALUES * VALUE_SIZE;
	uint32_t version;
	uint32_t text_len;
	uint32_t nvalues;

	if (size < HEADER_SIZE)
		return nn_fail(error, NN_ERR_CORRUPT, "model weights are truncated");
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return nn_fail(error, NN_ERR_CORRUPT, "model weights have a wrong magic number");
	if (size > max)
		return nn_fail(error, NN_ERR_CORRUPT, "model weights of %zu bytes exceed the limit of %zu", size, max);
	if (get_u32(bytes + AT_CRC) != checksum(bytes, size))
		return nn_fail(error, NN_ERR_CORRUPT, "model weights do not match their checksum");
	version = get_u32(bytes + AT_VERSION);
	if (version != BLOB_VERSION)
		return nn_fail(error, NN_ERR_VERSION, "model weights have format version %lu, but only %d is supported",
					   (unsigned long) version, BLOB_VERSION);
	text_len = get_u32(bytes + AT_TEXT_LEN);
	nvalues = get_u32(bytes + AT_NVALUES);
	if (text_len > NN_MAX_TEXT || nvalues > NN_MAX_VALUES ||
		size != HEADER_SIZE + (size_t) text_len + (size_t) nvalues * VALUE_SIZE)
		return nn_fail(error, NN_ERR_CORRUPT, "model weights are not of the size that their header states");
	return NN_OK;
}

/* Parse the description; check that it is canonical and needs exactly as many values as the blob has. */
static NnStatus
check_description(const uint8_t *bytes, NnNet *net, NnError *error)
{
	const char *text = (const char *) bytes + HEADER_SIZE;
	const size_t len = get_u32(bytes + AT_TEXT_LEN);
	char canonical[NN_MAX_TEXT * 2];
	NnError parse_error;

	if (nn_net_parse(net, text, len, &parse_error) != NN_OK)
		return nn_fail(error, NN_ERR_CORRUPT, "model weights have an invalid description: %.180s",
					   parse_error.message);
	if (nn_net_format(net, canonical, sizeof(canonical)) != len || memcmp(canonical, text, len) != 0)
		return nn_fail(error, NN_ERR_CORRUPT, "model weights have a description that is not in canonical form");
	if (net->nvalues != get_u32(bytes + AT_NVALUES))
		return nn_fail(error, NN_ERR_CORRUPT, "model weights have %lu values, but their description needs %zu",
					   (unsigned long) get_u32(bytes + AT_NVALUES), net->nvalues);
	return NN_OK;
}

/* Check that every value is finite and no variance is negative. */
static NnStatus
check_values(const NnNet *net, const uint8_t *values, NnError *error)
{
	for (size_t i = 0; i < net->nvalues; i++)
	{
		if (!isfinite(get_float32(values + i * VALUE_SIZE)))
			return nn_fail(error, NN_ERR_CORRUPT, "model weights contain a value that is not a finite number");
	}
	for (int i = 0; i < net->nlayers; i++)
	{
		const NnLayer *layer = &net->layers[i];

		if (layer->kind != NN_BATCHNORM)
			continue;
		for (int c = 0; c < layer->out_c; c++)
		{
			if (get_float32(values + (layer->var + (size_t) c) * VALUE_SIZE) < 0.0f)
				return nn_fail(error, NN_ERR_CORRUPT, "model weights contain a negative variance");
		}
	}
	return NN_OK;
}

NnStatus
nn_blob_read(const void *blob, size_t size, NnNet *net, const void **values, NnError *error)
{
	const uint8_t *bytes = blob;
	NnStatus status;

	memset(net, 0, sizeof(*net));
	*values = NULL;
	nn_error_clear(error);
	status = check_header(bytes, size, error);
	if (status == NN_OK)
		status = check_description(bytes, net, error);
	if (status != NN_OK)
		return status;
	*values = bytes + HEADER_SIZE + get_u32(bytes + AT_TEXT_LEN);
	return check_values(net, *values, error);
}

void
nn_blob_values(const NnNet *net, const void *values, float *out)
{
	const uint8_t *in = values;

	for (size_t i = 0; i < net->nvalues; i++)
		out[i] = get_float32(in + i * VALUE_SIZE);
}
