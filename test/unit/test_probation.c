/*
 * test_probation.c: how often probation rolls back good and bad models, by simulation of models and annotators.
 *
 * A simulation predicts images one by one.  Of each, only the old model is right, only the new one, both or none, and
 * annotators label it or not.  After every few images there is a check, until 500 are labelled or 5,000 predicted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "stat/probation.h"
#include "util/rng.h"

#define LABELS 500
#define PREDICTIONS 5000

/* Fractions of the images: only one model is right; both make the same error; each makes another one. */
typedef struct Models
{
	float old_only;
	float new_only;
	float same_error;
	float other_error;
} Models;

/* Probabilities that annotators label a prediction. */
typedef struct Annotators
{
	enum
	{
		BY_ERROR,
		BY_CONFIDENCE
	} choose;
	float right; /* of a correct prediction, or one of which the new model is sure */
	float wrong; /* of a wrong one, or one of which it is unsure */
} Annotators;

static const Annotators everything = {BY_ERROR, 1, 1};
static const Annotators one_in_five = {BY_ERROR, 0.2f, 0.2f};
static const Annotators one_in_ten = {BY_ERROR, 0.1f, 0.1f};
static const Annotators errors = {BY_ERROR, 0, 0.9f};
static const Annotators some_errors = {BY_ERROR, 0, 0.4f};
static const Annotators errors_first = {BY_ERROR, 0.1f, 0.9f};
static const Annotators unsure_first = {BY_CONFIDENCE, 0.05f, 0.8f};
static const Annotators sure_first = {BY_CONFIDENCE, 0.4f, 0.1f};

/* Equally good models: with independent errors, and with almost the same. */
static const Models independent = {0.03f, 0.03f, 0.001f, 0.001f};
static const Models alike = {0.006f, 0.006f, 0.024f, 0.001f};

/* A model that is worse by three points, and predicts hardly anything right that the old one does not. */
static const Models worse = {0.031f, 0.001f, 0.003f, 0.001f};
/* The same, but half of the errors of the old one are corrected by it. */
static const Models worse_and_different = {0.04f, 0.01f, 0.01f, 0.003f};

static ProbationCase cases[PREDICTIONS];
static int order[PREDICTIONS];
static double times[PREDICTIONS];
static bool hits[PREDICTIONS];
static double mass[PREDICTIONS + 2];
static const ProbationRoom room = {order, times, hits, mass};

/* Draw an image.  Returns whether the annotators label it. */
static bool
draw_case(const Models *models, const Annotators *annotators, Rng *rng, ProbationCase *image)
{
	float u = rng_uniform(rng);
	float unsure = 0.02f;
	bool marked;

	*image = (ProbationCase){0, true, 0, 0, 0, 0.9f, 0.9f};
	if (u < models->old_only)
	{
		image->new_label = 1;
		unsure = 0.7f;
	}
	else if ((u -= models->old_only) < models->new_only)
	{
		image->old_label = 1;
		unsure = 0.35f;
	}
	else if ((u -= models->new_only) < models->same_error)
	{
		image->old_label = image->new_label = 1;
		unsure = 0.6f;
	}
	else if (u - models->same_error < models->other_error)
	{
		image->old_label = 1;
		image->new_label = 2;
		unsure = 0.8f;
	}
	marked = annotators->choose == BY_ERROR ? image->new_label != 0 : rng_uniform(rng) < unsure;
	return rng_uniform(rng) < (marked ? annotators->wrong : annotators->right);
}

/* A whole probation. */
static ProbationFinding
simulate(const Models *models, const Annotators *annotators, Rng *rng, ProbationFigures *figures)
{
	ProbationLimits limits = {LABELS, PREDICTIONS, false};
	/* a check at about every 25th label */
	int step = (int) (25 / fmaxf(annotators->right, 0.05f));
	int labels = 0;

	for (int n = 1; n <= PREDICTIONS; n++)
	{
		ProbationFinding finding;

		if (draw_case(models, annotators, rng, &cases[n - 1]))
			cases[n - 1].place = ++labels;
		limits.over = labels == LABELS || n == PREDICTIONS;
		if (n % step != 0 && !limits.over)
			continue;
		finding = probation_judge(cases, n, &limits, &room, figures);
		if (finding != PROBATION_NOT_WORSE || limits.over)
			return finding;
	}
	return PROBATION_NOT_WORSE;
}

/* Roll back how many of n? */
static int
rollbacks(const Models *models, const Annotators *annotators, int n, uint64_t seed)
{
	Rng rng = rng_start(seed);
	ProbationFigures figures;
	int count = 0;

	for (int i = 0; i < n; i++)
		count += simulate(models, annotators, &rng, &figures) != PROBATION_NOT_WORSE;
	return count;
}

/* Equally good models are rolled back in less than 1 %, however annotators choose. */
static void
test_good_models_stay(void **state)
{
	const Annotators *all[] = {&everything,	 &one_in_five,	&one_in_ten,   &errors,
							   &some_errors, &errors_first, &unsure_first, &sure_first};
	int total = 0;

	(void) state;
	for (int i = 0; i < 8; i++)
	{
		int of_independent = rollbacks(&independent, all[i], 400, 10 + (uint64_t) i);
		int of_alike = rollbacks(&alike, all[i], 400, 20 + (uint64_t) i);

		print_message("annotators %d: %d and %d of 400 rolled back\n", i, of_independent, of_alike);
		/* with the largest chance allowed, 1 %, more than 9 of 400 are rolled back once in 100 times */
		assert_in_range(of_independent, 0, 9);
		assert_in_range(of_alike, 0, 9);
		total += of_independent + of_alike;
	}
	/* and over all of them fewer than 1 % are */
	assert_in_range(total, 0, 63);
}

/* A model that is worse by three points is rolled back within 500 labels, in 95 %. */
static void
test_bad_models_go(void **state)
{
	const Annotators *all[] = {&everything, &one_in_five, &one_in_ten, &errors};

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		int count = rollbacks(&worse, all[i], 1000, 30 + (uint64_t) i);

		print_message("annotators %d: %d of 1000 rolled back\n", i, count);
		assert_in_range(count, 950, 1000);
	}
	/* more different models take more labels; this only keeps what was reached */
	assert_in_range(rollbacks(&worse_and_different, &everything, 400, 40), 240, 400);
}

/* Confidence. */
static void
test_confidence(void **state)
{
	ProbationLimits limits = {LABELS, PREDICTIONS, false};
	ProbationFigures figures;
	Rng rng = rng_start(50);

	(void) state;
	/* unsure of one image in three, where the old model is unsure of one in a hundred */
	for (int i = 0; i < 300; i++)
		cases[i] = (ProbationCase){0, true, 0, 3, 3, rng_uniform(&rng) < 0.01f ? 0.4f : 1, i % 3 == 0 ? 0.3f : 0.9f};
	assert_int_equal(probation_judge(cases, 300, &limits, &room, &figures), PROBATION_CONFIDENCE_LOST);
	assert_int_equal(figures.new_low, 100);
	/* too few to tell */
	assert_int_equal(probation_judge(cases, 20, &limits, &room, &figures), PROBATION_NOT_WORSE);
	/* a model that is less sure, but sure enough, stays; and one that is unsure where the old one is */
	for (int i = 0; i < 300; i++)
		cases[i] = (ProbationCase){0, true, 0, 3, 3, 1, 0.51f};
	assert_int_equal(probation_judge(cases, 300, &limits, &room, &figures), PROBATION_NOT_WORSE);
	for (int i = 0; i < 300; i++)
		cases[i] = (ProbationCase){0, true, 0, 3, 3, 0.4f, 0.3f};
	assert_int_equal(probation_judge(cases, 300, &limits, &room, &figures), PROBATION_NOT_WORSE);
	/* and one that is unsure of 15 % of the images */
	for (int i = 0; i < 300; i++)
		cases[i] = (ProbationCase){0, true, 0, 3, 3, 1, i % 20 < 3 ? 0.3f : 0.9f};
	assert_int_equal(probation_judge(cases, 300, &limits, &room, &figures), PROBATION_NOT_WORSE);
}

/* By hand: figures, and labels beyond the limit, which do not count. */
static void
test_figures(void **state)
{
	ProbationLimits limits = {5, 100, false};
	ProbationFigures f;
	const ProbationCase some[] = {
		{3, true, 1, 1, 2, 0.9f, 0.9f}, {1, true, 1, 2, 1, 0.9f, 0.4f}, {0, true, 0, 1, 2, 0.4f, 0.9f},
		{2, true, 7, 7, 7, 0.9f, 0.9f}, {6, true, 1, 1, 2, 0.9f, 0.9f}, {4, false, 1, 1, 2, 0.9f, 0.9f},
		{5, true, 3, 4, 5, 0.9f, 0.9f}, {0, true, 0, 5, 5, 0.9f, 0.9f},
	};

	(void) state;
	assert_int_equal(probation_judge(some, 8, &limits, &room, &f), PROBATION_NOT_WORSE);
	assert_int_equal(f.labels, 5);
	assert_int_equal(f.old_only, 2);
	assert_int_equal(f.new_only, 1);
	assert_int_equal(f.sampled, 7);
	assert_int_equal(f.conflicts, 5);
	assert_int_equal(f.conflicts_old, 2);
	assert_int_equal(f.conflicts_new, 1);
	assert_int_equal(f.conflicts_other, 1);
	assert_int_equal(f.confirmed, 1);
	assert_int_equal(f.old_low, 1);
	assert_int_equal(f.new_low, 1);
}

/* By hand: of 16 conflicts, and of 100 agreements, all, half or none are labelled. */
static void
test_unbiased(void **state)
{
	(void) state;
	assert_true(probation_unbiased(16, 0, 16, 0, 100, 100));
	assert_true(probation_unbiased(16, 3, 13, 0, 100, 100));  /* 697 / 65536 */
	assert_false(probation_unbiased(16, 5, 11, 0, 100, 100)); /* 6885 / 65536 */
	assert_true(probation_unbiased(40, 1, 19, 0, 100, 50));
	assert_false(probation_unbiased(40, 4, 30, 0, 100, 50));
	assert_false(probation_unbiased(40, 0, 40, 0, 100, 0));
	assert_false(probation_unbiased(40, 0, 40, 0, 0, 0));
	assert_false(probation_unbiased(0, 0, 0, 0, 100, 100));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_models_stay), cmocka_unit_test(test_bad_models_go),
		cmocka_unit_test(test_confidence),		 cmocka_unit_test(test_figures),
		cmocka_unit_test(test_unbiased),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
