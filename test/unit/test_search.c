/*
 * test_search.c: proposals are better than random search on known functions and keep the interface's promises; the
 * pruner stops bad trials and keeps the best.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"
#include "search/pruner.h"
#include "search/tpe.h"

#define SEEDS 200

static SearchTrial trials[SEARCH_MAX_TRIALS];

/* ---- known functions, to be maximized ---- */

/* A quadratic function with its maximum at learning rate 5e-3, weight decay 1e-1, dropout 0.3. */
static const SearchSpace sphere_space = {
	3, {{SEARCH_LOG, 1e-5, 1, 0}, {SEARCH_LOG, 1e-5, 1, 0}, {SEARCH_LINEAR, 0, 1, 0}}};

static double
sphere(const double *x)
{
	double a = log10(x[0] / 5e-3);
	double b = log10(x[1] / 1e-1);
	double c = x[2] - 0.3;

	return -(a * a + b * b + 4 * c * c);
}

/* Branin's function (Dixon and Szego 1978), which has three minima of 0.398. */
static const SearchSpace branin_space = {2, {{SEARCH_LINEAR, -5, 10, 0}, {SEARCH_LINEAR, 0, 15, 0}}};

static double
branin(const double *x)
{
	double a = x[1] - 5.1 / (4 * M_PI * M_PI) * x[0] * x[0] + 5 / M_PI * x[0] - 6;

	return -(a * a + 10 * (1 - 1 / (8 * M_PI)) * cos(x[0]) + 10);
}

/* Five families, each with its own optimum, over the dimensions of a training search. */
static const SearchSpace families_space = {5,
										   {{SEARCH_CHOICE, 0, 0, 5},
											{SEARCH_LOG, 1e-4, 1e-1, 0},
											{SEARCH_LOG, 32, 512, 5},
											{SEARCH_LINEAR, 0, 0.6, 13},
											{SEARCH_LINEAR, 0, 2, 0}}};

static double
families(const double *x)
{
	static const double worse[] = {0.6, 0.3, 0, 0.2, 0.5};
	static const double rate[] = {1e-2, 3e-3, 2e-2, 1e-3, 1e-2};
	int family = (int) x[0];
	double a = log10(x[1] / rate[family]);
	double b = log2(x[2] / 128);
	double c = x[3] - 0.4;

	return -(worse[family] + 0.5 * a * a + 0.05 * b * b + c * c + 0.3 * fabs(x[4] - 1));
}

/* ---- against random search ---- */

static void
random_point(const SearchSpace *space, Rng *rng, double *x)
{
	for (int d = 0; d < space->ndimensions; d++)
	{
		const SearchDimension *dimension = &space->dimensions[d];
		float u = rng_uniform(rng);

		if (dimension->points > 0)
			x[d] = search_grid_point(dimension, (int) (u * (float) dimension->points));
		else if (dimension->scale == SEARCH_LOG)
			x[d] = dimension->low * pow(dimension->high / dimension->low, u);
		else
			x[d] = dimension->low + u * (dimension->high - dimension->low);
	}
}

static double
best_of_search(const SearchSpace *space, double (*function)(const double *), int ntrials, uint64_t seed)
{
	for (int i = 0; i < ntrials; i++)
	{
		trials[i] = (SearchTrial){.outcome = SEARCH_COMPLETE};
		assert_int_equal(search_propose(space, trials, i, seed, trials[i].x), SEARCH_OK);
		trials[i].value = function(trials[i].x);
	}
	return trials[search_best(trials, ntrials)].value;
}

static double
best_of_random(const SearchSpace *space, double (*function)(const double *), int ntrials, uint64_t seed)
{
	Rng rng = rng_start(rng_key(seed, 99));
	double best = -INFINITY;

	for (int i = 0; i < ntrials; i++)
	{
		double x[SEARCH_MAX_DIMENSIONS];

		random_point(space, &rng, x);
		best = fmax(best, function(x));
	}
	return best;
}

static int
compare_numbers(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *numbers, int n)
{
	qsort(numbers, n, sizeof(double), compare_numbers);
	return n % 2 == 1 ? numbers[n / 2] : (numbers[n / 2 - 1] + numbers[n / 2]) / 2;
}

/*
 * The search is better than random search in so many of nseeds pairs that the probability by chance is below 1/1,000
 * (sign test: mean n/2, standard deviation sqrt(n)/2, 3.09 of them), and its median is better.
 */
static void
check_beats_random(const char *name, const SearchSpace *space, double (*function)(const double *), int ntrials,
				   int nseeds)
{
	double search[SEEDS];
	double chance[SEEDS];
	int wins = 0;
	double search_median;
	double chance_median;

	for (int i = 0; i < nseeds; i++)
	{
		search[i] = best_of_search(space, function, ntrials, (uint64_t) i);
		chance[i] = best_of_random(space, function, ntrials, (uint64_t) i);
		wins += search[i] > chance[i];
	}
	search_median = median(search, nseeds);
	chance_median = median(chance, nseeds);
	print_message("%s, %d trials: search %.4f, random %.4f, better in %d of %d\n", name, ntrials, search_median,
				  chance_median, wins, nseeds);
	assert_true(search_median > chance_median);
	assert_true(wins > nseeds / 2.0 + 3.09 * sqrt(nseeds) / 2);
}

static void
test_beats_random(void **state)
{
	(void) state;
	check_beats_random("sphere", &sphere_space, sphere, 20, SEEDS);
	check_beats_random("Branin", &branin_space, branin, 20, SEEDS);
	check_beats_random("families", &families_space, families, 20, SEEDS);
	check_beats_random("sphere", &sphere_space, sphere, 50, SEEDS / 5);
	check_beats_random("Branin", &branin_space, branin, 50, SEEDS / 5);
	check_beats_random("families", &families_space, families, 50, SEEDS / 2);
}

/* ---- proposals ---- */

/* The same trials and seed give the same point, another seed gives another one; calls in between do not matter. */
static void
test_deterministic(void **state)
{
	double again[SEARCH_MAX_DIMENSIONS];
	double other[SEARCH_MAX_DIMENSIONS];

	(void) state;
	(void) best_of_search(&families_space, families, 30, 7);
	for (int n = 0; n < 30; n++)
	{
		assert_int_equal(search_propose(&families_space, trials, n, 7, again), SEARCH_OK);
		assert_memory_equal(again, trials[n].x, sizeof(double) * families_space.ndimensions);
		assert_int_equal(search_propose(&families_space, trials, n, 8, other), SEARCH_OK);
		assert_memory_not_equal(other, again, sizeof(double) * families_space.ndimensions);
	}
}

static void
test_within_bounds(void **state)
{
	(void) state;
	for (uint64_t seed = 0; seed < 5; seed++)
	{
		(void) best_of_search(&families_space, families, 40, seed);
		for (int i = 0; i < 40; i++)
		{
			const double *x = trials[i].x;

			assert_true(x[0] >= 0 && x[0] <= 4 && x[0] == floor(x[0]));
			assert_true(x[1] >= 1e-4 && x[1] <= 1e-1);
			assert_true(fabs(log2(x[2]) - rint(log2(x[2]))) < 1e-9 && x[2] >= 32 && x[2] <= 512);
			assert_true(fabs(x[3] * 20 - rint(x[3] * 20)) < 1e-9 && x[3] >= 0 && x[3] <= 0.6);
			assert_true(x[4] >= 0 && x[4] <= 2);
		}
	}
}

/* On a grid every point is proposed once, even if trials fail or are equal; then the space is exhausted. */
static void
test_never_twice(void **state)
{
	static const SearchSpace space = {3,
									  {{SEARCH_CHOICE, 0, 0, 3}, {SEARCH_LINEAR, 1, 4, 4}, {SEARCH_LOG, 64, 256, 3}}};
	bool seen[3][4][3] = {0};

	(void) state;
	for (int i = 0; i < 36; i++)
	{
		double *x = trials[i].x;
		bool *place;

		trials[i] = (SearchTrial){.outcome = i % 5 == 0 ? SEARCH_FAILED : SEARCH_COMPLETE, .value = i % 2};
		assert_int_equal(search_propose(&space, trials, i, 3, x), SEARCH_OK);
		place = &seen[(int) x[0]][(int) rint(x[1]) - 1][(int) rint(log2(x[2])) - 6];
		assert_false(*place);
		*place = true;
		x[2] = (double) (float) x[2]; /* rounded as in a stored trial */
	}
	{
		double x[SEARCH_MAX_DIMENSIONS];

		assert_int_equal(search_propose(&space, trials, 36, 3, x), SEARCH_EXHAUSTED);
	}
}

/* Failures are avoided: 30 % of the space diverges, but fewer than 15 % of the proposals. */
static void
test_avoids_failures(void **state)
{
	int failed = 0;

	(void) state;
	for (uint64_t seed = 0; seed < 50; seed++)
		for (int i = 0; i < 30; i++)
		{
			trials[i] = (SearchTrial){.outcome = SEARCH_COMPLETE};
			assert_int_equal(search_propose(&sphere_space, trials, i, seed, trials[i].x), SEARCH_OK);
			trials[i].value = sphere(trials[i].x);
			if (trials[i].x[0] > 3e-2)
				trials[i].outcome = SEARCH_FAILED;
			failed += i >= 10 && trials[i].outcome == SEARCH_FAILED;
		}
	assert_true(failed < 50 * 20 * 3 / 20);
}

static void
test_order(void **state)
{
	SearchTrial good = {.outcome = SEARCH_COMPLETE, .value = 0.9};
	SearchTrial poor = {.outcome = SEARCH_COMPLETE, .value = 0.1};
	SearchTrial late = {.outcome = SEARCH_PRUNED, .nreports = 3, .reports = {0.1, 0.2, 0.3}};
	SearchTrial soon = {.outcome = SEARCH_PRUNED, .nreports = 2, .reports = {0.8, 0.8}};
	SearchTrial failed = {.outcome = SEARCH_FAILED};
	SearchTrial all[] = {failed, poor, good, good, late};

	(void) state;
	assert_true(search_better(&good, &poor) && !search_better(&poor, &good) && !search_better(&good, &good));
	assert_true(search_better(&poor, &late) && search_better(&late, &soon) && search_better(&soon, &failed));
	assert_false(search_better(&failed, &failed));
	assert_int_equal(search_best(all, 5), 2);
	assert_int_equal(search_best(all, 1), -1);
	assert_int_equal(search_best(all, 0), -1);
}

static void
test_invalid(void **state)
{
	static const SearchSpace bad[] = {
		{0, {{0}}},
		{SEARCH_MAX_DIMENSIONS + 1, {{0}}},
		{1, {{SEARCH_LINEAR, 1, 1, 0}}},
		{1, {{SEARCH_LINEAR, 0, NAN, 0}}},
		{1, {{SEARCH_LINEAR, 0, 1, 1}}},
		{1, {{SEARCH_LINEAR, 0, 1, -2}}},
		{1, {{SEARCH_LOG, 0, 1, 0}}},
		{1, {{SEARCH_CHOICE, 0, 0, 0}}},
	};
	double x[SEARCH_MAX_DIMENSIONS];

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(search_propose(&bad[i], trials, 0, 1, x), SEARCH_INVALID);
	assert_int_equal(search_propose(&sphere_space, trials, -1, 1, x), SEARCH_INVALID);
	assert_int_equal(search_propose(&sphere_space, trials, SEARCH_MAX_TRIALS, 1, x), SEARCH_INVALID);
}

/* ---- the pruner ---- */

/* A trial's reports approach its value, with decreasing noise. */
static void
make_report(SearchTrial *trial, int report, double value, Rng *rng)
{
	trial->reports[report] = value * (1 - pow(0.4, report + 1)) + 0.02 * rng_normal(rng) / (report + 1);
	trial->nreports = report + 1;
}

/* Over many studies, most bad trials are pruned, the best one nearly never is, and fewer reports are made. */
static void
test_prunes(void **state)
{
	int kept = 0;
	int bad = 0;
	int bad_pruned = 0;
	int reports = 0;

	(void) state;
	for (uint64_t seed = 0; seed < SEEDS; seed++)
	{
		Rng rng = rng_start(rng_key(seed, 5));
		double best = -1;
		double best_kept = -1;

		for (int i = 0; i < 20; i++)
		{
			double value = rng_uniform(&rng);
			bool pruned = false;

			memset(&trials[i], 0, sizeof(trials[i]));
			for (int r = 0; r < 8 && !pruned; r++)
			{
				make_report(&trials[i], r, value, &rng);
				pruned = r < 7 && search_prune(&trials[i], trials, i);
				reports++;
			}
			trials[i].outcome = pruned ? SEARCH_PRUNED : SEARCH_COMPLETE;
			trials[i].value = value;
			best = fmax(best, value);
			if (!pruned)
				best_kept = fmax(best_kept, value);
			bad += i >= 8 && value < 0.4;
			bad_pruned += i >= 8 && value < 0.4 && pruned;
		}
		kept += best == best_kept;
	}
	print_message("pruner: the best kept in %d of %d studies, %d of %d bad trials pruned, %d of %d reports made\n",
				  kept, SEEDS, bad_pruned, bad, reports, SEEDS * 160);
	assert_true(kept >= SEEDS * 99 / 100);
	assert_true(bad_pruned >= bad * 9 / 10);
	assert_true(reports < SEEDS * 160 * 3 / 4);
}

/* A trial is not pruned at its first report, nor if it is equal, nor without enough trials to compare it with. */
static void
test_prunes_nothing(void **state)
{
	SearchTrial trial = {.nreports = 2, .reports = {0.1, 0.1}};

	(void) state;
	for (int i = 0; i < 10; i++)
		trials[i] = (SearchTrial){.outcome = SEARCH_COMPLETE, .nreports = 4, .reports = {0.5, 0.5, 0.5, 0.5}};
	assert_true(search_prune(&trial, trials, 10));
	assert_false(search_prune(&trial, trials, 3));
	trial.nreports = 1;
	assert_false(search_prune(&trial, trials, 10));
	trial = (SearchTrial){.nreports = 2, .reports = {0.5, 0.4}};
	assert_false(search_prune(&trial, trials, 10));
	trial = (SearchTrial){.nreports = 5, .reports = {0, 0, 0, 0, 0}};
	assert_false(search_prune(&trial, trials, 10)); /* no other trial has five reports */
	for (int i = 0; i < 10; i++)
		trials[i].outcome = i % 2 == 0 ? SEARCH_PRUNED : SEARCH_FAILED;
	trial.nreports = 3;
	assert_false(search_prune(&trial, trials, 10));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beats_random),	cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_within_bounds),	cmocka_unit_test(test_never_twice),
		cmocka_unit_test(test_avoids_failures), cmocka_unit_test(test_order),
		cmocka_unit_test(test_invalid),			cmocka_unit_test(test_prunes),
		cmocka_unit_test(test_prunes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
