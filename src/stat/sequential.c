/*
 * sequential.c: tests that may be looked at as often as one likes.
 */
#include "stat/sequential.h"

#include <math.h>
#include <stddef.h>

#define NEGLIGIBLE 1e-20 /* probability of a number of hits that is left out at the lower end */

/* The distribution of the number of hits of paths that have not crossed: mass[low .. high]. */
typedef struct Walk
{
	double *mass;
	int low;
	int high;
	double spent; /* probability of the paths that have crossed */
} Walk;

/* One more trial. */
static void
step(Walk *walk, double p)
{
	double *mass = walk->mass;

	mass[walk->high + 1] = 0;
	for (int hits = walk->high + 1; hits > walk->low; hits--)
		mass[hits] = mass[hits] * (1 - p) + mass[hits - 1] * p;
	mass[walk->low] *= 1 - p;
	walk->high++;
	while (walk->low < walk->high && mass[walk->low] < NEGLIGIBLE)
		walk->low++;
}

/* Let the paths with most hits cross, as long as the level allows it.  Returns the boundary. */
static int
look(Walk *walk, double level)
{
	while (walk->high >= walk->low && walk->spent + walk->mass[walk->high] <= level)
		walk->spent += walk->mass[walk->high--];
	return walk->high + 1;
}

static double
level_at(const SequentialDesign *design, double time)
{
	return design->alpha * pow(fmin(fmax(time, 0), 1), design->power);
}

int
sequential_test(const SequentialDesign *design, const double *times, const bool *hits, int n, double end,
				double *mass, bool *beyond)
{
	Walk walk = {mass, 0, 0, 0};
	int count = 0;
	int first = 0;
	bool reached;

	mass[0] = 1;
	for (int i = 0; i < n && walk.low <= walk.high; i++)
	{
		step(&walk, design->p);
		count += hits[i] ? 1 : 0;
		if (count >= look(&walk, level_at(design, times[i])) && first == 0)
			first = i + 1;
	}
	reached = n > 0 && count >= look(&walk, fmax(level_at(design, end), walk.spent));
	if (first == 0 && reached)
		first = n;
	if (beyond != NULL)
		*beyond = reached;
	return first;
}

double
sequential_evidence(int64_t hits, int64_t misses, double p)
{
	double k = (double) hits;
	double m = (double) misses;

	if ((hits > 0 && p <= 0) || (misses > 0 && p >= 1))
		return INFINITY;
	return lgamma(k + 1) + lgamma(m + 1) - lgamma(k + m + 2) - (hits > 0 ? k * log(p) : 0) -
		   (misses > 0 ? m * log1p(-p) : 0);
}
