/*
 * test_two_sample.c: tests and distances against published values and against plain loops over the samples.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"
#include "stat/two_sample.h"

#define MAX_N 3000
#define MAX_EDGES 1000

static void
assert_near(double is, double should, double tolerance)
{
	if (!(fabs(is - should) <= tolerance))
		fail_msg("%.17g should be %.17g", is, should);
}

static int
compare_floats(const void *a, const void *b)
{
	float x = *(const float *) a;
	float y = *(const float *) b;

	return (x > y) - (x < y);
}

/* Make a sorted sample: normal, of few distinct values, or a mixture. */
static void
make_sample(Rng *rng, int kind, float *values, int n)
{
	for (int i = 0; i < n; i++)
	{
		bool few = kind == 1 || (kind == 2 && i % 2 == 0);

		values[i] = few ? (float) rng_below(rng, 5) : rng_normal(rng);
	}
	qsort(values, (size_t) n, sizeof(float), compare_floats);
}

static void
count(const float *values, int n, const float *edges, int nedges, int64_t *counts)
{
	memset(counts, 0, (size_t) (nedges + 1) * sizeof(int64_t));
	for (int i = 0; i < n; i++)
		counts[two_sample_bin(values[i], edges, nedges)]++;
}

/* ---- bins ---- */

static void
edges_cut_into_even_bins(void **state)
{
	static float values[MAX_N];
	Rng rng = rng_start(1);

	(void) state;
	for (int round = 0; round < 300; round++)
	{
		int n = 1 + (int) rng_below(&rng, MAX_N);
		int bins = 2 + (int) rng_below(&rng, 100);
		int share = n / bins > 1 ? (n + bins - 1) / bins : 2;
		float edges[MAX_EDGES];
		int64_t counts[MAX_EDGES + 1];
		int nedges;

		make_sample(&rng, round % 3, values, n);
		nedges = two_sample_edges(values, n, bins, edges);
		assert_in_range(nedges, 2, 2 * bins + 2);
		for (int i = 1; i < nedges; i++)
			assert_true(edges[i - 1] < edges[i]);
		count(values, n, edges, nedges, counts);
		/* values outside the sample's range have bins of their own */
		assert_int_equal(counts[0], 0);
		assert_int_equal(counts[nedges], 0);
		assert_int_equal(two_sample_bin(nextafterf(values[0], -INFINITY), edges, nedges), 0);
		assert_int_equal(two_sample_bin(nextafterf(values[n - 1], INFINITY), edges, nedges), nedges);
		/* a bin has more than twice its fair part only if all its values are equal */
		for (int i = 1; i < nedges; i++)
			if (counts[i] > 2 * share)
			{
				int first = 0;

				while (two_sample_bin(values[first], edges, nedges) < i)
					first++;
				assert_true(values[first] == values[first + (int) counts[i] - 1]);
			}
	}
	assert_int_equal(two_sample_edges(values, 0, 10, NULL), 0);
}

static void
bins_are_found(void **state)
{
	const float edges[] = {-1, 0, 0.5F, 7};

	(void) state;
	assert_int_equal(two_sample_bin(-2, edges, 4), 0);
	assert_int_equal(two_sample_bin(-1, edges, 4), 1);
	assert_int_equal(two_sample_bin(0.25F, edges, 4), 2);
	assert_int_equal(two_sample_bin(0.5F, edges, 4), 3);
	assert_int_equal(two_sample_bin(7, edges, 4), 4);
	assert_int_equal(two_sample_bin(INFINITY, edges, 4), 4);
	assert_int_equal(two_sample_bin(3, edges, 0), 0);
}

/* ---- Kolmogorov and Smirnov ---- */

/* The fraction of a sample below a value. */
static double
share_below(const float *values, int n, float value)
{
	int below = 0;

	for (int i = 0; i < n; i++)
		below += values[i] < value;
	return (double) below / n;
}

/*
 * The statistic of the bins is the samples' largest difference at an edge.  It is little less than the largest
 * difference at any value, unless the samples have few values.
 */
static void
ks_is_the_largest_difference(void **state)
{
	static float a[MAX_N];
	static float b[MAX_N];
	Rng rng = rng_start(2);

	(void) state;
	for (int round = 0; round < 30; round++)
	{
		int n = 200 + (int) rng_below(&rng, 800);
		int m = 50 + (int) rng_below(&rng, 400);
		float edges[MAX_EDGES];
		int64_t counts_a[MAX_EDGES + 1];
		int64_t counts_b[MAX_EDGES + 1];
		int nedges;
		double at_edges = 0;
		double anywhere = 0;
		double statistic;

		make_sample(&rng, round % 3, a, n);
		make_sample(&rng, round % 3, b, m);
		for (int i = 0; i < m; i++)
			b[i] += (float) (round % 5) * 0.1F;
		nedges = two_sample_edges(a, n, 64, edges);
		count(a, n, edges, nedges, counts_a);
		count(b, m, edges, nedges, counts_b);
		statistic = two_sample_ks(counts_a, counts_b, nedges + 1);
		for (int i = 0; i < nedges; i++)
			at_edges = fmax(at_edges, fabs(share_below(a, n, edges[i]) - share_below(b, m, edges[i])));
		for (int i = 0; i < n; i++)
			anywhere = fmax(anywhere, fabs(share_below(a, n, a[i]) - share_below(b, m, a[i])));
		for (int i = 0; i < m; i++)
			anywhere = fmax(anywhere, fabs(share_below(a, n, b[i]) - share_below(b, m, b[i])));
		assert_near(statistic, at_edges, 1e-12);
		assert_true(statistic <= anywhere + 1e-12);
		assert_true(round % 3 == 1 || statistic >= anywhere - 2.0 / 64 - 0.01);
	}
}

/* Values of Kolmogorov's distribution (Smirnov 1948), with Stephens's correction of the argument. */
static void
ks_probabilities(void **state)
{
	static const double table[][2] = {{0.5, 0.9639452436648751},  {0.8, 0.5441424115741981},
									  {1.0, 0.26999967167735456}, {1.36, 0.04948587675},
									  {1.5, 0.022217962616525},	  {2.0, 0.0006709252557796953}};
	double n = 5000;
	double m = 300;
	double root = sqrt(n * m / (n + m));

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_near(two_sample_ks_p(table[i][0] / (root + 0.12 + 0.11 / root), n, m), table[i][1], 1e-8);
	assert_near(two_sample_ks_p(0, n, m), 1, 0);
	assert_near(two_sample_ks_p(1, n, m), 0, 1e-100);
}

/* Between samples of the same distribution, p-values below 0.05 and 0.01 are no more frequent than that. */
static void
ks_gives_no_false_alarms(void **state)
{
	static float a[1000];
	static float b[100];
	Rng rng = rng_start(3);
	int under_five = 0;
	int under_one = 0;

	(void) state;
	for (int round = 0; round < 2000; round++)
	{
		float edges[MAX_EDGES];
		int64_t counts_a[MAX_EDGES + 1];
		int64_t counts_b[MAX_EDGES + 1];
		int nedges;
		double p;

		make_sample(&rng, 0, a, 1000);
		make_sample(&rng, 0, b, 100);
		nedges = two_sample_edges(a, 1000, 64, edges);
		count(a, 1000, edges, nedges, counts_a);
		count(b, 100, edges, nedges, counts_b);
		p = two_sample_ks_p(two_sample_ks(counts_a, counts_b, nedges + 1), 1000, 100);
		under_five += p < 0.05;
		under_one += p < 0.01;
	}
	/* 100 and 20 are expected: at most three standard deviations more, and not too few */
	assert_in_range(under_five, 30, 130);
	assert_in_range(under_one, 3, 34);
}

/* ---- chi-square ---- */

static void
chi_square_probabilities(void **state)
{
	/* from published tables: probability, degrees of freedom, value */
	static const double table[][3] = {{0.05, 1, 3.841458820694124},	 {0.01, 1, 6.634896601021213},
									  {0.05, 9, 16.918977604620448}, {0.001, 9, 27.877164871256568},
									  {0.95, 9, 3.325112843066815},	 {0.5, 30, 29.33603151661471}};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_near(two_sample_chi_square_p(table[i][2], (int) table[i][1]), table[i][0], 1e-11);
	for (double x = 0.01; x < 60; x *= 1.3)
	{
		double sum = 0;
		double term = 1;

		assert_near(two_sample_chi_square_p(x, 1), erfc(sqrt(x / 2)), 1e-12);
		/* with an even number of degrees it is a tail of Poisson's distribution */
		for (int k = 0; k < 5; k++)
		{
			sum += term;
			term *= x / 2 / (k + 1);
		}
		assert_near(two_sample_chi_square_p(x, 10), exp(-x / 2) * sum, 1e-12);
	}
	assert_near(two_sample_chi_square_p(0, 3), 1, 0);
	assert_near(two_sample_chi_square_p(5, 0), 1, 0);
}

static void
chi_square_of_tables(void **state)
{
	const int64_t a[] = {30, 70};
	const int64_t b[] = {45, 55};
	/* the second, third and last are too rare, so they are joined with others */
	const int64_t c[] = {500, 10, 10, 480, 3};
	const int64_t d[] = {50, 2, 2, 46, 0};
	const int64_t joined_c[] = {500, 20, 483};
	const int64_t joined_d[] = {50, 4, 46};
	const int64_t none[] = {0, 0};
	int freedom;
	int joined_freedom;

	(void) state;
	assert_near(two_sample_chi_square(a, b, 2, &freedom), 4.8, 1e-12);
	assert_int_equal(freedom, 1);
	/* the second and third joined still have only 24 * 100 / 1103 = 2.2 expected in d, so they join the next */
	assert_near(two_sample_chi_square(c, d, 5, &freedom),
				two_sample_chi_square(joined_c, joined_d, 3, &joined_freedom), 1e-12);
	assert_int_equal(freedom, 1);
	assert_int_equal(joined_freedom, 1);
	assert_near(two_sample_chi_square(a, none, 2, &freedom), 0, 0);
	assert_int_equal(freedom, 0);
}

/* ---- Fisher ---- */

static double
choose(int n, int k)
{
	double product = 1;

	for (int i = 1; i <= k; i++)
		product *= (double) (n - k + i) / i;
	return product;
}

static void
fisher_adds_up_tables(void **state)
{
	const int64_t tea[2][2] = {{3, 1}, {1, 3}};
	const int64_t known[2][2] = {{8, 2}, {1, 5}};
	const int64_t never[] = {5000, 0};
	const int64_t once[] = {99, 1};
	const int64_t always[] = {0, 100};

	(void) state;
	assert_near(two_sample_fisher_p(tea[0], tea[1]), 34.0 / 70, 1e-12);
	assert_near(two_sample_fisher_p(known[0], known[1]), 0.03496503496503495, 1e-12);
	assert_near(two_sample_fisher_p(never, once), 100.0 / 5100, 1e-12);
	assert_near(two_sample_fisher_p(never, never), 1, 1e-9);
	assert_true(two_sample_fisher_p(never, always) < 1e-100);
	for (int n = 1; n <= 12; n++)
		for (int m = 1; m <= 9; m++)
			for (int x = 0; x <= n; x++)
				for (int y = 0; y <= m; y++)
				{
					const int64_t a[] = {n - x, x};
					const int64_t b[] = {m - y, y};
					double all = choose(n + m, x + y);
					double this = choose(n, x) * choose(m, y);
					double sum = 0;

					for (int k = 0; k <= n && k <= x + y; k++)
						if (x + y - k <= m && choose(n, k) * choose(m, x + y - k) <= this * (1 + 1e-7))
							sum += choose(n, k) * choose(m, x + y - k) / all;
					assert_near(two_sample_fisher_p(a, b), sum, 1e-9);
				}
}

/*
 * Fisher's test for numbers whose binomials cannot be computed: with the given margins, the sum in long double over
 * the tables within 45 standard deviations on both sides of the likeliest.
 */
static double
exact_fisher(int64_t all, int64_t row, int64_t column, int64_t both)
{
	long double other = (long double) all - row - column;
	int64_t mode = (int64_t) ((row + 1.0L) * (column + 1.0L) / (all + 2.0L));
	long double limit = 0;
	long double sum;
	long double tail;

	for (int pass = 0; pass < 2; pass++)
	{
		long double up = 1;
		long double down = 1;

		sum = 1;
		tail = pass == 1 && limit >= 1 ? 1 : 0;
		if (both == mode)
			limit = 1 + 1e-7L;
		for (int64_t i = 0; i < 450000; i++)
		{
			int64_t k = mode + i;

			up *= (long double) (row - k) * (column - k) / ((k + 1.0L) * (other + k + 1));
			k = mode - i;
			down *= k * (other + k) / ((row - k + 1.0L) * (column - k + 1.0L));
			if (pass == 0 && both == mode + i + 1)
				limit = up * (1 + 1e-7L);
			if (pass == 0 && both == mode - i - 1)
				limit = down * (1 + 1e-7L);
			sum += up + down;
			tail += (up <= limit ? up : 0) + (down <= limit ? down : 0);
		}
	}
	return (double) (tail / sum);
}

/* Just below and just above the largest variance for which the test is exact; margins from even to rare. */
static void
fisher_where_exactness_ends(void **state)
{
	static const struct
	{
		int64_t all, row, column;
		bool exact;
	} margins[] = {
		{1590000000, 795000000, 795000000, true},
		{1610000000, 805000000, 805000000, false},
		{INT64_C(10000000000000), INT64_C(31500000000), INT64_C(31500000000), true},
		{INT64_C(10000000000000), INT64_C(31800000000), INT64_C(31800000000), false},
		{INT64_C(4000000000000000000), INT64_C(1000000000000000000), 540000000, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(margins) / sizeof(margins[0]); i++)
	{
		double mean = (double) margins[i].row * ((double) margins[i].column / (double) margins[i].all);
		double deviation = sqrt(mean * (1 - (double) margins[i].row / (double) margins[i].all) *
								(1 - (double) margins[i].column / (double) margins[i].all));

		for (double z = -6; z <= 6; z += 1.5)
		{
			int64_t both = (int64_t) (mean + z * deviation);
			const int64_t b[] = {margins[i].row - both, both};
			const int64_t a[] = {margins[i].all - margins[i].row - (margins[i].column - both),
								 margins[i].column - both};
			double exact = exact_fisher(margins[i].all, margins[i].row, margins[i].column, both);
			double tolerance = margins[i].exact ? 1e-8 : exact > 0.01 ? 1e-3 : 1e-2;

			assert_near(two_sample_fisher_p(a, b), exact, tolerance * exact);
			assert_near(two_sample_fisher_p(b, a), exact, tolerance * exact);
		}
	}
}

/* Any counts give an answer at once: 10,000 tables, of which a single one would take a night term by term. */
static void
counts_of_any_size(void **state)
{
	static const int64_t counts[] = {
		0,		  1, 2, 1000, INT32_MAX, INT64_C(1) << 31, INT64_C(1) << 53, (INT64_C(1) << 53) + 1, INT64_MAX - 1,
		INT64_MAX};
	const int n = (int) (sizeof(counts) / sizeof(counts[0]));

	(void) state;
	for (int i = 0; i < n * n * n * n; i++)
	{
		const int64_t a[] = {counts[i % n], counts[i / n % n]};
		const int64_t b[] = {counts[i / n / n % n], counts[i / n / n / n]};
		int freedom;
		double statistic = two_sample_ks(a, b, 2);
		double fisher = two_sample_fisher_p(a, b);
		double ks = two_sample_ks_p(statistic, (double) a[0] + (double) a[1] + 1, (double) b[0] + (double) b[1] + 1);
		double chi = two_sample_chi_square_p(two_sample_chi_square(a, b, 2, &freedom), freedom);

		assert_true(fisher >= 0 && fisher <= 1);
		assert_true(ks >= 0 && ks <= 1);
		assert_true(chi >= 0 && chi <= 1);
		assert_true(isfinite(two_sample_psi(a, b, 2, 0)) && isfinite(two_sample_psi(a, b, 2, 10)));
		assert_true(fabs(two_sample_delta(a, b, 2)) <= 1 + 1e-9);
	}
	assert_near(two_sample_fisher_p((const int64_t[]){INT64_MAX, 1}, (const int64_t[]){INT64_MAX, 2}), 1, 1e-12);
	assert_near(two_sample_fisher_p((const int64_t[]){INT64_MAX, 0}, (const int64_t[]){INT64_MAX, 5}), 0.0625, 1e-12);
}

/* ---- distances ---- */

static void
psi_of_shares(void **state)
{
	const int64_t a[] = {5000, 5000};
	const int64_t b[] = {2500, 7500};
	const int64_t twenty[] = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
	const int64_t right[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10};
	const int64_t halves_a[] = {50, 50};
	const int64_t halves_b[] = {0, 100};
	/* all of the reference in one bin, all of the sample above it */
	const int64_t one[] = {0, 100, 0};
	const int64_t above[] = {0, 0, 100};

	(void) state;
	assert_near(two_sample_psi(a, b, 2, 0), -0.25 * log(0.5) + 0.25 * log(1.5), 1e-4);
	assert_near(two_sample_psi(a, a, 2, 0), 0, 0);
	/* twenty bins in two groups of ten */
	assert_near(two_sample_psi(twenty, right, 20, 2), two_sample_psi(halves_a, halves_b, 2, 0), 1e-12);
	assert_true(two_sample_psi(one, above, 3, 10) > 5);
	assert_true(two_sample_psi(one, one, 3, 10) == 0);
}

static void
delta_compares_pairs(void **state)
{
	const int64_t a[] = {3, 0, 2, 4};
	const int64_t b[] = {1, 5, 0, 2};
	int sum = 0;

	(void) state;
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++)
			sum += (int) (a[i] * b[j]) * ((j > i) - (j < i));
	assert_near(two_sample_delta(a, b, 4), sum / (9.0 * 8.0), 1e-12);
	assert_near(two_sample_delta(a, a, 4), 0, 1e-12);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges_cut_into_even_bins),
		cmocka_unit_test(bins_are_found),
		cmocka_unit_test(ks_is_the_largest_difference),
		cmocka_unit_test(ks_probabilities),
		cmocka_unit_test(ks_gives_no_false_alarms),
		cmocka_unit_test(chi_square_probabilities),
		cmocka_unit_test(chi_square_of_tables),
		cmocka_unit_test(fisher_adds_up_tables),
		cmocka_unit_test(fisher_where_exactness_ends),
		cmocka_unit_test(counts_of_any_size),
		cmocka_unit_test(psi_of_shares),
		cmocka_unit_test(delta_compares_pairs),
	};

	return cmocka_run_group_tests_name("two_sample", tests, NULL, NULL);
}
