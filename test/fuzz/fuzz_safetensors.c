/*
 * fuzz_safetensors.c: nn_safetensors_read on any bytes.
 *
 * The mutator often starts from a file of a small network.  Usually it changes only the header and corrects the
 * header's length, so that changes get past the first checks.
 */
#include "util/bytes.h"
#include "nn/formats/safetensors.h"
#include "nn/nn.h"
#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NETWORK "maxpool 7, conv 2 1x2, bn, relu, dropout 0.1, dense 10"
#define NVALUES 264
#define AT_HEADER 8
#define DATA_SIZE (NVALUES * sizeof(float))

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

static const NnNet *
network(void)
{
	static NnNet net;
	NnError error;

	if (net.nlayers == 0)
		require(nn_net_parse(&net, NETWORK, strlen(NETWORK), &error) == NN_OK, "the network is parsed");
	require(net.nvalues == NVALUES, "its values are as many as stated");
	return &net;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const NnNet *net = network();
	float values[NVALUES];
	float again[NVALUES];
	NnError error;
	NnStatus status = nn_safetensors_read(net, data, size, values, &error);
	uint8_t *file;

	if (status != NN_OK)
	{
		require(error.status == status, "the error says its status");
		require(memchr(error.message, '\0', sizeof(error.message)) != NULL, "the message is terminated");
		for (const char *c = error.message; *c != '\0'; c++)
			require(*c >= ' ' && *c <= '~', "the message is printable");
		return 0;
	}
	for (size_t i = 0; i < NVALUES; i++)
		require(isfinite(values[i]), "every value is a number");
	require(size > DATA_SIZE, "there was a file to read them from");

	/* the values that were read, written again, give a file that has the same values */
	file = malloc(nn_safetensors_size(net));
	if (file == NULL)
		return 0;
	nn_safetensors_write(net, values, file);
	require(nn_safetensors_read(net, file, nn_safetensors_size(net), again, &error) == NN_OK, "it is read again");
	require(memcmp(values, again, sizeof(values)) == 0, "with the same values");
	free(file);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	const NnNet *net = network();
	Rng rng = rng_start(seed);
	uint8_t tail[DATA_SIZE];
	size_t len;

	if (size < AT_HEADER + DATA_SIZE || rng_below(&rng, 4) == 0)
	{
		float values[NVALUES];

		if (nn_safetensors_size(net) > max_size)
			return LLVMFuzzerMutate(data, size, max_size);
		nn_net_init(net, values, seed);
		size = nn_safetensors_size(net);
		nn_safetensors_write(net, values, data);
	}
	if (rng_below(&rng, 8) == 0)
		return LLVMFuzzerMutate(data, size, max_size);

	memcpy(tail, data + size - DATA_SIZE, DATA_SIZE);
	len = LLVMFuzzerMutate(data + AT_HEADER, size - DATA_SIZE - AT_HEADER, max_size - DATA_SIZE - AT_HEADER);
	put_u32(data, (uint32_t) len);
	put_u32(data + 4, 0);
	memcpy(data + AT_HEADER + len, tail, DATA_SIZE);
	return AT_HEADER + len + DATA_SIZE;
}
