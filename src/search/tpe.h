/*
 * tpe.h: which point of a space to try next.
 */
#ifndef TPE_H
#define TPE_H

#include <stdbool.h>
#include <stdint.h>

#include "search/search.h"

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

#endif /* TPE_H */
