/*
 * two_sample.c: tests and distances between two histograms.
 */
#include "two_sample.h"

#include <math.h>
#include <stdbool.h>

#define EXPECTED_MIN 5.0   /* in a bin of the smaller sample, for chi-square to hold */
#define KS_TERMS 100	   /* of a series whose terms fall like exp(-k * k) */
#define SERIES_TERMS 10000 /* of the incomplete gamma function; it converges in about sqrt(freedom) */
#define PRECISION 1e-15
#define TIE_TOLERANCE 1e-7 /* tables this much more likely than another count as no more likely */

/* ---- bins ---- */

/* One past the last of the values equal to that at i. */
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
	int share = n / bins > 1 ? (n + bins - 1) / bins : 2;
	int nedges = 0;
	bool closed = false; /* the bin before ends with an edge of its own */
	int i = 0;

	while (i < n)
	{
		int end = end_of_run(values, n, i);
		bool alone = end - i >= share;

		if (!closed)
			edges[nedges++] = values[i];
		while (!alone && end < n && end - i < share)
		{
			int next = end_of_run(values, n, end);

			/* a value with a bin of its own */
			if (next - end >= share)
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

static double
total(const int64_t *counts, int bins)
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
	double n = total(a, bins);
	double m = total(b, bins);
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

	/* below, the series converges slowly, to 1 */
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
	double n = total(a, bins);
	double m = total(b, bins);
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
		/* enough here, and enough in all that follows, lest a remainder be left over */
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

/* ln of n over k. */
static double
log_choose(double n, double k)
{
	return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

double
two_sample_fisher_p(const int64_t a[2], const int64_t b[2])
{
	double n = (double) a[0] + (double) a[1];
	double m = (double) b[0] + (double) b[1];
	double kind = (double) a[1] + (double) b[1];
	double all = log_choose(n + m, kind);
	double limit = log_choose(n, (double) a[1]) + log_choose(m, (double) b[1]) - all + TIE_TOLERANCE;
	double first = fmax(0, kind - n); /* of the kind in b */
	double last = fmin(kind, m);
	double p = log_choose(m, first) + log_choose(n, kind - first) - all;
	double sum = 0;

	for (double k = first; k <= last; k++)
	{
		if (p <= limit)
			sum += exp(p);
		p += log((m - k) * (kind - k) / ((k + 1) * (n - kind + k + 1)));
	}
	return fmin(1, sum);
}

/* ---- distances ---- */

double
two_sample_psi(const int64_t *a, const int64_t *b, int bins, int groups)
{
	double n = total(a, bins);
	double m = total(b, bins);
	double psi = 0;
	int ngroups = 0;

	if (n == 0 || m == 0)
		return 0;
	/* twice: the share of half an observation depends on how many groups there come to be */
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
			double share_a;
			double share_b;

			group_a += (double) a[i];
			group_b += (double) b[i];
			below += (double) a[i];
			if (below < next && i < bins - 1)
				continue;
			if (groups > 0)
				next = n / groups * (floor(below * groups / n) + 1);
			ngroups++;
			share_a = (group_a + 0.5) / (n + half);
			share_b = (group_b + 0.5) / (m + half);
			if (pass == 1)
				psi += (share_b - share_a) * log(share_b / share_a);
			group_a = group_b = 0;
		}
	}
	return psi;
}

double
two_sample_delta(const int64_t *a, const int64_t *b, int bins)
{
	double n = total(a, bins);
	double m = total(b, bins);
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
