/*
 * test_net.c: descriptions: which are accepted, with which shapes and sizes, and which are refused.
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

#include "network_fixture.h"
#include "nn/nn.h"

/* Expect a failure with this status and a message that contains this text. */
static void
refuse(const char *text, size_t len, NnStatus status, const char *message)
{
	NnNet net;
	NnError error;

	assert_int_equal(nn_net_parse(&net, text, len, &error), status);
	assert_int_equal(error.status, status);
	if (strstr(error.message, message) == NULL)
		fail_msg("\"%s\" does not contain \"%s\"", error.message, message);
}

static void
refuse_text(const char *text, NnStatus status, const char *message)
{
	refuse(text, strlen(text), status, message);
}

static void
test_presets(void **state)
{
	static const char *const names[] = {"softmax", "mlp", "lenet5", "keras_cnn", "default"};
	const size_t n = sizeof(names) / sizeof(names[0]);

	(void) state;
	for (size_t i = 0; i < n; i++)
	{
		NnNet by_name = parse(names[i]);
		NnNet by_text = parse(nn_preset(names[i]));

		assert_string_equal(nn_preset_name((int) i), names[i]);
		assert_memory_equal(&by_name, &by_text, sizeof(NnNet));
	}
	assert_null(nn_preset_name((int) n));
	assert_null(nn_preset_name(-1));
	assert_null(nn_preset("resnet"));
	assert_null(nn_preset(""));
	assert_string_equal(nn_preset("Keras_CNN"), nn_preset("keras_cnn"));
}

static void
test_known_sizes(void **state)
{
	NnNet net = parse("keras_cnn");

	(void) state;
	assert_int_equal(net.nparams, 225034);
	assert_int_equal(net.nvalues, 225034);
	assert_int_equal(net.macs, 26 * 26 * 9 * 32 + 11 * 11 * 288 * 64 + 1600 * 128 + 128 * 10);
	assert_int_equal(parse("softmax").nparams, 7850);
	assert_int_equal(parse("lenet5").nparams, 61706); /* LeCun et al. 1998, with full connections in C3 */
}

static void
test_shapes(void **state)
{
	NnNet net = parse("conv 4 3x5 same, bn, relu, conv 6 2x4, maxpool 3, dropout 0.25, dense 7, bn, dense 10");
	const NnLayer *layers = net.layers;

	(void) state;
	assert_int_equal(net.nlayers, 9);
	assert_int_equal(layers[0].out_h, 28);
	assert_int_equal(layers[0].out_w, 28);
	assert_int_equal(layers[0].pad_h, 1);
	assert_int_equal(layers[0].pad_w, 2);
	assert_int_equal(layers[0].nweight, 3 * 5 * 4);
	assert_int_equal(layers[3].kind, NN_CONV);
	assert_int_equal(layers[3].in_c, 4);
	assert_int_equal(layers[3].out_h, 27);
	assert_int_equal(layers[3].out_w, 25);
	assert_int_equal(layers[3].pad_w, 0);
	assert_int_equal(layers[4].out_h, 9);
	assert_int_equal(layers[4].out_w, 8);
	assert_true(layers[5].rate == 0.25f);
	assert_int_equal(layers[6].nweight, 9 * 8 * 6 * 7);
	assert_int_equal(layers[8].in_c, 7);
	assert_int_equal(layers[8].out_c, 10);
}

/* The vector of values has no gaps: weights and bias of each layer, then all statistics. */
static void
test_offsets(void **state)
{
	NnNet net = parse("conv 3 3x3, bn, relu, conv 5 1x1, bn, maxpool 2, dense 4, bn, relu, dense 10");
	size_t next = 0;

	(void) state;
	for (int i = 0; i < net.nlayers; i++)
	{
		const NnLayer *layer = &net.layers[i];

		if (layer->nweight == 0)
			continue;
		assert_int_equal(layer->weight, next);
		assert_int_equal(layer->bias, layer->weight + layer->nweight);
		next = layer->bias + (size_t) layer->out_c;
	}
	assert_int_equal(net.nparams, next);
	for (int i = 0; i < net.nlayers; i++)
	{
		const NnLayer *layer = &net.layers[i];

		if (layer->kind != NN_BATCHNORM)
			continue;
		assert_int_equal(layer->mean, next);
		assert_int_equal(layer->var, next + (size_t) layer->out_c);
		next = layer->var + (size_t) layer->out_c;
	}
	assert_int_equal(net.nvalues, next);
}

static void
test_format(void **state)
{
	static const char *const pairs[][2] = {
		{"dense 10", "dense 10"},
		{"  DENSE\t010\r\n", "dense 10"},
		{"Conv 8 3 X 3 SAME ,ReLU,MaxPool 2,Dropout .50,Dense 10",
		 "conv 8 3x3 same, relu, maxpool 2, dropout 0.5, dense 10"},
		{"conv 8 3x3 valid, bn, dense 10", "conv 8 3x3, bn, dense 10"},
		{"conv 8 1x1 same, dense 10", "conv 8 1x1, dense 10"},
		{"conv 8 1x3 same, dense 10", "conv 8 1x3 same, dense 10"},
		{"dropout 0, dense 10", "dropout 0, dense 10"},
		{"dropout 0.0005, dense 10", "dropout 0.0005, dense 10"},
		{"dropout 0.9999, dense 10", "dropout 0.9999, dense 10"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
	{
		NnNet net = parse(pairs[i][0]);
		NnNet again;
		char text[NN_MAX_TEXT * 2];
		char small[5];

		assert_int_equal(nn_net_format(&net, text, sizeof(text)), strlen(pairs[i][1]));
		assert_string_equal(text, pairs[i][1]);
		again = parse(text);
		assert_memory_equal(&net, &again, sizeof(net));

		/* a buffer that is too small gets the beginning */
		assert_int_equal(nn_net_format(&net, small, sizeof(small)), strlen(pairs[i][1]));
		assert_int_equal(strlen(small), 4);
		assert_int_equal(nn_net_format(&net, NULL, 0), strlen(pairs[i][1]));
	}
}

/* Every dropout rate that can be written must be formatted in the same way. */
static void
test_every_rate(void **state)
{
	(void) state;
	for (int i = 0; i < 10000; i++)
	{
		char text[64];
		char canonical[NN_MAX_TEXT * 2];
		NnNet net;
		NnNet again;

		snprintf(text, sizeof(text), "dropout 0.%04d, dense 10", i);
		net = parse(text);
		assert_true(fabs(net.layers[0].rate - i / 10000.0) < 1e-7);
		nn_net_format(&net, canonical, sizeof(canonical));
		again = parse(canonical);
		assert_true(net.layers[0].rate == again.layers[0].rate);
	}
}

static void
test_syntax_errors(void **state)
{
	(void) state;
	refuse_text("", NN_ERR_SYNTAX, "end of network description");
	refuse_text("   ", NN_ERR_SYNTAX, "end of network description");
	refuse_text(",", NN_ERR_SYNTAX, "layer 1: expected conv");
	refuse_text("dense 10,", NN_ERR_SYNTAX, "layer 2");
	refuse_text("dense 10 dense 10", NN_ERR_SYNTAX, "expected a comma but found \"dense\"");
	refuse_text("dens 10", NN_ERR_SYNTAX, "found \"dens\"");
	refuse_text("dense", NN_ERR_SYNTAX, "number of units");
	refuse_text("dense ten", NN_ERR_SYNTAX, "number of units");
	refuse_text("dense -10", NN_ERR_SYNTAX, "found \"-10\"");
	refuse_text("dense 0, dense 10", NN_ERR_SYNTAX, "at least 1");
	refuse_text("dense 10.5", NN_ERR_SYNTAX, "comma");
	refuse_text("conv 8, dense 10", NN_ERR_SYNTAX, "kernel height");
	refuse_text("conv 8 3, dense 10", NN_ERR_SYNTAX, "\"x\"");
	refuse_text("conv 8 3x, dense 10", NN_ERR_SYNTAX, "kernel width");
	refuse_text("conv 8 0x3, dense 10", NN_ERR_SYNTAX, "kernel height must be at least 1");
	refuse_text("conv 8 3x3 full, dense 10", NN_ERR_SYNTAX, "found \"full\"");
	refuse_text("conv 8 2x2 same, dense 10", NN_ERR_SYNTAX, "odd");
	refuse_text("conv 8 29x1, dense 10", NN_ERR_SYNTAX, "larger than its input of 28x28");
	refuse_text("conv 8 5x5, conv 8 1x25, dense 10", NN_ERR_SYNTAX, "layer 2: kernel 1x25 is larger");
	refuse_text("maxpool 29, dense 10", NN_ERR_SYNTAX, "larger than its input");
	refuse_text("maxpool 14, maxpool 3, dense 10", NN_ERR_SYNTAX, "layer 2: pool of 3");
	refuse_text("maxpool 0, dense 10", NN_ERR_SYNTAX, "at least 1");
	refuse_text("dropout, dense 10", NN_ERR_SYNTAX, "dropout rate");
	refuse_text("dropout ., dense 10", NN_ERR_SYNTAX, "dropout rate");
	refuse_text("dropout 1, dense 10", NN_ERR_SYNTAX, "less than 1");
	refuse_text("dropout 0.12345, dense 10", NN_ERR_SYNTAX, "decimals");
	refuse_text("dropout nan, dense 10", NN_ERR_SYNTAX, "dropout rate");
	refuse_text("dense 5, conv 3 1x1, dense 10", NN_ERR_SYNTAX, "conv cannot follow a dense layer");
	refuse_text("dense 5, relu, maxpool 1, dense 10", NN_ERR_SYNTAX, "maxpool cannot follow a dense layer");
	refuse_text("dense 11", NN_ERR_SYNTAX, "must be \"dense 10\"");
	refuse_text("dense 10, relu", NN_ERR_SYNTAX, "must be \"dense 10\"");
	refuse_text("keras_cnn, dense 10", NN_ERR_SYNTAX, "expected conv");
	refuse("dense 10\0, dense 10", 19, NN_ERR_SYNTAX, "comma");
	refuse("\xff\xfe\x01 10", 6, NN_ERR_SYNTAX, "found \"???\"");
}

static void
test_limits(void **state)
{
	size_t huge = 10 * 1000 * 1000;
	char *text = malloc(huge);
	char layers[NN_MAX_TEXT];

	(void) state;
	assert_non_null(text);
	memset(text, ' ', huge);
	memcpy(text, "dense 10", 8);
	refuse(text, huge, NN_ERR_LIMIT, "10000000 bytes exceeds the limit");
	refuse(text, NN_MAX_TEXT + 1, NN_ERR_LIMIT, "exceeds the limit");
	text[NN_MAX_TEXT] = '\0';
	(void) parse(text); /* just within */
	free(text);

	refuse_text("dense 4097, dense 10", NN_ERR_LIMIT, "at most 4096");
	refuse_text("dense 1000000000000, dense 10", NN_ERR_LIMIT, "at most 4096");
	refuse_text("dense 18446744073709551626", NN_ERR_LIMIT, "at most 4096");
	refuse_text("conv 1025 1x1, dense 10", NN_ERR_LIMIT, "at most 1024");
	refuse_text("conv 8 99999999999999999999x99999999999999999999, dense 10", NN_ERR_SYNTAX, "larger than its input");
	refuse_text("maxpool 4294967298, dense 10", NN_ERR_SYNTAX, "larger than its input");
	refuse_text("conv 1024 1x1, dense 4096, dense 10", NN_ERR_LIMIT, "weights");
	refuse_text("conv 256 3x3 same, conv 256 3x3 same, dense 10", NN_ERR_LIMIT, "multiplications");
	refuse_text("dense 4096, dense 1024, dense 10", NN_ERR_LIMIT, "weights");

	layers[0] = '\0';
	for (int i = 0; i < NN_MAX_LAYERS - 1; i++)
		strcat(layers, "relu,");
	strcat(layers, "dense 10");
	assert_int_equal(parse(layers).nlayers, NN_MAX_LAYERS);
	memmove(layers + 5, layers, strlen(layers) + 1);
	memcpy(layers, "relu,", 5);
	refuse_text(layers, NN_ERR_LIMIT, "64 layers");
}

/* Random descriptions: those that parse are within all limits, the others give an error message. */
static void
test_random_texts(void **state)
{
	static const char *const words[] = {"conv",	 "dense", "bn",			 "relu", "maxpool",	 "dropout",
										",",	 ", ",	  " ",			 "3x3",	 "1x5",		 "same",
										"valid", "10",	  "4096",		 "1024", "2",		 "64",
										"0.5",	 "x",	  "99999999999", "-1",	 "dense 10", "maxpool 2,"};
	uint64_t random = 1;
	int parsed = 0;

	(void) state;
	for (int i = 0; i < 300000; i++)
	{
		char text[256] = "";
		int nwords;
		NnNet net;
		NnError error;

		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		nwords = 1 + (int) ((random >> 33) % 12);
		for (int w = 0; w < nwords; w++)
		{
			random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			strcat(text, words[(random >> 33) % (sizeof(words) / sizeof(words[0]))]);
			if (w % 2 == 0)
				strcat(text, " ");
		}
		if (nn_net_parse(&net, text, strlen(text), &error) != NN_OK)
		{
			assert_true(strlen(error.message) > 0);
			continue;
		}
		parsed++;
		assert_true(net.nvalues <= NN_MAX_VALUES && net.macs <= NN_MAX_MACS && net.nlayers <= NN_MAX_LAYERS);
		for (int l = 0; l < net.nlayers; l++)
		{
			const NnLayer *layer = &net.layers[l];

			assert_true(layer->out_h > 0 && layer->out_w > 0 && layer->out_c > 0);
			assert_true((int64_t) layer->out_h * layer->out_w * layer->out_c <= NN_MAX_ACTIVATIONS);
		}
	}
	assert_true(parsed > 100);
}

static void
test_init(void **state)
{
	NnNet net = parse("conv 64 5x5, bn, relu, maxpool 2, dense 100, relu, dense 10");
	float *values = malloc(net.nvalues * sizeof(float));
	float *again = malloc(net.nvalues * sizeof(float));
	const NnLayer *norm = &net.layers[1];

	(void) state;
	assert_non_null(values);
	assert_non_null(again);
	nn_net_init(&net, values, 7);
	nn_net_init(&net, again, 7);
	assert_memory_equal(values, again, net.nvalues * sizeof(float));
	nn_net_init(&net, again, 8);
	assert_true(values[0] != again[0]);

	for (int i = 0; i < net.nlayers; i++)
	{
		const NnLayer *layer = &net.layers[i];
		double sum = 0;
		double squares = 0;
		double n = (double) layer->nweight;
		double variance = 2.0 / (n / layer->out_c);

		if (layer->kind != NN_CONV && layer->kind != NN_DENSE)
			continue;
		for (size_t k = 0; k < layer->nweight; k++)
		{
			sum += values[layer->weight + k];
			squares += values[layer->weight + k] * values[layer->weight + k];
		}
		/* five standard errors of the mean and of the variance */
		assert_true(fabs(sum / n) < 5 * sqrt(variance / n));
		assert_true(fabs(squares / n - variance) < 5 * variance * sqrt(2 / n));
		for (int c = 0; c < layer->out_c; c++)
			assert_true(values[layer->bias + (size_t) c] == 0.0f);
	}
	for (int c = 0; c < norm->out_c; c++)
	{
		assert_true(values[norm->weight + (size_t) c] == 1.0f);
		assert_true(values[norm->bias + (size_t) c] == 0.0f);
		assert_true(values[norm->mean + (size_t) c] == 0.0f);
		assert_true(values[norm->var + (size_t) c] == 1.0f);
	}
	free(values);
	free(again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets),		  cmocka_unit_test(test_known_sizes), cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_offsets),		  cmocka_unit_test(test_format),	  cmocka_unit_test(test_every_rate),
		cmocka_unit_test(test_syntax_errors), cmocka_unit_test(test_limits),	  cmocka_unit_test(test_random_texts),
		cmocka_unit_test(test_init),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
