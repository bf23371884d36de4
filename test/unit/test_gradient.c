/*
 * test_gradient.c: the gradients of a training step, checked in two steps.
 *
 * First, the plain training step (naive_train.c, double precision) against central finite differences of its own
 * loss.  Second, the fast training step against the plain one, on every instruction set of this machine, with
 * OpenBLAS and with the built-in product.  The nets cover every layer and every path through the fast code, in odd
 * sizes.
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

#include "naive_train.h"
#include "network_fixture.h"
#include "nn/kernels/blas.h"
#include "nn/kernels/cpu.h"
#include "nn/nn.h"
#include "nn/train/batch.h"
#include "nn/train/train.h"
#include "util/rng.h"

#define MAX_BATCH 9
#define STEP 1e-5 /* of the finite differences */
#define DIFFERENCE_TOLERANCE 1e-6
#define FAST_TOLERANCE 2e-4 /* relative to the largest gradient of the same kind */
#define CHECKED 12			/* number of parameters of each layer that are checked by finite differences */

static const char *const nets[] = {
	"dense 10",
	"dense 7, relu, dense 10",
	"dense 33, bn, relu, dropout 0.4, dense 10",
	"conv 3 3x3, maxpool 4, dense 10",
	"conv 5 3x3 same, relu, maxpool 3, dense 10",
	"conv 6 5x5, relu, maxpool 2, conv 16 5x5, relu, maxpool 2, dense 21, relu, dense 10",
	"conv 17 3x5 same, bn, relu, maxpool 4, conv 33 3x3 same, bn, relu, maxpool 2, dense 10",
	"conv 4 3x3, bn, relu, maxpool 3, conv 5 1x1, bn, relu, conv 3 3x1 same, maxpool 2, relu, bn, dense 10",
	"conv 32 3x3, bn, relu, maxpool 4, conv 64 3x3 same, bn, relu, maxpool 2, conv 8 3x3 same, dropout 0.3, dense 10",
	"conv 16 3x3, relu, maxpool 2, conv 18 3x3, relu, conv 16 3x3 same, maxpool 3, dense 10",
	"maxpool 4, conv 4 3x3 same, relu, conv 70 2x2, bn, relu, maxpool 5, dense 10",
	"bn, maxpool 7, dropout 0.2, dense 10",
	"dropout 0.1, conv 2 3x3, relu, relu, maxpool 2, maxpool 2, bn, bn, dense 10",
	"conv 3 28x28, relu, dense 10",
	"conv 2 9x9 same, bn, maxpool 28, dense 10",
};

#define NNETS ((int) (sizeof(nets) / sizeof(nets[0])))

typedef struct Case
{
	NnNet net;
	float *values;
	double *exact_values;
	double *exact; /* gradient */
	float *images;
	float targets[MAX_BATCH * NN_CLASSES];
	float weights[MAX_BATCH];
	NnBatch batch;
} Case;

static void
case_free(Case *c)
{
	free(c->values);
	free(c->exact_values);
	free(c->exact);
	free(c->images);
}

/* A net with random values everywhere, and a batch of n images with soft targets and unequal weights. */
static void
case_init(Case *c, const char *description, int n, bool frozen)
{
	Rng rng = rng_start(rng_key(7, strlen(description)));

	c->net = parse(description);
	c->values = allocate(c->net.nvalues * sizeof(float));
	c->exact_values = allocate(c->net.nvalues * sizeof(double));
	c->exact = allocate(c->net.nvalues * sizeof(double));
	c->images = allocate((size_t) n * NN_PIXELS * sizeof(float));

	/* Change biases, gammas and betas from their initial 0 and 1; make some gammas negative. */
	nn_net_init(&c->net, c->values, 3);
	for (size_t i = 0; i < c->net.nparams; i++)
		c->values[i] += 0.3f * rng_normal(&rng) * (fabsf(c->values[i]) + 0.1f);
	for (int i = 0; i < c->net.nlayers; i++)
	{
		if (c->net.layers[i].kind == NN_BATCHNORM)
			c->values[c->net.layers[i].weight] *= -1.0f;
	}
	for (size_t i = c->net.nparams; i < c->net.nvalues; i++)
		c->values[i] += rng_range(&rng, -0.4f, 0.4f);
	for (size_t i = 0; i < c->net.nvalues; i++)
		c->exact_values[i] = c->values[i];
	for (int i = 0; i < n * NN_PIXELS; i++)
		c->images[i] = rng_uniform(&rng) < 0.3f ? 0.0f : rng_uniform(&rng);
	for (int i = 0; i < n; i++)
	{
		float sum = 0.0f;

		for (int k = 0; k < NN_CLASSES; k++)
			sum += c->targets[i * NN_CLASSES + k] = rng_uniform(&rng);
		for (int k = 0; k < NN_CLASSES; k++)
			c->targets[i * NN_CLASSES + k] /= sum;
		c->weights[i] = rng_range(&rng, 0.2f, 1.5f) / (float) n;
	}
	c->batch = (NnBatch){
		.n = n, .images = c->images, .targets = c->targets, .weights = c->weights, .seed = 11, .frozen = frozen};
}

/* The gradients of the plain step against finite differences, for a few parameters of each layer. */
static void
check_differences(Case *c)
{
	for (int i = 0; i < c->net.nlayers; i++)
	{
		const NnLayer *layer = &c->net.layers[i];
		size_t count = layer->nweight > 0 ? layer->nweight + layer->out_c : 0;

		for (size_t k = 0; k < CHECKED && k < count; k++)
		{
			size_t p = layer->weight + (k + 1) * count / (CHECKED < count ? CHECKED : count) - 1;
			double kept = c->exact_values[p];
			double above;
			double below;
			double measured;

			c->exact_values[p] = kept + STEP;
			above = naive_train_step(&c->net, c->exact_values, NULL, &c->batch);
			c->exact_values[p] = kept - STEP;
			below = naive_train_step(&c->net, c->exact_values, NULL, &c->batch);
			c->exact_values[p] = kept;
			measured = (above - below) / (2.0 * STEP);
			if (fabs(measured - c->exact[p]) > DIFFERENCE_TOLERANCE * (1.0 + fabs(measured)))
				fail_msg("layer %d, value %zu: %g by differences, %g by the plain step", i + 1, p, measured,
						 c->exact[p]);
		}
	}
}

static void
check_range(const Case *c, const float *grads, size_t from, size_t to, const char *what, int layer)
{
	double scale = 0.0;
	double largest = 0.0;

	for (size_t i = from; i < to; i++)
		scale = fmax(scale, fabs(c->exact[i]));
	for (size_t i = 0; i < c->net.nparams; i++)
		largest = fmax(largest, fabs(c->exact[i]));
	/* A sum that cancels to almost zero still has the rounding errors of its terms. */
	scale = fmax(scale, 0.02 * largest);
	for (size_t i = from; i < to; i++)
	{
		if (!(fabs(grads[i] - c->exact[i]) <= FAST_TOLERANCE * scale))
			fail_msg("%s: %s of layer %d, number %zu: %g, should be %g", nn_isa_name(nn_isa()), what, layer + 1,
					 i - from, (double) grads[i], c->exact[i]);
	}
}

/* The fast step against the plain one; twice with the same trainer, because a step must not affect the next. */
static void
check_fast(const Case *c, double exact_loss)
{
	float *grads = allocate(c->net.nvalues * sizeof(float));
	float *again = allocate(c->net.nvalues * sizeof(float));
	void *memory = allocate(nn_trainer_size(&c->net, MAX_BATCH));
	NnTrainer *trainer = nn_trainer_init(memory, &c->net, MAX_BATCH);
	NnLoss loss;

	memset(grads, 0xff, c->net.nvalues * sizeof(float));
	loss = nn_train_step(trainer, c->values, grads, &c->batch);
	assert_true(fabs(loss.loss - exact_loss) < 1e-4 * (1.0 + exact_loss));
	assert_in_range(loss.correct, 0, c->batch.n);
	for (int i = 0; i < c->net.nlayers; i++)
	{
		const NnLayer *layer = &c->net.layers[i];

		if (layer->nweight == 0)
			continue;
		check_range(c, grads, layer->weight, layer->weight + layer->nweight, "weight", i);
		check_range(c, grads, layer->bias, layer->bias + layer->out_c, "bias", i);
		if (layer->kind == NN_BATCHNORM)
		{
			check_range(c, grads, layer->mean, layer->mean + layer->out_c, "mean", i);
			check_range(c, grads, layer->var, layer->var + layer->out_c, "variance", i);
		}
	}
	nn_train_step(trainer, c->values, again, &c->batch);
	assert_memory_equal(grads, again, c->net.nvalues * sizeof(float));
	free(memory);
	free(grads);
	free(again);
}

static void
check_nets_fast(void)
{
	for (int i = 0; i < 2 * NNETS; i++)
	{
		for (int n = 2; n <= MAX_BATCH; n += 7)
		{
			Case c;
			double loss;

			case_init(&c, nets[i / 2], n, i % 2);
			loss = naive_train_step(&c.net, c.exact_values, c.exact, &c.batch);
			for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
			{
				force_isa(isa);
				check_fast(&c, loss);
			}
			case_free(&c);
		}
	}
}

/* If a weight is NaN, the loss must be NaN, even after ReLUs and max pooling. */
static void
test_not_a_number(void **state)
{
	(void) state;
	for (int isa = NN_ISA_PORTABLE; isa <= (int) nn_isa_best(); isa++)
	{
		Case c;
		void *memory;
		float *grads;

		force_isa(isa);
		case_init(&c, "conv 16 3x3, bn, relu, maxpool 2, conv 16 3x3, relu, maxpool 3, dense 10", 4, false);
		memory = allocate(nn_trainer_size(&c.net, 4));
		grads = allocate(c.net.nvalues * sizeof(float));
		c.values[c.net.layers[0].weight] = NAN;
		assert_true(isnan(nn_train_step(nn_trainer_init(memory, &c.net, 4), c.values, grads, &c.batch).loss));
		free(memory);
		free(grads);
		case_free(&c);
	}
}

/*
 * nn_train_statistics gives the statistics of a step with the same dropout, bit for bit.  With keep_all it gives
 * those of the net without its dropout layers.  It does not change the gradients of the parameters.
 */
static void
test_statistics(void **state)
{
	static const char *const with =
		"conv 16 3x3, bn, relu, dropout 0.5, maxpool 4, conv 5 3x3, bn, dense 9, dropout 0.2, bn, dense 10";
	static const char *const without = "conv 16 3x3, bn, relu, maxpool 4, conv 5 3x3, bn, dense 9, bn, dense 10";

	(void) state;
	for (int keep_all = 0; keep_all < 2; keep_all++)
	{
		Case c;
		NnNet plain = parse(without);
		const NnNet *reference;
		void *memory;
		float *grads;
		float *statistics;
		size_t bytes;

		case_init(&c, with, 7, false);
		assert_true(plain.nvalues == c.net.nvalues && plain.nparams == c.net.nparams);
		reference = keep_all ? &plain : &c.net;
		bytes = c.net.nvalues * sizeof(float);
		grads = allocate(bytes);
		statistics = allocate(bytes);
		memory = allocate(nn_trainer_size(&c.net, 7) + nn_trainer_size(&plain, 7));

		nn_train_step(nn_trainer_init(memory, reference, 7), c.values, grads, &c.batch);
		memset(statistics, 0x2a, bytes);
		c.batch.keep_all = keep_all;
		nn_train_statistics(nn_trainer_init(memory, &c.net, 7), c.values, statistics, &c.batch);
		for (size_t i = 0; i < c.net.nparams * sizeof(float); i++)
			assert_int_equal(((const uint8_t *) statistics)[i], 0x2a);
		for (size_t i = c.net.nparams; i < c.net.nvalues; i++)
			if (keep_all ? fabsf(statistics[i] - grads[i]) > 1e-4f * (1.0f + fabsf(grads[i]))
						 : statistics[i] != grads[i])
				fail_msg("statistic %zu: %g, should be %g", i - c.net.nparams, (double) statistics[i],
						 (double) grads[i]);
		free(memory);
		free(grads);
		free(statistics);
		case_free(&c);
	}
}

static void
test_plain_step_against_differences(void **state)
{
	(void) state;
	/* Each net twice: with the batch's statistics and with the running ones. */
	for (int i = 0; i < 2 * NNETS; i++)
	{
		Case c;

		case_init(&c, nets[i / 2], 3, i % 2);
		naive_train_step(&c.net, c.exact_values, c.exact, &c.batch);
		check_differences(&c);
		case_free(&c);
	}
}

static void
test_fast_step_built_in(void **state)
{
	(void) state;
	assert_string_equal(nn_blas_name(), "built-in");
	check_nets_fast();
}

static void
test_fast_step_blas(void **state)
{
	NnError error;

	(void) state;
	if (nn_blas_load(&error) != NN_OK)
	{
		print_message("skipped: %s\n", error.message);
		skip();
	}
	check_nets_fast();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_step_against_differences),
		cmocka_unit_test(test_fast_step_built_in),
		cmocka_unit_test(test_fast_step_blas),
		cmocka_unit_test(test_not_a_number),
		cmocka_unit_test(test_statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
