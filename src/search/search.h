/*
 * search.h: hyperparameter search: spaces and trials.
 *
 * tpe.h proposes the point of a space to try next, pruner.h says when to give a trial up.
 *
 * Plain C11 like src/nn: no PostgreSQL, no allocation, no I/O, no state.  What was tried is handed in as data, and an
 * answer is a function of that and of a seed alone: a study that was interrupted goes on, from its record, as if it
 * had not been.
 */
#ifndef SEARCH_H
#define SEARCH_H

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

#endif /* SEARCH_H */
