/*
 * fuzz_blob.c: nn_blob_read on any bytes.
 *
 * The mutator often starts from a blob of a small network, and usually corrects the checksum, so that changes get
 * past it.
 */
#include "nn/formats/blob.h"
#include "nn/nn.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define AT_CRC 8 /* offset of the checksum of all bytes after it, see blob.c */
#define BEHIND_CRC 12

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
extern size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

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
	static NnNet net;
	const void *values = NULL;
	NnError error;
	NnStatus status = nn_blob_read(data, size, &net, &values, &error);
	float *copy;
	uint8_t *blob;

	if (status != NN_OK)
	{
		require(error.status == status, "the error says its status");
		require(memchr(error.message, '\0', sizeof(error.message)) != NULL, "the message is terminated");
		return 0;
	}
	require((const uint8_t *) values >= data, "the values do not begin before the blob");
	require((const uint8_t *) values + net.nvalues * sizeof(float) <= data + size, "nor end behind it");

	/* the values that were read, written again, give a blob that has the same values */
	copy = malloc(net.nvalues * sizeof(float));
	blob = malloc(nn_blob_size(&net));
	if (copy != NULL && blob != NULL)
	{
		memcpy(copy, values, net.nvalues * sizeof(float));
		nn_blob_write(&net, copy, blob);
		require(nn_blob_read(blob, nn_blob_size(&net), &net, &values, &error) == NN_OK, "it is read again");
		require(memcmp(values, copy, net.nvalues * sizeof(float)) == 0, "with the same values");
	}
	free(copy);
	free(blob);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	static NnNet net;
	static float values[NN_PIXELS * NN_CLASSES + NN_CLASSES];
	Rng rng = rng_start(seed);
	NnError error;

	if (size < BEHIND_CRC || rng_below(&rng, 4) == 0)
	{
		const char *text = "maxpool 7, dense 10";

		require(nn_net_parse(&net, text, strlen(text), &error) == NN_OK, "the seed's network is parsed");
		require(net.nvalues <= sizeof(values) / sizeof(values[0]), "the seed's values have room");
		nn_net_init(&net, values, seed);
		if (nn_blob_size(&net) <= max_size)
		{
			size = nn_blob_size(&net);
			nn_blob_write(&net, values, data);
		}
	}
	size = LLVMFuzzerMutate(data, size, max_size);
	if (size >= BEHIND_CRC && rng_below(&rng, 8) != 0)
	{
		uint32_t crc = (uint32_t) crc32(0, data + BEHIND_CRC, (uInt) (size - BEHIND_CRC));

		for (int i = 0; i < 4; i++)
			data[AT_CRC + i] = (uint8_t) (crc >> (8 * i));
	}
	return size;
}
