/*
 * test_sequential.c: sequential tests against the enumeration of all paths, and their levels by simulation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "stat/sequential.h"
#include "util/rng.h"

#define MOST 14

/*
 * The naive twin: the boundaries of all looks, each found by the enumeration of the 2^n paths.  boundary[i]: the
 * hits that reach it after trial i + 1.
 */
static void
naive_boundaries(const SequentialDesign *design, const double *times, int n, int *boundary)
{
	double spent = 0;

	for (int look = 0; look < n; look++)
	{
		double level = design->alpha * pow(times[look], design->power);
		double mass[MOST + 2] = {0};

		for (int path = 0; path < 1 << (look + 1); path++)
		{
			double probability = 1;
			int hits = 0;
			int crossed = 0;

			for (int i = 0; i <= look; i++)
			{
				int hit = path >> i & 1;

				hits += hit;
				probability *= hit ? design->p : 1 - design->p;
				crossed |= i < look && hits >= boundary[i];
			}
			mass[hits] += crossed ? 0 : probability;
		}
		boundary[look] = look + 2;
		while (boundary[look] > 0 && spent + mass[boundary[look] - 1] <= level * (1 + 1e-12))
			spent += mass[--boundary[look]];
	}
}

static void
test_boundaries(void **state)
{
	const SequentialDesign designs[] = {{0.5, 0.0095, 1}, {0.5, 0.05, 3}, {0.2, 0.02, 2}, {0.9, 0.3, 1}};
	Rng rng = rng_start(1);

	(void) state;
	for (int d = 0; d < 4; d++)
	{
		double times[MOST];
		int boundary[MOST] = {0};

		for (int i = 0; i < MOST; i++)
			times[i] = (i + 0.5) / MOST;
		naive_boundaries(&designs[d], times, MOST, boundary);
		for (int repetition = 0; repetition < 300; repetition++)
		{
			double mass[MOST + 2];
			bool hits[MOST];
			bool beyond;
			int count = 0;
			int expected = 0;
			double chance = rng_uniform(&rng);

			for (int i = 0; i < MOST; i++)
			{
				hits[i] = rng_uniform(&rng) < chance;
				count += hits[i];
				if (expected == 0 && count >= boundary[i])
					expected = i + 1;
			}
			assert_int_equal(sequential_test(&designs[d], times, hits, MOST, 0, mass, &beyond), expected);
			assert_int_equal(beyond, count >= boundary[MOST - 1]);
			/* a shorter path has the same crossing, or none yet */
			assert_int_equal(sequential_test(&designs[d], times, hits, MOST / 2, 0, mass, NULL),
							 expected <= MOST / 2 ? expected : 0);
		}
	}
}

/* By hand: nine hits of nine have probability 1/512, ten of ten 1/1024. */
static void
test_end(void **state)
{
	const SequentialDesign design = {0.5, 1.0 / 512, 1};
	const double times[] = {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5};
	const bool hits[] = {true, true, true, true, true, true, true, true, true};
	double mass[11];
	bool beyond;

	(void) state;
	assert_int_equal(sequential_test(&design, times, hits, 9, 0.5, mass, &beyond), 0);
	assert_false(beyond);
	assert_int_equal(sequential_test(&design, times, hits, 9, 1, mass, &beyond), 9);
	assert_true(beyond);
	assert_int_equal(sequential_test(&design, times, hits, 8, 1, mass, NULL), 0);
	assert_int_equal(sequential_test(&design, times, hits, 0, 1, mass, &beyond), 0);
	assert_false(beyond);
}

/* Long tests: the chance of ever crossing is close to the level, never above it. */
static void
test_level(void **state)
{
	static double times[2000];
	static double mass[2002];
	static bool hits[2000];
	const SequentialDesign design = {0.5, 0.2, 1};
	Rng rng = rng_start(2);
	int crossed = 0;

	(void) state;
	for (int i = 0; i < 2000; i++)
		times[i] = (i + 1) / 2000.0;
	for (int repetition = 0; repetition < 1000; repetition++)
	{
		for (int i = 0; i < 2000; i++)
			hits[i] = rng_uniform(&rng) < 0.5f;
		crossed += sequential_test(&design, times, hits, 2000, 1, mass, NULL) > 0;
	}
	/* 200 expected, standard deviation 12.6 */
	assert_in_range(crossed, 150, 250);
}

/* The mean likelihood ratio, by the midpoint rule over 100,000 probabilities. */
static void
test_evidence(void **state)
{
	const int64_t counts[][2] = {{0, 0}, {1, 0}, {0, 7}, {12, 3}, {40, 41}};
	const double ps[] = {0.5, 0.1, 0.93};

	(void) state;
	for (int c = 0; c < 5; c++)
		for (int i = 0; i < 3; i++)
		{
			double k = (double) counts[c][0];
			double m = (double) counts[c][1];
			double sum = 0;

			for (int j = 0; j < 100000; j++)
			{
				double q = (j + 0.5) / 100000;

				sum += exp(k * log(q / ps[i]) + m * log((1 - q) / (1 - ps[i])));
			}
			assert_true(fabs(sequential_evidence(counts[c][0], counts[c][1], ps[i]) - log(sum / 100000)) < 1e-4);
		}
	assert_true(isinf(sequential_evidence(1, 0, 0)) && isinf(sequential_evidence(0, 1, 1)));
	assert_true(isfinite(sequential_evidence(INT64_MAX, INT64_MAX, 0.5)) == true);
}

/*
 * Whoever looks after every trial of 2,000 sees evidence of 20 in at most 5 % of the cases in which there is none: 50
 * of 1,000, with a standard deviation of 7.
 */
static void
test_evidence_level(void **state)
{
	Rng rng = rng_start(4);
	int seen = 0;

	(void) state;
	for (int repetition = 0; repetition < 1000; repetition++)
	{
		int64_t hits = 0;
		bool enough = false;

		for (int i = 1; i <= 2000 && !enough; i++)
		{
			hits += rng_uniform(&rng) < 0.3f;
			enough = sequential_evidence(hits, i - hits, 0.3) >= log(20);
		}
		seen += enough;
	}
	assert_in_range(seen, 1, 60);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boundaries),	   cmocka_unit_test(test_end),
		cmocka_unit_test(test_level),		   cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_evidence_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
