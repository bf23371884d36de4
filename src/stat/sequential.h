/*
 * sequential.h: tests that may be looked at as often as one likes.
 *
 * Plain C: no PostgreSQL, no allocation, no I/O.
 */
#ifndef STAT_SEQUENTIAL_H
#define STAT_SEQUENTIAL_H

#include <stdbool.h>
#include <stdint.h>

/* The design of a test that spends its level while data come in. */
typedef struct SequentialDesign
{
	double p;	  /* probability of a hit under the null hypothesis, 0 .. 1 */
	double alpha; /* probability of ever crossing the boundary under the null hypothesis */
	double power; /* at time t, at most alpha * t ^ power of it is spent */
} SequentialDesign;

/*
 * A one-sided test of n trials with an exact boundary (alpha spending: Lan and DeMets 1983).  Does the number of hits
 * show that a hit is more probable than design->p?  After trial i, at times[i] (0 .. 1, not falling), the boundary is
 * the smallest number of hits for which the probability of crossing, then or before, stays within the level spent by
 * then.  Returns the number of the first trial after which the hits reach the boundary, from 1; 0 if none.
 *
 * end: the time of one more look after the last trial, at least its time.  *beyond, unless NULL, tells whether the
 * hits reach the boundary of that look.  mass: room for n + 2 numbers.
 *
 * If each trial is a hit with a probability of at most design->p, whatever the trials before, the probability of a
 * result other than 0 is at most design->alpha, however often the test is repeated as trials are added.  It is exact
 * as long as the times do not depend on the hits.  The time of a call grows like n * sqrt(n).
 */
extern int sequential_test(const SequentialDesign *design, const double *times, const bool *hits, int n, double end,
						   double *mass, bool *beyond);

/*
 * Evidence against "a hit has probability p", always valid: under this hypothesis, the probability that it ever
 * reaches 1 / alpha is at most alpha (Ville 1939), however often one looks.  It is the likelihood of the counts,
 * averaged over all probabilities of a hit, divided by their likelihood under the hypothesis (Robbins 1970; Howard et
 * al. 2021).  Returns its natural logarithm; infinity if the counts are impossible under the hypothesis.
 */
extern double sequential_evidence(int64_t hits, int64_t misses, double p);

#endif /* STAT_SEQUENTIAL_H */
