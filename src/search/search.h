/*
 * search.h: hyperparameter search: which point of a space to try next, and when to give a trial up.
 *
 * Plain C11 like src/nn: no PostgreSQL, no allocation, no I/O, no state.  What was tried is handed in as data, and an
 * answer is a function of that and of a seed alone: a study that was interrupted goes on, from its record, as if it
 * had not been.
 */
#ifndef SEARCH_H
#define SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#define SEARCH_MAX_DIMENSIONS 8
#define SEARCH_MAX_TRIALS 1000
#define SEARCH_MAX_REPORTS 100 /* intermediate values of a trial */

typedef enum SearchStatus
{
	SEARCH_OK = 0,
	SEARCH_EXHAUSTED, /* every point of the space has been tried */
	SEARCH_INVALID	  /* the space, or the number of trials, is not within the limits below */
} SearchStatus;

typedef enum SearchScale
{
	SEARCH_LINEAR, /* a number from low to high */
	SEARCH_LOG,	   /* likewise, 0 < low: ratios count, not differences */
	SEARCH_CHOICE  /* one of 0 .. points - 1, which have no order */
} SearchScale;

typedef struct SearchDimension
{
	SearchScale scale;
	double low;
	double high; /* > low */
	int points;	 /* evenly spaced on the scale, both ends included, at least 2; 0: any number between them */
} SearchDimension;

typedef struct SearchSpace
{
	int ndimensions; /* 1 .. SEARCH_MAX_DIMENSIONS */
	SearchDimension dimensions[SEARCH_MAX_DIMENSIONS];
} SearchSpace;

typedef enum SearchOutcome
{
	SEARCH_RUNNING,
	SEARCH_COMPLETE, /* value is set */
	SEARCH_PRUNED,	 /* given up after nreports reports */
	SEARCH_FAILED	 /* worse than any value */
} SearchOutcome;

typedef struct SearchTrial
{
	SearchOutcome outcome;
	double x[SEARCH_MAX_DIMENSIONS];
	double value; /* to be made as large as possible */
	int nreports;
	double reports[SEARCH_MAX_REPORTS]; /* intermediate values, as value */
} SearchTrial;

/* ---- tpe.c ---- */

/*
 * The point to try next, after n trials that have ended, into x (ndimensions).  Never one that was tried; where the
 * space has no other left, SEARCH_EXHAUSTED.  Numbers lie within low .. high, and on the grid where there is one;
 * choices are whole numbers.
 */
extern SearchStatus search_propose(const SearchSpace *space, const SearchTrial *trials, int n, uint64_t seed,
								   double *x);

/* The number of the space's grid point k of a dimension, 0 <= k < points. */
extern double search_grid_point(const SearchDimension *dimension, int k);

/* Is trial a to be preferred to trial b? */
extern bool search_better(const SearchTrial *a, const SearchTrial *b);

/* Index of the best complete trial, the first of equals; -1 if there is none. */
extern int search_best(const SearchTrial *trials, int n);

/* ---- pruner.c ---- */

/* Is the trial, by the reports it has made, to be given up, in view of n others? */
extern bool search_prune(const SearchTrial *trial, const SearchTrial *others, int n);

#endif /* SEARCH_H */
