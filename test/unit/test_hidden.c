/*
 * test_hidden.c: the projections of the last hidden layer (nn_forward_hidden) against plain loops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "network_fixture.h"
#include "nn/naive.h"
#include "nn/infer/forward.h"
#include "nn/infer/plan.h"
#include "nn/kernels/cpu.h"
#include "nn/nn.h"

#define N 17 /* more images than a group has */
#define TOLERANCE 1e-4

static uint8_t images[N * NN_PIXELS];

static int
make_images(void **state)
{
	(void) state;
	fill_images(images, sizeof(images), 17);
	return 0;
}

/* Plain loops: the input of the last layer, projected. */
static void
project(const NnNet *net, const float *values, const uint8_t *pixels, double hidden[NN_HIDDEN])
{
	float *in = malloc(NN_MAX_ACTIVATIONS * sizeof(float));
	float *out = malloc(NN_MAX_ACTIVATIONS * sizeof(float));
	const NnLayer *last = &net->layers[net->nlayers - 1];
	size_t inputs = (size_t) last->in_h * (size_t) last->in_w * (size_t) last->in_c;

	assert_non_null(in);
	assert_non_null(out);
	for (int i = 0; i < NN_PIXELS; i++)
		in[i] = (float) pixels[i] / 255.0f;
	for (int i = 0; i < net->nlayers - 1; i++)
	{
		float *swap = in;

		nn_naive_layer(&net->layers[i], values, in, out);
		in = out;
		out = swap;
	}
	for (int j = 0; j < NN_HIDDEN; j++)
	{
		hidden[j] = 0;
		for (size_t k = 0; k < inputs; k++)
			hidden[j] += (double) in[k] * (double) nn_projection(j, k, inputs);
	}
	free(in);
	free(out);
}

static void
check(const char *text)
{
	NnNet net = parse(text);
	float *values = allocate(net.nvalues * sizeof(float));
	float probabilities[N * NN_CLASSES];
	float alone[N * NN_CLASSES];
	float hidden[N * NN_HIDDEN];

	nn_net_init(&net, values, 3);
	for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
	{
		NnPlan *plan;
		void *scratch;

		force_isa(isa);
		plan = make_plan(&net, values);
		scratch = allocate(nn_scratch_size(plan, N));
		nn_forward_hidden(plan, images, N, probabilities, hidden, scratch);
		for (int i = 0; i < N; i++)
		{
			double naive[NN_HIDDEN];
			float one[NN_HIDDEN];

			project(&net, values, images + i * NN_PIXELS, naive);
			for (int j = 0; j < NN_HIDDEN; j++)
				assert_true(fabs(naive[j] - (double) hidden[i * NN_HIDDEN + j]) < TOLERANCE * (1 + fabs(naive[j])));

			/* an image's projections do not depend on the other images */
			nn_forward_hidden(plan, images + i * NN_PIXELS, 1, alone, one, scratch);
			assert_memory_equal(one, hidden + i * NN_HIDDEN, sizeof(one));
			assert_memory_equal(alone, probabilities + i * NN_CLASSES, NN_CLASSES * sizeof(float));
		}
		/* without the projections the probabilities are the same */
		nn_forward(plan, images, N, alone, scratch);
		assert_memory_equal(alone, probabilities, sizeof(alone));
		free(scratch);
		free(plan);
	}
	free(values);
}

static void
presets_project_their_last_hidden_layer(void **state)
{
	(void) state;
	for (int i = 0; nn_preset_name(i) != NULL; i++)
		check(nn_preset_name(i));
}

static void
odd_networks_too(void **state)
{
	(void) state;
	check("dense 33, relu, dense 10");
	check("conv 5 3x3, maxpool 3, dense 10");
	check("maxpool 4, relu, dense 10");
	check("dense 7, bn, relu, dropout 0.5, dense 10");
}

/* The weights of each projection have length 1, and no two projections are correlated. */
static void
projections_are_independent(void **state)
{
	const size_t inputs = 4096;

	(void) state;
	for (int i = 0; i < NN_HIDDEN; i++)
	{
		for (int j = 0; j <= i; j++)
		{
			double product = 0;

			for (size_t k = 0; k < inputs; k++)
				product += (double) nn_projection(i, k, inputs) * (double) nn_projection(j, k, inputs);
			assert_true(i == j ? fabs(product - 1) < 1e-5 : fabs(product) < 5 / sqrt((double) inputs));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(presets_project_their_last_hidden_layer),
		cmocka_unit_test(odd_networks_too),
		cmocka_unit_test(projections_are_independent),
	};

	return cmocka_run_group_tests_name("hidden", tests, make_images, NULL);
}
