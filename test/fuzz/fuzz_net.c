/*
 * fuzz_net.c: nn_net_parse on any text.
 *
 * Random bytes are rarely a description, so the mutator usually joins words of the language.
 */
#include "nn/nn.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	static NnNet again;
	char text[NN_MAX_TEXT * 2];
	char second[NN_MAX_TEXT * 2];
	NnError error;
	NnStatus status;
	size_t length;

	status = nn_net_parse(&net, (const char *) data, size, &error);
	if (status != NN_OK)
	{
		require(status == NN_ERR_SYNTAX || status == NN_ERR_LIMIT, "the status is one that parsing may return");
		require(error.status == status, "the error says its status");
		require(memchr(error.message, '\0', sizeof(error.message)) != NULL, "the message is terminated");
		return 0;
	}
	require(net.nlayers >= 1 && net.nlayers <= NN_MAX_LAYERS, "the number of layers is within its limit");
	require(net.nparams <= net.nvalues && net.nvalues <= NN_MAX_VALUES, "the number of values is within its limit");
	require(net.macs <= NN_MAX_MACS, "the arithmetic is within its limit");

	/* the canonical description parses back to the same network and is its own canonical description */
	length = nn_net_format(&net, text, sizeof(text));
	require(length < sizeof(text), "the canonical description fits");
	require(nn_net_parse(&again, text, length, &error) == NN_OK, "the canonical description is parsed");
	require(again.nlayers == net.nlayers && again.nvalues == net.nvalues && again.macs == net.macs,
			"it gives the same network");
	require(nn_net_format(&again, second, sizeof(second)) == length && memcmp(text, second, length) == 0,
			"it is canonical");
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	static const char *const words[] = {"conv 32 3x3",
										"conv 1 1x1 same",
										"conv 8 5x5 valid",
										"conv 1024 9x9",
										"bn",
										"relu",
										"maxpool 2",
										"maxpool 3",
										"dropout 0.5",
										"dropout 1",
										"dense 10",
										"dense 128",
										"dense 4096",
										"conv 999999999999 3x3",
										"dense -1",
										"dropout 1e400",
										"softmax",
										"default",
										"conv",
										"dense 10",
										"dense 10"};
	Rng rng = rng_start(seed);
	uint32_t n = 1 + rng_below(&rng, 8);

	if (rng_below(&rng, 3) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	size = 0;
	for (uint32_t i = 0; i < n; i++)
	{
		const char *word = words[rng_below(&rng, sizeof(words) / sizeof(words[0]))];
		size_t length = strlen(word);

		if (size + length + 2 > max_size)
			break;
		if (i > 0)
		{
			memcpy(data + size, ", ", 2);
			size += 2;
		}
		memcpy(data + size, word, length);
		size += length;
	}
	return rng_below(&rng, 3) == 0 ? LLVMFuzzerMutate(data, size, max_size) : size;
}
