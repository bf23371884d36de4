/*
 * test_occlusion.c: attributions against a plain computation of their definition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "network_fixture.h"
#include "nn/infer/forward.h"
#include "nn/infer/occlusion.h"
#include "nn/infer/plan.h"
#include "nn/nn.h"
#include "util/rng.h"

#define TOLERANCE 1e-3 /* of log odds that are sums of some hundred differences of floats */

typedef struct Reader
{
	NnPlan *plan;
	void *scratch;
} Reader;

static Reader
make_reader(const char *architecture)
{
	NnNet net = parse(architecture);
	float *values = allocate(net.nvalues * sizeof(float));
	Reader reader;

	nn_net_init(&net, values, 3);
	reader.plan = make_plan(&net, values);
	reader.scratch = allocate(nn_scratch_size(reader.plan, 1));
	free(values);
	return reader;
}

static void
free_reader(Reader *reader)
{
	free(reader->plan);
	free(reader->scratch);
}

static void
read_one(const Reader *reader, const uint8_t *pixels, float *probabilities)
{
	nn_forward(reader->plan, pixels, 1, probabilities, reader->scratch);
}

static double
log_odds(const Reader *reader, const uint8_t *pixels, int label)
{
	float p[NN_CLASSES];
	double others = 0;

	read_one(reader, pixels, p);
	for (int i = 0; i < NN_CLASSES; i++)
		others += i == label ? 0 : p[i];
	return log(p[label]) - log(others);
}

/* Compute an explanation to its end; the caller frees the memory. */
static const float *
explain(const Reader *reader, const uint8_t *pixels, int label, void **memory)
{
	NnOcclusion *o;

	*memory = allocate(nn_occlusion_size(reader->plan));
	o = nn_occlusion_init(*memory, reader->plan, pixels, label);
	while (nn_occlusion_step(o))
		;
	assert_false(nn_occlusion_step(o));
	return nn_occlusion_result(o);
}

/* The definition: all squares of 1, 2 and 3 pixels a side that contain the pixel, one by one. */
static double
expected_of(const Reader *reader, const uint8_t *pixels, int label, int x, int y)
{
	double whole = log_odds(reader, pixels, label);
	double mean_of_sides = 0;

	for (int side = 1; side <= 3; side++)
	{
		double mean = 0;

		for (int top = y - side + 1; top <= y; top++)
		{
			for (int left = x - side + 1; left <= x; left++)
			{
				uint8_t erased[NN_PIXELS];
				double ink = 0;

				memcpy(erased, pixels, sizeof(erased));
				for (int v = 0; v < NN_SIDE; v++)
				{
					for (int u = 0; u < NN_SIDE; u++)
					{
						if (u < left || u >= left + side || v < top || v >= top + side)
							continue;
						ink += pixels[v * NN_SIDE + u];
						erased[v * NN_SIDE + u] = 0;
					}
				}
				mean += (whole - log_odds(reader, erased, label)) * pixels[y * NN_SIDE + x] / ink;
			}
		}
		mean_of_sides += mean / (side * side) / 3;
	}
	return mean_of_sides;
}

/* Random pixels and the four corners, where squares reach over the edge. */
static void
make_image(uint8_t *pixels)
{
	Rng rng = rng_start(8);

	memset(pixels, 0, NN_PIXELS);
	for (int i = 0; i < 60; i++)
		pixels[rng_below(&rng, NN_PIXELS)] = (uint8_t) (1 + rng_below(&rng, 255));
	pixels[0] = pixels[NN_SIDE - 1] = 200;
	pixels[NN_PIXELS - NN_SIDE] = pixels[NN_PIXELS - 1] = 100;
}

static void
agrees(void **state)
{
	static const char *const architectures[] = {"softmax", "lenet5"};
	uint8_t pixels[NN_PIXELS];

	(void) state;
	make_image(pixels);
	for (int a = 0; a < 2; a++)
	{
		Reader reader = make_reader(architectures[a]);
		void *memory;
		const float *attribution = explain(&reader, pixels, 4, &memory);

		for (int i = 0; i < NN_PIXELS; i++)
		{
			if (pixels[i] == 0)
				assert_true(attribution[i] == 0.0f);
			else
				assert_true(fabs(attribution[i] - expected_of(&reader, pixels, 4, i % NN_SIDE, i / NN_SIDE)) <
							TOLERANCE);
		}
		assert_true(attribution[0] != 0.0f && attribution[NN_PIXELS - 1] != 0.0f);
		free(memory);
		free_reader(&reader);
	}
}

/* Label -1 stands for the predicted digit. */
static void
finds_the_label(void **state)
{
	Reader reader = make_reader("softmax");
	uint8_t pixels[NN_PIXELS];
	float p[NN_CLASSES];
	int label = 0;
	void *memory[2];

	(void) state;
	make_image(pixels);
	read_one(&reader, pixels, p);
	for (int i = 1; i < NN_CLASSES; i++)
		label = p[i] > p[label] ? i : label;
	assert_memory_equal(explain(&reader, pixels, -1, &memory[0]), explain(&reader, pixels, label, &memory[1]),
						NN_PIXELS * sizeof(float));
	free(memory[0]);
	free(memory[1]);
	free_reader(&reader);
}

/* An image without ink. */
static void
blank(void **state)
{
	Reader reader = make_reader("softmax");
	const uint8_t pixels[NN_PIXELS] = {0};
	void *memory;
	const float *attribution = explain(&reader, pixels, 2, &memory);

	(void) state;
	for (int i = 0; i < NN_PIXELS; i++)
		assert_true(attribution[i] == 0.0f);
	free(memory);
	free_reader(&reader);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees),
		cmocka_unit_test(finds_the_label),
		cmocka_unit_test(blank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
