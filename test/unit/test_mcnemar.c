/*
 * test_mcnemar.c: McNemar's exact test against sums of the binomial distribution and against known values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "stat/mcnemar.h"

/* The definition, with binomials from Pascal's triangle, which doubles hold exactly for n up to 60. */
static double
naive(int a, int b)
{
	double ways[61] = {1.0};
	double sum = 0.0;
	int n = a + b;

	for (int row = 1; row <= n; row++)
		for (int i = row; i > 0; i--)
			ways[i] += ways[i - 1];
	for (int i = 0; i <= (a < b ? a : b); i++)
		sum += ways[i];
	return fmin(1.0, 2.0 * sum / pow(2.0, n));
}

static void
test_definition(void **state)
{
	(void) state;
	for (int a = 0; a <= 30; a++)
		for (int b = 0; b <= 30; b++)
		{
			double expected = naive(a, b);

			assert_true(fabs(mcnemar_p(a, b) - expected) <= 1e-12 * expected);
			assert_true(mcnemar_p(a, b) == mcnemar_p(b, a));
		}
}

static void
test_known_values(void **state)
{
	(void) state;
	assert_true(mcnemar_p(0, 0) == 1.0);
	assert_true(mcnemar_p(7, 7) == 1.0);
	assert_true(fabs(mcnemar_p(0, 6) - 0.03125) < 1e-14);
	/* R: binom.test(1, 10), binom.test(2, 10) */
	assert_true(fabs(mcnemar_p(1, 9) - 0.021484375) < 1e-14);
	assert_true(fabs(mcnemar_p(8, 2) - 0.109375) < 1e-14);
}

/* Large numbers: close to the normal distribution, greater than 0, and at most 1. */
static void
test_large(void **state)
{
	double p = mcnemar_p(500000, 501000);

	(void) state;
	/* continuity-corrected: z = (1000 - 1) / sqrt(1001000) */
	assert_true(fabs(p - erfc(999.0 / sqrt(1001000.0) / sqrt(2.0))) < 1e-5);
	assert_true(mcnemar_p(0, 1000) > 0.0 && mcnemar_p(0, 1000) < 1e-300);
	assert_true(mcnemar_p(1000000, 1000001) <= 1.0 && mcnemar_p(1000000, 1000001) > 0.999);
}

/* The two-sided p-value in long double, by a sum over 250,000 terms on each side of the likeliest outcome. */
static double
exact(int64_t n, int64_t k)
{
	long double half = 1.0L;
	long double sum = 1.0L;
	long double tail = 0.0L;

	for (int64_t i = n / 2; i > 0 && i > n / 2 - 250000; i--)
	{
		half *= (long double) i / (long double) (n - i + 1);
		sum += 2.0L * half;
		if (i - 1 <= k)
			tail += half;
	}
	return (double) (2.0L * tail / sum);
}

/* Just below and just above the largest number for which the test is exact. */
static void
test_where_exactness_ends(void **state)
{
	(void) state;
	for (int64_t n = 100000000 - 2; n <= 100000000 + 2; n += 4)
		for (double z = 0.1; z <= 6.0; z += 0.7)
		{
			int64_t k = n / 2 - (int64_t) (z * sqrt((double) n / 4.0));
			double expected = exact(n, k);
			double tolerance = n <= 100000000 ? 1e-6 : 1e-5;

			if (!(fabs(mcnemar_p(k, n - k) - expected) <= tolerance * expected))
				fail_msg("n %lld, z %g: %.17g should be %.17g", (long long) n, z, mcnemar_p(k, n - k), expected);
		}
}

/* Any numbers give a probability, at once. */
static void
test_extremes(void **state)
{
	const int64_t counts[] = {0, 1, INT32_MAX, INT64_C(1) << 53, (INT64_C(1) << 53) + 1, INT64_MAX - 1, INT64_MAX};
	const int n = (int) (sizeof(counts) / sizeof(counts[0]));

	(void) state;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
		{
			double p = mcnemar_p(counts[i], counts[j]);

			assert_true(p >= 0.0 && p <= 1.0);
			assert_true(p == mcnemar_p(counts[j], counts[i]));
		}
	/* a difference of one is no evidence among 2^64; all on one side is overwhelming */
	assert_true(mcnemar_p(INT64_MAX, INT64_MAX - 1) == 1.0);
	assert_true(mcnemar_p(0, INT64_MAX) == 0.0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definition), cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_large),	   cmocka_unit_test(test_where_exactness_ends),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
