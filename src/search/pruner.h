/*
 * pruner.h: when to give a trial up.
 */
#ifndef PRUNER_H
#define PRUNER_H

#include <stdbool.h>

#include "search/search.h"

/* Is the trial, by the reports it has made, to be given up, in view of n others? */
extern bool search_prune(const SearchTrial *trial, const SearchTrial *others, int n);

#endif /* PRUNER_H */
