/*
 * test_optimizer.c: AdamW, weight averaging and the schedule against their definitions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kernels/cpu.h"
#include "nn/nn.h"
#include "nn/train/optimizer.h"
#include "util/rng.h"

#define DESCRIPTION "conv 3 3x3, bn, relu, maxpool 4, dense 7, bn, relu, dense 10"
#define MAX_VALUES 4096
#define NGRADS 3
#define STEPS 5

static NnNet net;

typedef struct State
{
	float values[MAX_VALUES];
	float m[MAX_VALUES];
	float v[MAX_VALUES];
} State;

static float grads[STEPS][NGRADS][MAX_VALUES];

static const NnAdam settings = {.learning_rate = 0.01f,
								.beta1 = 0.9f,
								.beta2 = 0.99f,
								.epsilon = 1e-6f,
								.weight_decay = 0.1f,
								.stats_momentum = 0.25f};

static int
make_inputs(void **state)
{
	NnError error;
	Rng rng = rng_start(5);

	(void) state;
	assert_int_equal(nn_net_parse(&net, DESCRIPTION, strlen(DESCRIPTION), &error), NN_OK);
	assert_true(net.nvalues < MAX_VALUES);
	for (size_t i = 0; i < STEPS * NGRADS * MAX_VALUES; i++)
		(&grads[0][0][0])[i] = rng_normal(&rng);
	return 0;
}

static void
init(State *s)
{
	memset(s, 0, sizeof(*s));
	nn_net_init(&net, s->values, 1);
	for (size_t i = 0; i < net.nvalues; i++)
		s->values[i] += 0.5f;
}

/* Step k for the whole vector, in nslices slices. */
static void
run_step(State *s, int k, int nslices)
{
	const float *const g[NGRADS] = {grads[k][0], grads[k][1], grads[k][2]};
	NnAdam adam = settings;

	adam.step = k + 1;
	for (int i = 0; i < nslices; i++)
		nn_adam_step(&net, s->values, s->m, s->v, g, NGRADS, net.nvalues * i / nslices,
					 net.nvalues * (i + 1) / nslices, &adam);
}

static bool
is_decayed(size_t i)
{
	for (int k = 0; k < net.nlayers; k++)
	{
		const NnLayer *layer = &net.layers[k];

		if ((layer->kind == NN_CONV || layer->kind == NN_DENSE) && i >= layer->weight &&
			i < layer->weight + layer->nweight)
			return true;
	}
	return false;
}

/* Five steps against the paper's formulas in double precision, for every value of the net. */
static void
test_adamw(void **state)
{
	State s;

	(void) state;
	for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
	{
		State start;
		NnError error;

		assert_int_equal(nn_isa_force((NnIsa) isa, &error), NN_OK);
		init(&start);
		init(&s);
		for (int k = 0; k < STEPS; k++)
			run_step(&s, k, 1);
		for (size_t i = 0; i < net.nvalues; i++)
		{
			double x = start.values[i];
			double m = 0.0;
			double v = 0.0;

			for (int k = 0; k < STEPS; k++)
			{
				double g = (double) grads[k][0][i] + grads[k][1][i] + grads[k][2][i];

				if (i >= net.nparams)
				{
					x += 0.25 * (g / NGRADS - x);
					continue;
				}
				m = 0.9 * m + 0.1 * g;
				v = 0.99 * v + 0.01 * g * g;
				x -= 0.01 * (m / (1.0 - pow(0.9, k + 1)) / (sqrt(v / (1.0 - pow(0.99, k + 1))) + 1e-6) +
							 (is_decayed(i) ? 0.1 * x : 0.0));
			}
			if (!(fabs(s.values[i] - x) < 1e-5))
				fail_msg("value %zu: %g, should be %g", i, (double) s.values[i], x);
		}
	}
}

/* As the paper remarks, the first step moves every parameter by the learning rate, against its gradient's sign. */
static void
test_first_step(void **state)
{
	State s;
	State start;
	const float *const g[1] = {grads[0][0]};
	NnAdam adam = settings;

	(void) state;
	init(&s);
	init(&start);
	adam.step = 1;
	adam.weight_decay = 0.0f;
	nn_adam_step(&net, s.values, s.m, s.v, g, 1, 0, net.nvalues, &adam);
	for (size_t i = 0; i < net.nparams; i++)
	{
		if (fabsf(g[0][i]) > 0.01f)
			assert_true(fabsf(start.values[i] - s.values[i] - copysignf(0.01f, g[0][i])) < 1e-5f);
	}
}

/* A step in slices gives the same result, bit for bit, as a step of the whole vector. */
static void
test_slices(void **state)
{
	State whole;

	(void) state;
	for (int nslices = 2; nslices <= 37; nslices += 5)
	{
		State s;

		init(&whole);
		init(&s);
		for (int k = 0; k < STEPS; k++)
		{
			run_step(&whole, k, 1);
			run_step(&s, k, nslices);
		}
		assert_memory_equal(&s, &whole, sizeof(s));
	}
}

static void
test_average(void **state)
{
	float average[21];
	float values[21];

	(void) state;
	for (int i = 0; i < 21; i++)
	{
		average[i] = (float) i;
		values[i] = 100.0f;
	}
	nn_average_step(average, values, 0.75f, 1, 20);
	assert_true(average[0] == 0.0f && average[20] == 20.0f);
	for (int i = 1; i < 20; i++)
		assert_true(average[i] == 0.75f * (float) i + 25.0f);
}

/* The schedule rises linearly to the peak, falls to zero along a cosine, and never leaves 0..1. */
static void
test_one_cycle(void **state)
{
	(void) state;
	for (int64_t i = 0; i < 1000; i++)
	{
		float share = nn_one_cycle(i, 1000, 0.2f);

		assert_true(share > 0.0f && share <= 1.0f);
		if (i > 0 && i < 200)
		{
			assert_true(share > nn_one_cycle(i - 1, 1000, 0.2f));
			assert_true(fabsf(share - (float) (i + 1) / 201.0f) < 1e-5f);
		}
		if (i > 200)
			assert_true(share < nn_one_cycle(i - 1, 1000, 0.2f));
	}
	assert_true(nn_one_cycle(200, 1000, 0.2f) == 1.0f);
	assert_true(fabsf(nn_one_cycle(600, 1000, 0.2f) - 0.5f) < 1e-6f);
	assert_true(nn_one_cycle(999, 1000, 0.2f) < 1e-4f);
	assert_true(nn_one_cycle(1000, 1000, 0.2f) < 1e-6f);
	assert_true(nn_one_cycle(0, 1, 0.0f) == 1.0f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adamw),	cmocka_unit_test(test_first_step), cmocka_unit_test(test_slices),
		cmocka_unit_test(test_average), cmocka_unit_test(test_one_cycle),
	};

	return cmocka_run_group_tests(tests, make_inputs, NULL);
}
