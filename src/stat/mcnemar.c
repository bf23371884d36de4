/*
 * mcnemar.c: is one of two classifiers better on the same images?
 */
#include "stat/mcnemar.h"

#include <float.h>
#include <math.h>

#define EXACT_MAX 1e8 /* images: up to this number the exact sum is computed, which takes some 50,000 terms */

double
mcnemar_p(int64_t only_first, int64_t only_second)
{
	double n = (double) only_first + (double) only_second;
	double k = (double) (only_first < only_second ? only_first : only_second);
	double term;
	double sum = 0.0;

	if (only_first == only_second)
		return 1.0;
	if (n > EXACT_MAX)
	{
		int64_t difference = only_first < only_second ? only_second - only_first : only_first - only_second;

		return erfc(((double) difference - 1.0) / sqrt(2.0 * n));
	}
	/* Sum from the largest term of the tail down.  Stop where terms no longer change the sum, or become denormal. */
	term = exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) - n * log(2.0));
	for (double i = k; i >= 0.0 && term > fmax(sum * 1e-17, DBL_MIN); i -= 1.0)
	{
		sum += term;
		term *= i / (n - i + 1.0);
	}
	return fmin(2.0 * sum, 1.0);
}
