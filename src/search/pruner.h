/*
 * pruner.h: when to stop a trial early.
 */
#ifndef PRUNER_H
#define PRUNER_H

#include <stdbool.h>

#include "search/search.h"

/* Should this trial be stopped, judging by its reports and by those of n others? */
extern bool search_prune(const SearchTrial *trial, const SearchTrial *others, int n);

#endif /* PRUNER_H */
