/*
 * search.h: hyperparameter search: spaces and trials.
 *
 * tpe.h proposes the point of a space to try next, pruner.h decides when to stop a trial early.
 *
 * Plain C11 like src/nn: no PostgreSQL, no allocation, no I/O, no state.  The trials so far are arguments, and
 * results depend on them and a seed alone.  So a study that was interrupted can be continued from its record with
 * the same results.
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
	SEARCH_INVALID	  /* the space, or the number of trials, is outside the limits */
} SearchStatus;

typedef enum SearchScale
{
	SEARCH_LINEAR, /* a number from low to high */
	SEARCH_LOG,	   /* the same on a logarithmic scale, 0 < low */
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
	SEARCH_PRUNED,	 /* stopped after nreports reports */
	SEARCH_FAILED	 /* worse than any value */
} SearchOutcome;

typedef struct SearchTrial
{
	SearchOutcome outcome;
	double x[SEARCH_MAX_DIMENSIONS];
	double value; /* to be maximized */
	int nreports;
	double reports[SEARCH_MAX_REPORTS]; /* intermediate values of the same quantity */
} SearchTrial;

#endif /* SEARCH_H */
