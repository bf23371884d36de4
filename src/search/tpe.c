/*
 * tpe.c: the tree-structured Parzen estimator (Bergstra, Bardenet, Bengio and Kegl 2011), in its multivariate form
 * (Falkner, Klein and Hutter 2018, BOHB).
 *
 * The trials so far are split into a few good ones and the rest, and the density of each set is estimated: l(x) for
 * the good, g(x) for the rest.  A number of points are drawn from l.  The one with the largest l(x) / g(x), which
 * has the largest expected improvement, is tried next.
 *
 * A density is a mixture: one component for each trial, and one for the prior, which spans the space.  A component
 * is a product over the dimensions, so that the values of one trial stay together.  Its factors are normal
 * distributions truncated at the bounds; for a choice, most of the weight is on the trial's own choice.
 *
 * The first points are spread evenly, since there is nothing to estimate from yet.  They are a low-discrepancy
 * sequence (Roberts 2018: the multiples of powers of a generalised golden ratio), shifted by the seed.
 *
 * Internally every number is in "unit" coordinates: 0 .. 1 from low to high on the dimension's scale.  A grid point
 * represents the cell around it; the outermost cells reach beyond 0 and 1 by half a cell.
 */
#include "search/tpe.h"

#include <math.h>

#include "util/rng.h"

#define STARTUP_TRIALS 6   /* spread evenly */
#define CANDIDATES 48	   /* drawn from l */
#define GOOD_FRACTION 0.15 /* of the trials, ... */
#define GOOD_MAX 25		   /* ... but no more than this number */
#define BANDWIDTH 0.15	   /* of one trial's component, in unit coordinates */
#define ATTEMPTS 10		   /* to draw an untried point; then the grid is searched in order */

/* Keys of the streams of random numbers. */
enum
{
	KEY_SHIFT,
	KEY_CANDIDATE,
	KEY_LEFT_OVER
};

/* One of the two densities: a mixture over some trials and the prior. */
typedef struct Density
{
	const SearchSpace *space;
	const SearchTrial *trials;
	const short *members; /* indexes of trials */
	int n;
	double bandwidth;
} Density;

static double
uniform(Rng *rng)
{
	return (double) (rng_next(rng) >> 11) * 0x1p-53;
}

static double
clamp(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

/* ---- the space ---- */

static bool
valid(const SearchSpace *space, int n)
{
	if (space->ndimensions < 1 || space->ndimensions > SEARCH_MAX_DIMENSIONS || n < 0 || n >= SEARCH_MAX_TRIALS)
		return false;
	for (int i = 0; i < space->ndimensions; i++)
	{
		const SearchDimension *dimension = &space->dimensions[i];

		if (dimension->scale == SEARCH_CHOICE
				? dimension->points < 1
				: dimension->points == 1 || dimension->points < 0 || !(dimension->low < dimension->high) ||
					  (dimension->scale == SEARCH_LOG && !(dimension->low > 0)))
			return false;
	}
	return true;
}

static double
to_unit(const SearchDimension *dimension, double x)
{
	if (dimension->scale == SEARCH_CHOICE)
		return x;
	if (dimension->scale == SEARCH_LOG)
		return log(x / dimension->low) / log(dimension->high / dimension->low);
	return (x - dimension->low) / (dimension->high - dimension->low);
}

static double
from_unit(const SearchDimension *dimension, double u)
{
	double x;

	if (dimension->scale == SEARCH_CHOICE)
		return u;
	if (dimension->points > 0)
		u = round(clamp(u, 0, 1) * (dimension->points - 1)) / (dimension->points - 1);
	if (dimension->scale == SEARCH_LOG)
		x = dimension->low * pow(dimension->high / dimension->low, u);
	else
		x = dimension->low + u * (dimension->high - dimension->low);
	return clamp(x, dimension->low, dimension->high);
}

double
search_grid_point(const SearchDimension *dimension, int k)
{
	return from_unit(dimension, dimension->scale == SEARCH_CHOICE ? k : (double) k / (dimension->points - 1));
}

/* Half the width of a grid's cell; 0 if there is no grid. */
static double
half_cell(const SearchDimension *dimension)
{
	return dimension->points > 0 ? 0.5 / (dimension->points - 1) : 0;
}

/* Are two numbers the same point?  On a grid they may differ by the rounding of stored values. */
static bool
same_number(const SearchDimension *dimension, double a, double b)
{
	double difference = fabs(to_unit(dimension, a) - to_unit(dimension, b));

	if (dimension->scale == SEARCH_CHOICE)
		return a == b;
	return difference < (dimension->points > 0 ? half_cell(dimension) : 1e-6);
}

static bool
tried(const SearchSpace *space, const SearchTrial *trials, int n, const double *x)
{
	for (int i = 0; i < n; i++)
	{
		bool same = true;

		for (int d = 0; same && d < space->ndimensions; d++)
			same = same_number(&space->dimensions[d], trials[i].x[d], x[d]);
		if (same)
			return true;
	}
	return false;
}

/* An untried point, searched in order from a random one on; false if there is none, or a dimension has no grid. */
static bool
left_over(const SearchSpace *space, const SearchTrial *trials, int n, Rng *rng, double *x)
{
	uint64_t size = 1;
	uint64_t first;

	for (int d = 0; d < space->ndimensions; d++)
	{
		if (space->dimensions[d].points == 0)
			return false;
		size *= (uint64_t) space->dimensions[d].points;
		if (size > UINT32_MAX)
			size = UINT32_MAX; /* far more points than trials: the others are not needed */
	}
	first = rng_next(rng) % size;
	for (uint64_t i = 0; i < size && i <= (uint64_t) n; i++)
	{
		uint64_t rest = (first + i) % size;

		for (int d = 0; d < space->ndimensions; d++)
		{
			x[d] = search_grid_point(&space->dimensions[d], (int) (rest % space->dimensions[d].points));
			rest /= space->dimensions[d].points;
		}
		if (!tried(space, trials, n, x))
			return true;
	}
	return false;
}

/* ---- the order of trials ---- */

bool
search_better(const SearchTrial *a, const SearchTrial *b)
{
	if (a->outcome != b->outcome)
		return a->outcome < b->outcome; /* complete, pruned, failed */
	if (a->outcome == SEARCH_FAILED)
		return false;
	if (a->outcome == SEARCH_PRUNED)
	{
		if (a->nreports != b->nreports)
			return a->nreports > b->nreports;
		return a->nreports > 0 && a->reports[a->nreports - 1] > b->reports[b->nreports - 1];
	}
	return a->value > b->value;
}

int
search_best(const SearchTrial *trials, int n)
{
	int best = -1;

	for (int i = 0; i < n; i++)
		if (trials[i].outcome == SEARCH_COMPLETE && (best < 0 || search_better(&trials[i], &trials[best])))
			best = i;
	return best;
}

/* Indexes of the trials, best first; equal ones keep their order. */
static void
sort(const SearchTrial *trials, int n, short *order)
{
	for (int i = 0; i < n; i++)
	{
		int k = i;

		for (; k > 0 && search_better(&trials[i], &trials[order[k - 1]]); k--)
			order[k] = order[k - 1];
		order[k] = (short) i;
	}
}

/* ---- the densities ---- */

static double
normal_cdf(double z)
{
	return 0.5 * erfc(-z * M_SQRT1_2);
}

/* Inverse of the standard normal distribution function, by bisection. */
static double
normal_quantile(double p)
{
	double low = -9;
	double high = 9;

	for (int i = 0; i < 45; i++)
	{
		double middle = (low + high) / 2;

		if (normal_cdf(middle) < p)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

/* Logarithm of a component's density at a number; on a grid, of the probability of its cell. */
static double
log_kernel(const SearchDimension *dimension, double mean, double sigma, double u)
{
	double half = half_cell(dimension);
	double inside = normal_cdf((1 + half - mean) / sigma) - normal_cdf((-half - mean) / sigma);
	double z = (u - mean) / sigma;

	if (half > 0)
		return log((normal_cdf(z + half / sigma) - normal_cdf(z - half / sigma) + 1e-300) / inside);
	return -0.5 * z * z - log(sigma * inside);
}

/* The probability of a choice in one of n trials' components; chosen: it is the trial's own choice. */
static double
choice_weight(int points, int n, bool chosen)
{
	double other = 1.0 / (n + 1);

	return (other + (chosen ? 1 : 0)) / (1 + points * other);
}

/* Logarithm of the density at a point, up to a constant that is the same for both densities. */
static double
log_density(const Density *density, const double *x)
{
	const SearchSpace *space = density->space;
	double sum = 0;
	double largest = -INFINITY;

	/* components of the members, then the prior; the sum is relative to the largest one, against underflow */
	for (int i = 0; i <= density->n; i++)
	{
		double value = 0;

		for (int d = 0; d < space->ndimensions; d++)
		{
			const SearchDimension *dimension = &space->dimensions[d];
			double u = to_unit(dimension, x[d]);

			if (i < density->n)
			{
				double at = to_unit(dimension, density->trials[density->members[i]].x[d]);

				value += dimension->scale == SEARCH_CHOICE
							 ? log(choice_weight(dimension->points, density->n, at == u))
							 : log_kernel(dimension, at, density->bandwidth, u);
			}
			else
				value +=
					dimension->scale == SEARCH_CHOICE ? -log(dimension->points) : log_kernel(dimension, 0.5, 1, u);
		}
		if (value > largest)
		{
			sum *= exp(largest - value);
			largest = value;
		}
		sum += exp(value - largest);
	}
	return largest + log(sum / (density->n + 1));
}

/* Draw a point from the density. */
static void
draw(const Density *density, Rng *rng, double *x)
{
	const SearchSpace *space = density->space;
	int i = (int) (uniform(rng) * (density->n + 1));

	for (int d = 0; d < space->ndimensions; d++)
	{
		const SearchDimension *dimension = &space->dimensions[d];
		bool prior = i == density->n;
		double at = prior ? 0.5 : to_unit(dimension, density->trials[density->members[i]].x[d]);
		double p = uniform(rng);

		if (dimension->scale == SEARCH_CHOICE)
		{
			double kept = prior ? 0 : 1 / (1 + dimension->points / (double) (density->n + 1));

			x[d] = p < kept ? at : floor((p - kept) / (1 - kept) * dimension->points);
		}
		else
		{
			double sigma = prior ? 1 : density->bandwidth;
			double half = half_cell(dimension);
			double low = normal_cdf((-half - at) / sigma);
			double high = normal_cdf((1 + half - at) / sigma);

			x[d] = from_unit(dimension, clamp(at + sigma * normal_quantile(low + p * (high - low)), 0, 1));
		}
	}
}

/* ---- proposals ---- */

/* Point k of the low-discrepancy sequence. */
static void
spread(const SearchSpace *space, int k, uint64_t seed, double *x)
{
	Rng shift = rng_start(rng_key(seed, KEY_SHIFT));
	double golden = 2; /* the root of g^(d+1) = g + 1 */
	double step = 1;

	for (int i = 0; i < 30; i++)
		golden = pow(1 + golden, 1.0 / (space->ndimensions + 1));
	for (int d = 0; d < space->ndimensions; d++)
	{
		const SearchDimension *dimension = &space->dimensions[d];
		double whole;
		double u;

		step /= golden;
		u = modf(uniform(&shift) + k * step, &whole);
		if (dimension->points > 0)
		{
			int cell = (int) (u * dimension->points);

			x[d] = search_grid_point(dimension, cell);
		}
		else
			x[d] = from_unit(dimension, u);
	}
}

/* The most promising untried point of some drawn from the good trials' density; false if all were tried. */
static bool
estimate(const SearchSpace *space, const SearchTrial *trials, int n, Rng *rng, double *x)
{
	short order[SEARCH_MAX_TRIALS];
	int ngood = (int) ceil(GOOD_FRACTION * n);
	Density good = {.space = space, .trials = trials, .members = order};
	Density rest = good;
	double best = -INFINITY;

	sort(trials, n, order);
	good.n = ngood < GOOD_MAX ? ngood : GOOD_MAX;
	rest.n = n - good.n;
	rest.members = order + good.n;
	good.bandwidth = BANDWIDTH * pow(good.n, -1.0 / (space->ndimensions + 4));
	rest.bandwidth = BANDWIDTH * pow(rest.n > 0 ? rest.n : 1, -1.0 / (space->ndimensions + 4));
	for (int i = 0; i < CANDIDATES; i++)
	{
		double candidate[SEARCH_MAX_DIMENSIONS];
		double score;

		draw(&good, rng, candidate);
		score = log_density(&good, candidate) - log_density(&rest, candidate);
		if (score > best && !tried(space, trials, n, candidate))
		{
			best = score;
			for (int d = 0; d < space->ndimensions; d++)
				x[d] = candidate[d];
		}
	}
	return best > -INFINITY;
}

SearchStatus
search_propose(const SearchSpace *space, const SearchTrial *trials, int n, uint64_t seed, double *x)
{
	Rng rng = rng_start(rng_key(rng_key(seed, KEY_CANDIDATE), (uint64_t) n));
	Rng rest = rng_start(rng_key(rng_key(seed, KEY_LEFT_OVER), (uint64_t) n));

	if (!valid(space, n))
		return SEARCH_INVALID;
	if (n < STARTUP_TRIALS)
	{
		spread(space, n, seed, x);
		if (!tried(space, trials, n, x))
			return SEARCH_OK;
	}
	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
		if (estimate(space, trials, n, &rng, x))
			return SEARCH_OK;
	return left_over(space, trials, n, &rest, x) ? SEARCH_OK : SEARCH_EXHAUSTED;
}
