/*
 * pruner.c: stopping unpromising trials early, by the median rule (Golovin et al. 2017, Vizier).
 *
 * A trial is pruned when its best reported value is below the median of the complete trials.  For each of these, the
 * best value after the same number of reports counts.  Half of the trials that are no better than those before them
 * end early.  A trial that leads at each report is never pruned, so the best trial is lost only if it was among the
 * worse half for a while.  To make that rare, nothing is pruned at the first report, which says little, nor
 * before some trials are complete.
 */
#include "search/pruner.h"

#define PRUNE_AFTER_TRIALS 4  /* complete ones */
#define PRUNE_AFTER_REPORTS 1 /* of the trial itself */

/* The best of the first n reports. */
static double
best_report(const SearchTrial *trial, int n)
{
	double best = trial->reports[0];

	for (int i = 1; i < n; i++)
		if (trial->reports[i] > best)
			best = trial->reports[i];
	return best;
}

bool
search_prune(const SearchTrial *trial, const SearchTrial *others, int n)
{
	double value;
	int complete = 0;
	int better = 0;

	if (trial->nreports <= PRUNE_AFTER_REPORTS)
		return false;
	value = best_report(trial, trial->nreports);
	for (int i = 0; i < n; i++)
	{
		if (others[i].outcome != SEARCH_COMPLETE || others[i].nreports < trial->nreports)
			continue;
		complete++;
		better += best_report(&others[i], trial->nreports) > value;
	}
	/* below the median: more than half of the complete trials are better */
	return complete >= PRUNE_AFTER_TRIALS && 2 * better > complete;
}
