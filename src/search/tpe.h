/*
 * tpe.h: which point of a space to try next.
 */
#ifndef TPE_H
#define TPE_H

#include <stdbool.h>
#include <stdint.h>

#include "search/search.h"

/*
 * Write the point to try next into x (ndimensions), after n trials that have ended.  It differs from all of them;
 * SEARCH_EXHAUSTED if no other point is left.  Numbers are within low .. high, and on the grid if there is one;
 * choices are whole numbers.
 */
extern SearchStatus search_propose(const SearchSpace *space, const SearchTrial *trials, int n, uint64_t seed,
								   double *x);

/* The number at grid point k of a dimension, 0 <= k < points. */
extern double search_grid_point(const SearchDimension *dimension, int k);

/* Is trial a better than trial b? */
extern bool search_better(const SearchTrial *a, const SearchTrial *b);

/* Index of the best complete trial, the first of equals; -1 if there is none. */
extern int search_best(const SearchTrial *trials, int n);

#endif /* TPE_H */
