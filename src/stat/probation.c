/*
 * probation.c: is a model that went live worse than the one before it?
 *
 * Both models predict the same images, so that drift of the images concerns both.  Three tests, each sequential with
 * an exact boundary (sequential.h), share a level of 0.95 %:
 *
 *	- On labelled predictions: of those on which only one model is right, the old model is right on more than half.
 *	  This assumes that annotators do not choose wrong predictions.
 *	- On all predictions on which the models differ: annotators have labelled more than half of them with what the old
 *	  model predicted.  This assumes nothing about which predictions annotators label, because those not labelled
 *	  count for the new model.
 *	- On all predictions: the new model is unsure (confidence below 0.5) of images of which the old model is not.  It
 *	  takes a difference of a fifth of the images, so that a model that is merely calibrated otherwise stays.
 *
 * The first test needs a guard, because many annotators correct what is wrong and leave alone what is right.  Then
 * images on which only the new model is right are hardly ever labelled, and any new model would look worse.  The rate
 * at which correct predictions are labelled is known from those on which both models agree.  The labels count if the
 * predictions on which the models differ show, at that rate, both of this:
 *
 *	- Too few are labelled with what the new model predicted, if it were right on half of them (3 %).
 *	- They are not labelled more often (5 %).  This is not needed if the first is beyond doubt (0.4 %).
 *
 * The first is by itself evidence that the new model is worse, if correct predictions on which the models differ are
 * labelled at least as often as those on which they agree: it holds if annotators prefer images of which a model is
 * unsure, and if they prefer errors.  test/unit/test_probation.c simulates how annotators may choose.
 */
#include "stat/probation.h"

#include <math.h>
#include <stddef.h>

#include "stat/sequential.h"

/* The levels add up to 0.95 %.  They are spent late (time to the power of 3): it costs little and gains power. */
#define LABELS_LEVEL 0.0085
#define CONFLICTS_LEVEL 0.0005
#define CONFIDENCE_LEVEL 0.0005
#define SPENDING 3.0

#define LOW_CONFIDENCE 0.5f
#define CONFIDENCE_LOSS 0.2 /* fraction of the images of which the new model must be unsure in addition */

/* Levels of the guard. */
#define LACK_ALONE 0.004
#define LACK 0.03
#define EXCESS 0.05

/* ---- the guard ---- */

/* Probability of at most k hits in n trials of probability p. */
static double
binomial_below(int k, int n, double p)
{
	double sum = 0;

	if (k < 0)
		return 0;
	if (k >= n || p <= 0)
		return 1;
	if (p >= 1)
		return 0;
	/* from the largest term down */
	for (int i = k; i >= 0; i--)
	{
		double term = exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log(p) + (n - i) * log1p(-p));

		sum += term;
		if (i < n * p && term < 1e-17 * sum)
			break;
	}
	return fmin(sum, 1);
}

bool
probation_unbiased(int conflicts, int served, int other, int neither, int agreements, int confirmed)
{
	int labelled = served + other + neither;
	double rate = agreements > 0 ? (double) confirmed / agreements : 0;
	double both_wrong = labelled > 0 ? (double) neither / labelled : 0;

	double lack = binomial_below(served, conflicts, rate * (1 - both_wrong) / 2);

	if (lack < LACK_ALONE)
		return true;
	return lack < LACK && 1 - binomial_below(labelled - 1, conflicts, rate) > EXCESS;
}

/* ---- the tests ---- */

/* A test of the first n entries of the room at level alpha; a hit has probability 1/2. */
static bool
crosses(const ProbationRoom *room, int n, double end, double alpha)
{
	const SequentialDesign design = {0.5, alpha, SPENDING};

	return sequential_test(&design, room->times, room->hits, n, end, room->mass, NULL) > 0;
}

/* Labelled predictions on which one model is right, in the order of their labels. */
static bool
worse_on_labels(const ProbationCase *cases, int n, const ProbationLimits *limits, const ProbationRoom *room,
				ProbationFigures *figures)
{
	int discordant = 0;

	for (int i = 0; i < n; i++)
	{
		if (cases[i].place > limits->labels)
			continue;
		if (cases[i].place > 0)
		{
			room->order[cases[i].place - 1] = i;
			figures->labels++;
		}
	}
	for (int place = 1; place <= figures->labels; place++)
	{
		const ProbationCase *c = &cases[room->order[place - 1]];
		bool old_right = c->old_label == c->label;

		if (old_right == (c->new_label == c->label))
			continue;
		figures->old_only += old_right ? 1 : 0;
		figures->new_only += old_right ? 0 : 1;
		room->times[discordant] = (double) place / limits->labels;
		room->hits[discordant++] = old_right;
	}
	return crosses(room, discordant, limits->over ? 1 : 0, LABELS_LEVEL);
}

/* All sampled predictions on which the models differ, in their order. */
static bool
worse_on_conflicts(const ProbationCase *cases, int n, const ProbationLimits *limits, const ProbationRoom *room,
				   ProbationFigures *figures)
{
	for (int i = 0; i < n; i++)
	{
		const ProbationCase *c = &cases[i];
		bool old_right = c->place > 0 && c->old_label == c->label;
		bool new_right = c->place > 0 && c->new_label == c->label;

		if (!c->sampled)
			continue;
		figures->sampled++;
		if (c->old_label == c->new_label)
		{
			figures->confirmed += new_right ? 1 : 0;
			continue;
		}
		figures->conflicts_old += old_right ? 1 : 0;
		figures->conflicts_new += new_right ? 1 : 0;
		figures->conflicts_other += c->place > 0 && !old_right && !new_right ? 1 : 0;
		room->times[figures->conflicts] = (double) figures->sampled / limits->sampled;
		room->hits[figures->conflicts++] = old_right;
	}
	return crosses(room, figures->conflicts, limits->over ? 1 : 0, CONFLICTS_LEVEL);
}

/* All sampled predictions of which one model is unsure, in their order. */
static bool
confidence_lost(const ProbationCase *cases, int n, const ProbationLimits *limits, const ProbationRoom *room,
				ProbationFigures *figures)
{
	int sampled = 0;
	int discordant = 0;

	for (int i = 0; i < n; i++)
	{
		bool old_low = cases[i].old_confidence < LOW_CONFIDENCE;
		bool new_low = cases[i].new_confidence < LOW_CONFIDENCE;

		if (!cases[i].sampled)
			continue;
		sampled++;
		figures->old_low += old_low ? 1 : 0;
		figures->new_low += new_low ? 1 : 0;
		if (old_low == new_low)
			continue;
		room->times[discordant] = (double) sampled / limits->sampled;
		room->hits[discordant++] = new_low;
	}
	return figures->new_low - figures->old_low >= CONFIDENCE_LOSS * sampled &&
		   crosses(room, discordant, limits->over ? 1 : 0, CONFIDENCE_LEVEL);
}

ProbationFinding
probation_judge(const ProbationCase *cases, int n, const ProbationLimits *limits, const ProbationRoom *room,
				ProbationFigures *figures)
{
	bool on_labels;
	bool on_conflicts;
	bool confidence;

	*figures = (ProbationFigures){0};
	on_labels = worse_on_labels(cases, n, limits, room, figures);
	on_conflicts = worse_on_conflicts(cases, n, limits, room, figures);
	confidence = confidence_lost(cases, n, limits, room, figures);
	figures->unbiased =
		probation_unbiased(figures->conflicts, figures->conflicts_new, figures->conflicts_old,
						   figures->conflicts_other, figures->sampled - figures->conflicts, figures->confirmed);
	if (on_labels && figures->unbiased)
		return PROBATION_WORSE_ON_LABELS;
	if (on_conflicts)
		return PROBATION_WORSE_ON_CONFLICTS;
	return confidence ? PROBATION_CONFIDENCE_LOST : PROBATION_NOT_WORSE;
}
