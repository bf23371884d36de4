/*
 * two_sample.c: tests and distances between two histograms.
 */
#include "stat/two_sample.h"

#include <math.h>
#include <stdbool.h>

#define EXPECTED_MIN 5.0   /* expected count in a bin of the smaller sample, for chi-square to be valid */
#define KS_TERMS 100	   /* of a series whose terms fall like exp(-k * k) */
#define SERIES_TERMS 10000 /* of the incomplete gamma function; it converges in about sqrt(freedom) */
#define PRECISION 1e-15
#define TIE_TOLERANCE 1e-7 /* relative difference up to which likelihoods of tables count as equal */
#define LEAST 1e-300	   /* smaller likelihoods are ignored: denormal numbers, soon below this, are slow */
#define EXACT_VARIANCE 1e8 /* of a cell: up to this, Fisher's test is exact, which takes some milliseconds */

/* ---- bins ---- */

/* The index after the run of values equal to values[i]. */
static int
end_of_run(const float *values, int n, int i)
{
	int end = i + 1;

	while (end < n && values[end] == values[i])
		end++;
	return end;
}

int
two_sample_edges(const float *values, int n, int bins, float *edges)
{
	int size = n / bins > 1 ? (n + bins - 1) / bins : 2;
	int nedges = 0;
	bool closed = false; /* the end of the bin before has been written as an edge */
	int i = 0;

	while (i < n)
	{
		int end = end_of_run(values, n, i);
		bool alone = end - i >= size;

		if (!closed)
			edges[nedges++] = values[i];
		while (!alone && end < n && end - i < size)
		{
			int next = end_of_run(values, n, end);

			/* the next value gets a bin of its own */
			if (next - end >= size)
				break;
			end = next;
		}
		closed = alone || end == n;
		if (closed)
			edges[nedges++] = nextafterf(values[end - 1], INFINITY);
		i = end;
	}
	return nedges;
}

int
two_sample_bin(float value, const float *edges, int nedges)
{
	int low = 0;
	int high = nedges;

	while (low < high)
	{
		int middle = (low + high) / 2;

		if (value >= edges[middle])
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

double
two_sample_total(const int64_t *counts, int bins)
{
	double sum = 0;

	for (int i = 0; i < bins; i++)
		sum += (double) counts[i];
	return sum;
}

/* ---- Kolmogorov and Smirnov ---- */

double
two_sample_ks(const int64_t *a, const int64_t *b, int bins)
{
	double n = two_sample_total(a, bins);
	double m = two_sample_total(b, bins);
	double below_a = 0;
	double below_b = 0;
	double most = 0;

	if (n == 0 || m == 0)
		return 0;
	for (int i = 0; i < bins; i++)
	{
		below_a += (double) a[i];
		below_b += (double) b[i];
		most = fmax(most, fabs(below_a / n - below_b / m));
	}
	return most;
}

double
two_sample_ks_p(double statistic, double n, double m)
{
	double root = sqrt(n * m / (n + m));
	double lambda = (root + 0.12 + 0.11 / root) * statistic;
	double sum = 0;

	/* below this, p is 1, and the series converges slowly */
	if (lambda < 0.2)
		return 1;
	for (int k = 1; k <= KS_TERMS; k++)
	{
		double term = exp(-2.0 * k * k * lambda * lambda);

		sum += k % 2 == 1 ? term : -term;
		if (term < PRECISION * sum)
			break;
	}
	return fmin(1, fmax(0, 2 * sum));
}

/* ---- chi-square ---- */

double
two_sample_chi_square(const int64_t *a, const int64_t *b, int bins, int *freedom)
{
	double n = two_sample_total(a, bins);
	double m = two_sample_total(b, bins);
	double left = n + m;
	double group_a = 0;
	double group_b = 0;
	double statistic = 0;
	int groups = 0;

	*freedom = 0;
	if (n == 0 || m == 0)
		return 0;
	for (int i = 0; i < bins; i++)
	{
		double scale = fmin(n, m) / (n + m);
		double difference;

		group_a += (double) a[i];
		group_b += (double) b[i];
		/* close the group only if it and all the bins after it are large enough, so that no small rest is left */
		if ((group_a + group_b) * scale < EXPECTED_MIN)
			continue;
		if (left - group_a - group_b > 0 && (left - group_a - group_b) * scale < EXPECTED_MIN)
			continue;
		left -= group_a + group_b;
		difference = sqrt(m / n) * group_a - sqrt(n / m) * group_b;
		statistic += difference * difference / (group_a + group_b);
		groups++;
		group_a = group_b = 0;
	}
	*freedom = groups > 1 ? groups - 1 : 0;
	return *freedom > 0 ? statistic : 0;
}

/* The regularized incomplete gamma function P(a, x) by its series, for x below a + 1. */
static double
gamma_series(double a, double x)
{
	double term = 1 / a;
	double sum = term;

	for (int k = 1; k <= SERIES_TERMS && term > PRECISION * sum; k++)
	{
		term *= x / (a + k);
		sum += term;
	}
	return sum * exp(a * log(x) - x - lgamma(a));
}

/* Q(a, x) = 1 - P(a, x) by its continued fraction (Lentz), for x from a + 1 on. */
static double
gamma_fraction(double a, double x)
{
	const double tiny = 1e-300;
	double b = x + 1 - a;
	double c = 1 / tiny;
	double d = 1 / b;
	double fraction = d;

	for (int k = 1; k <= SERIES_TERMS; k++)
	{
		double numerator = -k * (k - a);
		double factor;

		b += 2;
		d = numerator * d + b;
		d = 1 / (fabs(d) < tiny ? tiny : d);
		c = b + numerator / c;
		c = fabs(c) < tiny ? tiny : c;
		factor = c * d;
		fraction *= factor;
		if (fabs(factor - 1) < PRECISION)
			break;
	}
	return fraction * exp(a * log(x) - x - lgamma(a));
}

double
two_sample_chi_square_p(double statistic, int freedom)
{
	double a = freedom / 2.0;
	double x = statistic / 2;

	if (freedom <= 0 || !(x > 0))
		return 1;
	return fmin(1, fmax(0, x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x)));
}

/* ---- Fisher ---- */

/*
 * A table of two rows and two columns, given by the margins of one row and one column: of "all" observations, "row"
 * are in the row, "column" are in the column, and "both" are in both.  Neither margin is more than half of all.
 */
typedef struct Table
{
	double all;
	double row;
	double column;
	double both;
} Table;

/* Rows and columns are exchanged as needed; this does not change the probabilities. */
static Table
make_table(const int64_t a[2], const int64_t b[2])
{
	double n = (double) a[0] + (double) a[1];
	double m = (double) b[0] + (double) b[1];
	bool other_row = m > n;
	const int64_t *row = other_row ? a : b;
	bool other_kind = (double) a[1] + (double) b[1] > (double) a[0] + (double) b[0];
	int kind = other_kind ? 0 : 1;

	return (Table){n + m, fmin(n, m), (double) a[kind] + (double) b[kind], (double) row[kind]};
}

/* The likelihood of a table with k + 1, or k - 1, in "both", divided by that of a table with k. */
static double
likelihood_up(const Table *t, double k)
{
	return (t->row - k) * (t->column - k) / ((k + 1) * (t->all - t->row - t->column + k + 1));
}

static double
likelihood_down(const Table *t, double k)
{
	return k * (t->all - t->row - t->column + k) / ((t->row - k + 1) * (t->column - k + 1));
}

/* Sums of the likelihoods of tables. */
typedef struct Sums
{
	double all;
	double tail;  /* of tables that are no more likely than the observed one */
	double limit; /* the likelihood of the observed one */
} Sums;

/* Add a table; false if it and less likely tables are too small to change the tail. */
static bool
add_table(Sums *sums, double likelihood)
{
	sums->all += likelihood;
	if (likelihood > sums->limit)
		return true;
	sums->tail += likelihood;
	return likelihood > PRECISION * sums->tail;
}

/*
 * The exact sum.  Likelihoods are relative to that of the likeliest table.  On both sides of it they fall about like
 * a normal density: they are below LEAST after some 37 standard deviations, or some hundred tables where the
 * deviation is small.  This bounds the loops.  Tables that are less likely than LEAST count as impossible.
 */
static double
fisher_exact(const Table *t)
{
	double mode = floor((t->row + 1) * (t->column + 1) / (t->all + 2));
	double likelihood = 1;
	Sums sums = {0, 0, 0};
	double k;

	for (k = mode; k < t->both && likelihood > LEAST; k++)
		likelihood *= likelihood_up(t, k);
	for (; k > t->both && likelihood > LEAST; k--)
		likelihood *= likelihood_down(t, k);
	if (likelihood <= LEAST)
		return 0;
	sums.limit = likelihood * (1 + TIE_TOLERANCE);

	likelihood = 1;
	for (k = mode; likelihood > LEAST && add_table(&sums, likelihood); k++)
		likelihood *= likelihood_up(t, k);
	likelihood = likelihood_down(t, mode);
	for (k = mode - 1; likelihood > LEAST && add_table(&sums, likelihood); k--)
		likelihood *= likelihood_down(t, k);
	return fmin(1, sums.tail / sums.all);
}

double
two_sample_fisher_p(const int64_t a[2], const int64_t b[2])
{
	Table t = make_table(a, b);
	double mean = t.row * (t.column / t.all);
	double variance = mean * ((t.all - t.row) / t.all) * ((t.all - t.column) / (t.all - 1));

	if (t.row == 0 || t.column == 0)
		return 1;
	if (variance <= EXACT_VARIANCE)
		return fisher_exact(&t);
	return erfc(fmax(0, fabs(t.both - mean) - 0.5) / sqrt(2 * variance));
}

/* ---- distances ---- */

double
two_sample_psi(const int64_t *a, const int64_t *b, int bins, int groups)
{
	double n = two_sample_total(a, bins);
	double m = two_sample_total(b, bins);
	double psi = 0;
	int ngroups = 0;

	if (n == 0 || m == 0)
		return 0;
	/* two passes: the fractions in the second one depend on the number of groups, which the first one counts */
	for (int pass = 0; pass < 2; pass++)
	{
		double half = 0.5 * ngroups;
		double below = 0;
		double group_a = 0;
		double group_b = 0;
		double next = groups > 0 ? n / groups : 0;

		ngroups = 0;
		for (int i = 0; i < bins; i++)
		{
			double fraction_a;
			double fraction_b;

			group_a += (double) a[i];
			group_b += (double) b[i];
			below += (double) a[i];
			if (below < next && i < bins - 1)
				continue;
			if (groups > 0)
				next = n / groups * (floor(below * groups / n) + 1);
			ngroups++;
			fraction_a = (group_a + 0.5) / (n + half);
			fraction_b = (group_b + 0.5) / (m + half);
			if (pass == 1)
				psi += (fraction_b - fraction_a) * log(fraction_b / fraction_a);
			group_a = group_b = 0;
		}
	}
	return psi;
}

double
two_sample_delta(const int64_t *a, const int64_t *b, int bins)
{
	double n = two_sample_total(a, bins);
	double m = two_sample_total(b, bins);
	double below_a = 0;
	double sum = 0;

	if (n == 0 || m == 0)
		return 0;
	for (int i = 0; i < bins; i++)
	{
		double above_a = n - below_a - (double) a[i];

		sum += (double) b[i] * (below_a - above_a);
		below_a += (double) a[i];
	}
	return sum / (n * m);
}
