/*
 * test_forward.c: the fast forward pass against plain loops, on every instruction set of this machine.
 *
 * Whole networks are compared.  Their logits, up to the constant that softmax drops, depend on every activation with
 * a weight far from zero, so a single wrong number in one channel is found.
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
#include "nn/naive.h"
#include "nn/infer/forward.h"
#include "nn/infer/plan.h"
#include "nn/kernels/cpu.h"
#include "nn/nn.h"
#include "util/rng.h"

#define MAX_IMAGES 64
#define TOLERANCE 2e-4 /* of a log probability; float sums of up to 10,000 terms of order one */

static uint8_t images[MAX_IMAGES * NN_PIXELS];

static int
make_images(void **state)
{
	(void) state;
	fill_images(images, sizeof(images), 11);
	return 0;
}

/* Initial weights; biases and batch norms are random, so that a mistake in them is found. */
static float *
make_values(const NnNet *net)
{
	float *values = allocate(net->nvalues * sizeof(float));
	Rng rng = rng_start(5);

	nn_net_init(net, values, 5);
	for (int i = 0; i < net->nlayers; i++)
	{
		const NnLayer *layer = &net->layers[i];

		if (layer->nweight == 0)
			continue;
		for (size_t c = 0; c < (size_t) layer->out_c; c++)
		{
			values[layer->bias + c] = rng_range(&rng, -0.5f, 0.5f);
			if (layer->kind != NN_BATCHNORM)
				continue;
			values[layer->weight + c] = rng_range(&rng, -1.5f, 1.5f);
			values[layer->mean + c] = rng_range(&rng, -0.5f, 0.5f);
			values[layer->var + c] = rng_range(&rng, 0.3f, 2.0f);
		}
	}
	return values;
}

/* Predict n images in scratch memory of exactly the required size, filled with NaN to find reads before writes. */
static void
forward(const NnPlan *plan, const uint8_t *pixels, int n, float *probabilities)
{
	size_t size = nn_scratch_size(plan, n);
	void *scratch = NULL;

	assert_int_equal(posix_memalign(&scratch, NN_ALIGN, size), 0);
	memset(scratch, 0xff, size); /* not a number */
	nn_forward(plan, pixels, n, probabilities, scratch);
	free(scratch);
}

/* Compare one image's log probabilities with those of plain loops. */
static void
compare(const char *text, const float *fast, const float *naive)
{
	double sum = 0;

	for (int i = 0; i < NN_CLASSES; i++)
	{
		double difference = fabs(log(fast[i]) - log(naive[i]));

		if (!(difference < TOLERANCE))
			fail_msg("%s: %s: probability %d is %.9g, should be %.9g", nn_isa_name(nn_isa()), text, i, fast[i],
					 naive[i]);
		sum += fast[i];
	}
	assert_true(fabs(sum - 1) < 1e-6);
}

/* Check a network on a few images against plain loops, on every instruction set. */
static void
check(const char *text)
{
	enum
	{
		N = 3
	};
	NnNet net = parse(text);
	float *values = make_values(&net);
	float naive[N][NN_CLASSES];
	float fast[N][NN_CLASSES];

	for (int i = 0; i < N; i++)
		assert_true(nn_naive_forward(&net, values, images + i * NN_PIXELS, naive[i]));
	for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
	{
		NnPlan *plan;

		force_isa(isa);
		plan = make_plan(&net, values);
		forward(plan, images, N, fast[0]);
		for (int i = 0; i < N; i++)
			compare(text, fast[i], naive[i]);
		free(plan);
	}
	free(values);
}

static void
test_presets(void **state)
{
	(void) state;
	for (int i = 0; nn_preset_name(i) != NULL; i++)
		check(nn_preset_name(i));
}

/* Every combination of odd sizes: channels in and out, kernels, padding and pooling, on a map of 9 x 9. */
static void
test_odd_sizes(void **state)
{
	static const int channels[] = {1, 3, 5, 17, 33, 64, 100};
	static const char *const kernels[] = {"1x1", "3x3", "5x5", "7x7", "1x3"};
	static const char *const pools[] = {"", "maxpool 2,", "maxpool 3,"};
	const size_t nchannels = sizeof(channels) / sizeof(channels[0]);

	(void) state;
	for (size_t in = 0; in < nchannels; in++)
	{
		for (size_t k = 0; k < 5; k++)
		{
			for (size_t variant = 0; variant < 6; variant++)
			{
				char text[NN_MAX_TEXT];
				int out = channels[(in + k + variant) % nchannels];

				snprintf(text, sizeof(text), "conv %d 3x2, relu, maxpool 3, conv %d %s %s, %s %s dense 10",
						 channels[in], out, kernels[k], variant % 2 == 0 ? "same" : "valid",
						 variant < 3 ? "relu," : "",
						 strcmp(kernels[k], "7x7") == 0 && variant % 2 == 1 ? "" : pools[variant / 2]);
				check(text);
			}
		}
	}
}

/* Every width of a row of outputs, so that every tile and every division of a row into tiles is run. */
static void
test_every_width(void **state)
{
	static const int channels[] = {16, 32, 48, 7};

	(void) state;
	for (int width = 1; width <= NN_SIDE; width++)
	{
		for (int pool = 1; pool <= 3 && pool <= width; pool++)
		{
			for (size_t c = 0; c < sizeof(channels) / sizeof(channels[0]); c++)
			{
				char text[NN_MAX_TEXT];

				snprintf(text, sizeof(text), "conv %d %dx%d, maxpool %d, dense 10", channels[c], NN_SIDE + 1 - pool,
						 NN_SIDE + 1 - width, pool);
				check(text);
			}
		}
	}
}

/* Convolutions of 3 x 3: with whole blocks of channels, which winograd.c computes, and some others. */
static void
test_three_by_three(void **state)
{
	static const char *const sizes[] = {"3x3", "14x15", "16x17", "20x23", "25x24"};
	static const char *const pools[] = {"", "relu, maxpool 2,", "relu,", "maxpool 3, bn,"};

	(void) state;
	for (size_t size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++)
	{
		for (size_t pool = 0; pool < sizeof(pools) / sizeof(pools[0]); pool++)
		{
			static const int channels[] = {16, 48, 32, 15, 64};

			for (size_t c = 0; c < sizeof(channels) / sizeof(channels[0]); c++)
			{
				char text[NN_MAX_TEXT];

				snprintf(text, sizeof(text), "conv %d %s, relu, conv %d 3x3 %s, bn, %s dense 10", channels[c],
						 sizes[size], channels[(c + 1 + size) % 5], c % 2 == 0 ? "same" : "valid",
						 size == 4 && pool == 3 && c % 2 == 1 ? "" : pools[pool]);
				check(text);
			}
		}
	}
	check("conv 16 26x26, conv 16 3x3 valid, dense 10");
	/* whole tiles of 4 x 4, and one, two and three outputs beyond them */
	check("conv 32 5x5, conv 32 3x3 same, maxpool 2, conv 64 3x3 same, bn, relu, dense 10");
	check("conv 32 3x3, conv 48 3x3, conv 64 3x3 same, relu, maxpool 2, conv 64 3x3, dense 10");
	check("conv 64 10x12, conv 64 3x3 same, relu, conv 64 3x3, dense 10");
	/* odd sizes between paddings: tiles that reach over the edge must not overwrite the next layer's zeros */
	check("conv 16 14x16, conv 32 3x3 same, conv 16 3x3 same, conv 3 5x5 same, dense 10");
	check("conv 16 3x3, conv 1024 3x3, maxpool 6, dense 10");
}

static void
test_dense_sizes(void **state)
{
	static const int units[] = {1, 2, 3, 9, 15, 16, 17, 31, 33, 64, 65, 100, 128, 129, 257};

	(void) state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		char text[NN_MAX_TEXT];

		snprintf(text, sizeof(text), "maxpool 3, dense %d, relu, dense 10", units[i]);
		check(text);
	}
}

/* Layers in orders in which they can be folded into each other, and in orders in which they cannot. */
static void
test_folding(void **state)
{
	static const char *const texts[] = {
		"bn, dense 10",
		"bn, relu, dense 10",
		"bn, bn, conv 3 3x3 same, dense 10",
		"relu, dense 10",
		"relu, conv 4 3x3 same, relu, relu, dense 10",
		"dropout 0.5, dense 10",
		"dropout 0.5, conv 3 3x3, dropout 0.5, bn, dropout 0.5, relu, dropout 0.1, maxpool 2, dropout 0.2, dense 10",
		"maxpool 2, dense 10",
		"maxpool 2, relu, conv 3 5x5 same, dense 10",
		"maxpool 5, maxpool 2, dense 10",
		"conv 5 3x3, bn, bn, relu, dense 10",
		"conv 5 3x3, relu, bn, dense 10",
		"conv 5 3x3, relu, bn, maxpool 2, conv 3 3x3 same, dense 10",
		"conv 5 3x3, maxpool 2, bn, relu, conv 3 3x3 same, bn, dense 10",
		"conv 5 3x3, maxpool 2, relu, dense 10",
		"conv 5 3x3, bn, maxpool 2, relu, bn, relu, dense 10",
		"conv 5 3x3, maxpool 2, maxpool 3, relu, dense 10",
		"conv 5 3x3, relu, maxpool 3, relu, maxpool 2, bn, conv 4 1x3 same, dense 10",
		"conv 5 3x3, maxpool 1, maxpool 2, bn, maxpool 1, dense 10",
		"conv 40 28x28, dense 10",
		"conv 150 28x28, bn, relu, dense 10",
		"conv 3 27x27, maxpool 2, dense 10",
		"conv 1 1x28, conv 1 28x1, dense 7, dense 10",
		"conv 1 1x27 same, conv 1 27x1 same, dense 10",
		"maxpool 28, dense 10",
		"dense 20, bn, relu, dropout 0.5, dense 10",
		"dense 20, relu, bn, dense 30, bn, bn, relu, dense 10",
		"dense 20, relu, bn, relu, bn, relu, dense 10",
		"conv 3 3x3, dropout 0.5, dense 10, relu, dense 10",
		"conv 2 3x3 same, conv 3 5x5 same, conv 4 7x7 same, conv 5 1x1 same, maxpool 2, dense 10",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check(texts[i]);
}

/* An image's result must depend neither on the other images nor on their number: every bit is the same. */
static void
test_batches(void **state)
{
	static const char *const texts[] = {"softmax", "keras_cnn", "lenet5",
										"conv 16 3x3 same, conv 32 3x3 same, maxpool 2, conv 16 3x3, dense 10",
										"bn, maxpool 2, conv 17 3x3 same, relu, dense 37, relu, bn, dense 10"};

	(void) state;
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++)
	{
		NnNet net = parse(texts[t]);
		float *values = make_values(&net);

		for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
		{
			static float single[MAX_IMAGES][NN_CLASSES];
			static float batch[MAX_IMAGES][NN_CLASSES];
			NnPlan *plan;

			force_isa(isa);
			plan = make_plan(&net, values);
			for (int i = 0; i < MAX_IMAGES; i++)
				forward(plan, images + i * NN_PIXELS, 1, single[i]);
			for (int n = 2; n <= MAX_IMAGES; n += n < 33 ? 1 : 31)
			{
				int from = MAX_IMAGES - n;

				forward(plan, images + from * NN_PIXELS, n, batch[0]);
				assert_memory_equal(batch, single[from], (size_t) n * sizeof(single[0]));
			}
			free(plan);
		}
		free(values);
	}
}

/* A plan can be moved: it is copied, and the original destroyed. */
static void
test_relocation(void **state)
{
	NnNet net = parse("default");
	float *values = make_values(&net);
	size_t size = nn_plan_size(&net);
	NnPlan *plan = make_plan(&net, values);
	NnPlan *copy = allocate(size);
	float before[2][NN_CLASSES];
	float after[2][NN_CLASSES];

	(void) state;
	force_isa((int) nn_isa_best());
	forward(plan, images, 2, before[0]);
	memcpy(copy, plan, size);
	memset(plan, 0xff, size);
	free(plan);
	forward(copy, images, 2, after[0]);
	assert_memory_equal(before, after, sizeof(before));

	/* built again in memory with other contents, it has the same bytes: plans can be compared and shared */
	plan = allocate(size);
	memset(plan, 0xa5, size);
	nn_plan_build(plan, &net, values);
	assert_memory_equal(plan, copy, size);
	free(plan);
	free(copy);
	free(values);
}

static void
test_no_images(void **state)
{
	NnNet net = parse("softmax");
	float *values = make_values(&net);
	NnPlan *plan = make_plan(&net, values);
	float untouched = 42;

	(void) state;
	nn_forward(plan, images, 0, &untouched, NULL);
	assert_true(untouched == 42);
	free(plan);
	free(values);
}

/* Logits of any size must give probabilities. */
static void
test_extreme_logits(void **state)
{
	NnNet net = parse("softmax");
	float *values = make_values(&net);
	static const float scales[] = {0.0f, 1e-20f, 1.0f, 1e3f, 1e10f, 1e30f};

	(void) state;
	for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); s++)
	{
		NnPlan *plan;
		float probabilities[NN_CLASSES];
		double sum = 0;

		for (size_t i = 0; i < net.nvalues; i++)
			values[i] = scales[s] * (float) ((int) (i % 7) - 3);
		plan = make_plan(&net, values);
		forward(plan, images, 1, probabilities);
		for (int i = 0; i < NN_CLASSES; i++)
		{
			assert_true(probabilities[i] >= 0.0f && probabilities[i] <= 1.0f);
			sum += probabilities[i];
		}
		assert_true(fabs(sum - 1) < 1e-6);
		free(plan);
	}
	free(values);
}

/* A result that was computed by hand: a dense layer in which one pixel has a weight. */
static void
test_known_answer(void **state)
{
	NnNet net = parse("softmax");
	float *values = allocate(net.nvalues * sizeof(float));
	uint8_t pixels[NN_PIXELS] = {0};
	float probabilities[NN_CLASSES];
	NnPlan *plan;

	(void) state;
	memset(values, 0, net.nvalues * sizeof(float));
	values[(3 * NN_SIDE + 5) * NN_CLASSES + 7] = (float) log(2.0) * 3; /* from row 3, column 5 to class 7 */
	pixels[3 * NN_SIDE + 5] = 255;
	plan = make_plan(&net, values);
	forward(plan, pixels, 1, probabilities);
	for (int i = 0; i < NN_CLASSES; i++)
		assert_true(fabs(probabilities[i] - (i == 7 ? 8.0 : 1.0) / 17) < 1e-6);
	free(plan);
	free(values);
}

/* A layout that was checked by hand: one pixel on its way through the net; all other weights are zero. */
static void
test_known_layout(void **state)
{
	NnNet net = parse("conv 2 1x1, bn, relu, conv 3 1x2, maxpool 2, dense 10");
	float *values = allocate(net.nvalues * sizeof(float));
	uint8_t pixels[NN_PIXELS] = {0};
	float naive[NN_CLASSES];
	float fast[NN_CLASSES];

	(void) state;
	memset(values, 0, net.nvalues * sizeof(float));
	pixels[5 * NN_SIDE + 7] = 255;
	values[net.layers[0].weight + 1] = 1.0f; /* to channel 1: 1 at the pixel, 0 elsewhere */
	values[net.layers[1].weight + 1] = 2.0f; /* gamma, */
	values[net.layers[1].bias + 1] = 0.25f;	 /* beta, */
	values[net.layers[1].mean + 1] = 0.5f;	 /* mean, */
	values[net.layers[1].var + 0] = 1.0f;
	values[net.layers[1].var + 1] = 4.0f - NN_BN_EPSILON; /* variance: together x - 0.25, then ReLU: 0.75, else 0 */
	values[net.layers[3].weight + (1 * 2 + 1) * 3 + 2] = 4.0f; /* second column, channel 1 to 2: 3 at (5, 6, 2) */
	values[net.layers[5].weight + ((2 * 13 + 3) * 3 + 2) * NN_CLASSES + 4] = (float) log(2.0); /* pooled: (2, 3, 2) */

	assert_true(nn_naive_forward(&net, values, pixels, naive));
	for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
	{
		NnPlan *plan;

		force_isa(isa);
		plan = make_plan(&net, values);
		forward(plan, pixels, 1, fast);
		for (int i = 0; i < NN_CLASSES; i++)
		{
			assert_true(fabs(naive[i] - (i == 4 ? 8.0 : 1.0) / 17) < 1e-6);
			assert_true(fabs(fast[i] - (i == 4 ? 8.0 : 1.0) / 17) < 1e-6);
		}
		free(plan);
	}
	free(values);
}

static void
test_dispatch(void **state)
{
	NnError error;

	(void) state;
	for (int isa = NN_ISA_PORTABLE; isa <= NN_ISA_AVX512; isa++)
	{
		if (isa <= (int) nn_isa_best())
		{
			force_isa(isa);
			continue;
		}
		assert_int_equal(nn_isa_force((NnIsa) isa, &error), NN_ERR_UNAVAILABLE);
		assert_int_equal(error.status, NN_ERR_UNAVAILABLE);
		assert_int_equal(nn_isa(), nn_isa_best());
	}
	assert_string_equal(nn_isa_name(NN_ISA_PORTABLE), "portable");
	assert_string_equal(nn_isa_name(NN_ISA_AVX2), "AVX2");
	assert_string_equal(nn_isa_name(NN_ISA_AVX512), "AVX-512");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dispatch),	   cmocka_unit_test(test_known_answer),
		cmocka_unit_test(test_known_layout),   cmocka_unit_test(test_presets),
		cmocka_unit_test(test_odd_sizes),	   cmocka_unit_test(test_every_width),
		cmocka_unit_test(test_three_by_three), cmocka_unit_test(test_dense_sizes),
		cmocka_unit_test(test_folding),		   cmocka_unit_test(test_batches),
		cmocka_unit_test(test_relocation),	   cmocka_unit_test(test_no_images),
		cmocka_unit_test(test_extreme_logits),
	};

	return cmocka_run_group_tests_name("forward", tests, make_images, NULL);
}
