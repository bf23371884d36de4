/*
 * gate.c: choosing the candidate, and deciding whether it goes live.
 *
 * Candidate and live model predict the same images and are compared on those where only one of them is correct.  The
 * candidate passes if all of this holds:
 *
 *	- On base validation its accuracy is not lower than the live model's by more than a margin.
 *	- No digit is lost there: the accuracy on a digit is not lower by more than a floor, unless chance explains
 *	  the difference (McNemar's exact test on that digit's images; it takes at least six images that only the live
 *	  model predicts correctly).
 *	- On held-out feedback it predicts no fewer images correctly.  Where there are enough images, and the live model
 *	  is wrong on enough of them, it predicts more correctly, unless it is significantly better on base validation.
 *
 * Both models predict the test images, too.  The result is reported and decides nothing.  Held-out feedback has no
 * part in choosing the candidate either.
 *
 * After fine-tuning the candidate is chosen on the straight line between the live model's weights and the tuned ones.
 * Models on this line are about as accurate as those at its ends, and somewhere on it most of what was learnt is kept
 * and least of the old accuracy is lost (Wortsman et al. 2022, WiSE-FT).  The point is chosen on validation images
 * and on feedback that was trained on.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"

#include "pg/json.h"
#include "stat/mcnemar.h"
#include "train/commands.h"
#include "train/gate.h"

PG_FUNCTION_INFO_V1(mnist_mcnemar);

/* The gate allows the loss of this fraction of the base validation images, or of this many if that is more. */
#define VALIDATION_MARGIN 0.001
#define VALIDATION_MARGIN_IMAGES 3

/* A digit is lost if the loss is above this fraction of its validation images and significant. */
#define DIGIT_FLOOR 0.005

/* Differences with a p-value of McNemar's test below this are significant. */
#define SIGNIFICANT 0.05

/* With at least this many images of held-out feedback, and of them predicted wrongly, a candidate must gain. */
#define MIN_HELD_OUT 20
#define MIN_TO_GAIN 5

/* The loss of base validation images that is allowed when a blend is chosen: as above, but stricter. */
#define CHOICE_MARGIN 0.0005
#define CHOICE_MARGIN_IMAGES 2

/*
 * The points to try on the line from the live weights (0) to the tuned ones (1).  The tuned weights are no candidate:
 * the last fifth of the way loses base images, but too few for the validation images to show it.  Measured with 500
 * corrections of a style, live, at 0.8 and at 1: 99.63, 99.61 and 99.57 % on MNIST's test images, 76.6, 90.7 and 91.5
 * % on the style.
 */
static const float blend_steps[GATE_BLENDS] = {0.8f, 0.6f, 0.4f, 0.2f};

TrainingScores
gate_evaluate(Workers *workers, TrainingVector vector, uint32 sets)
{
	TrainingScores sum = {0};

	workers->shared->vector = vector;
	workers->shared->sets = sets;
	workers_command(workers, TRAINING_EVALUATE);
	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
		for (int i = 0; i < TRAINING_NSETS; i++)
			if (sets & TRAINING_SET_BIT(i))
				training_score_add(&sum.sets[i], &workers->shared->slots[rank].scores.sets[i]);
	return sum;
}

/* A fraction of a number of images, but not less than a minimum. */
static int64
margin_of(int64 images, double share, int64 least)
{
	return Max((int64) (share * (double) images), least);
}

/* values = live + share * (average - live) */
static void
blend(Workers *workers, float share)
{
	const float *live = workers_vector(workers, TRAINING_LIVE);
	const float *average = workers_vector(workers, TRAINING_AVERAGE);
	float *values = workers_vector(workers, TRAINING_VALUES);

	for (Size i = 0; i < workers->net.nvalues; i++)
		values[i] = share == 1.0f ? average[i] : live[i] + share * (average[i] - live[i]);
}

/*
 * Is a blend better than the best one so far, which is closer to the tuned weights? While the best one predicts fewer
 * than "allowed" validation images correctly, a blend that predicts more of them is better.  After that a blend is
 * better only if it, too, predicts that many, and more of the feedback.
 */
static bool
better_blend(const TrainingScores *blend, const TrainingScores *best, int64 allowed)
{
	int64 correct = blend->sets[TRAINING_SET_VALIDATION].correct;

	if (best->sets[TRAINING_SET_VALIDATION].correct < allowed)
		return correct > best->sets[TRAINING_SET_VALIDATION].correct;
	return correct >= allowed &&
		   blend->sets[TRAINING_SET_FEEDBACK].correct > best->sets[TRAINING_SET_FEEDBACK].correct;
}

/* Leave the best blend of tuned and live weights in TRAINING_VALUES. */
static void
choose_blend(Workers *workers)
{
	const uint32 validation = TRAINING_SET_BIT(TRAINING_SET_VALIDATION);
	const uint32 sets = validation | TRAINING_SET_BIT(TRAINING_SET_FEEDBACK);
	TrainingScores live = gate_evaluate(workers, TRAINING_LIVE, validation);
	int64 allowed = live.sets[TRAINING_SET_VALIDATION].correct -
					margin_of(live.sets[TRAINING_SET_VALIDATION].images, CHOICE_MARGIN, CHOICE_MARGIN_IMAGES);
	TrainingScores best = {0};
	float best_share = 0.0f;

	for (int i = 0; i < (int) lengthof(blend_steps); i++)
	{
		TrainingScores scores;

		blend(workers, blend_steps[i]);
		scores = gate_evaluate(workers, TRAINING_VALUES, sets);
		ereport(DEBUG1, (errmsg_internal("%.1f of the way from live to tuned weights: validation %.4f, feedback %.4f",
										 blend_steps[i], training_accuracy(&scores.sets[TRAINING_SET_VALIDATION]),
										 training_accuracy(&scores.sets[TRAINING_SET_FEEDBACK]))));
		if (i == 0 || better_blend(&scores, &best, allowed))
		{
			best = scores;
			best_share = blend_steps[i];
		}
	}
	blend(workers, best_share);
}

void
gate_choose(Workers *workers)
{
	if (workers->shared->hyper.strategy == TRAINING_FINE_TUNE)
		choose_blend(workers);
	else
		blend(workers, 1.0f);
}

void
gate_compare(Workers *workers, uint32 sets, TrainingComparison comparison[TRAINING_NSETS], TrainingOutcome *outcome)
{
	memset(comparison, 0, sizeof(TrainingComparison) * TRAINING_NSETS);
	workers->shared->sets = sets;
	workers_command(workers, TRAINING_COMPARE);
	for (int i = 0; i < TRAINING_NSETS; i++)
	{
		TrainingScore *candidate = &outcome->candidate.sets[i];
		TrainingScore *live = &outcome->live.sets[i];

		*candidate = *live = (TrainingScore){0};
		for (int rank = 0; sets & TRAINING_SET_BIT(i) && rank < workers->shared->nprocesses; rank++)
			for (int c = 0; c < NN_CLASSES; c++)
			{
				const TrainingComparison *part = &workers->shared->slots[rank].comparison[i];

				comparison[i].images[c] += part->images[c];
				comparison[i].candidate[c] += part->candidate[c];
				comparison[i].live[c] += part->live[c];
				comparison[i].candidate_only[c] += part->candidate_only[c];
				comparison[i].live_only[c] += part->live_only[c];
			}
		for (int c = 0; c < NN_CLASSES; c++)
		{
			candidate->images += comparison[i].images[c];
			candidate->correct += comparison[i].candidate[c];
			live->correct += comparison[i].live[c];
		}
		live->images = candidate->images;
	}
}

/* A set's figures over all digits. */
typedef struct Figures
{
	int64 images;
	int64 candidate;
	int64 live;
	int64 candidate_only;
	int64 live_only;
	double p; /* of McNemar's test */
} Figures;

static Figures
figures_of(const TrainingComparison *comparison, int from, int to)
{
	Figures sum = {0};

	for (int c = from; c < to; c++)
	{
		sum.images += comparison->images[c];
		sum.candidate += comparison->candidate[c];
		sum.live += comparison->live[c];
		sum.candidate_only += comparison->candidate_only[c];
		sum.live_only += comparison->live_only[c];
	}
	sum.p = mcnemar_p(sum.candidate_only, sum.live_only);
	return sum;
}

/* Write figures as members of the current JSON object. */
static void
write_figures(Json *json, const Figures *figures)
{
	json_int(json, "images", figures->images);
	json_int(json, "candidate_correct", figures->candidate);
	json_int(json, "live_correct", figures->live);
	json_int(json, "candidate_only", figures->candidate_only);
	json_int(json, "live_only", figures->live_only);
	json_double(json, "p_value", figures->p);
}

static void
write_set(Json *json, const char *name, const Figures *figures)
{
	json_open_object(json, name);
	write_figures(json, figures);
	json_close_object(json);
}

static bool
significantly_better(const Figures *figures)
{
	return figures->candidate > figures->live && figures->p < SIGNIFICANT;
}

/* Is a digit lost?  digit: the figures of its validation images. */
static bool
digit_lost(const Figures *digit)
{
	return (double) (digit->live - digit->candidate) > DIGIT_FLOOR * (double) digit->images && digit->p < SIGNIFICANT;
}

/* Does a candidate pass that is only as good as the live model on held-out feedback? */
static bool
equal_will_do(const Figures *held_out, const Figures *validation)
{
	if (held_out->images < MIN_HELD_OUT || held_out->images - held_out->live < MIN_TO_GAIN)
		return true;
	return significantly_better(validation);
}

/* Write the figures of each digit's validation images.  lost: which digits are lost; returns how many are. */
static int
weigh_digits(const TrainingComparison *validation, bool lost[NN_CLASSES], Json *json)
{
	int count = 0;

	json_open_array(json, "digits");
	for (int c = 0; c < NN_CLASSES; c++)
	{
		Figures digit = figures_of(validation, c, c + 1);

		lost[c] = digit_lost(&digit);
		count += lost[c];
		json_open_object(json, NULL);
		json_int(json, "digit", c);
		write_figures(json, &digit);
		json_bool(json, "lost", lost[c]);
		json_close_object(json);
	}
	json_close_array(json);
	return count;
}

/* The words of a verdict: what is against the candidate, and then the rest. */
typedef struct Verdict
{
	StringInfoData text;
	int live_version;
	bool against; /* the last words were against the candidate */
} Verdict;

/*
 * Append the beginning of a comparison with the live model, such as "better than version 3 on ".  word: "better",
 * "worse", "as good", ...; link: what follows it, "than" or "as".  Only the first comparison names the version.
 */
static void
append_words(Verdict *verdict, const char *word, const char *link, bool against)
{
	bool first = verdict->text.len == 0;

	if (!first)
		appendStringInfoString(&verdict->text, verdict->against && !against ? ", but " : ", ");
	appendStringInfoString(&verdict->text, word);
	if (first)
		appendStringInfo(&verdict->text, " %s version %d", link, verdict->live_version);
	appendStringInfoString(&verdict->text, " on ");
	verdict->against = against;
}

/* Append how candidate and live model compare on a set of images, with the figures. */
static void
append_set(Verdict *verdict, const char *set, const Figures *figures, bool passes)
{
	if (figures->candidate == figures->live)
		append_words(verdict, passes ? "as good" : "no better", passes ? "as" : "than", !passes);
	else if (passes && figures->p >= SIGNIFICANT)
		append_words(verdict, "no worse", "than", false);
	else
		append_words(verdict, figures->candidate > figures->live ? "better" : "worse", "than", !passes);
	appendStringInfo(&verdict->text, "%s (" INT64_FORMAT " of " INT64_FORMAT " correct against " INT64_FORMAT, set,
					 figures->candidate, figures->images, figures->live);
	if (figures->candidate != figures->live && figures->p < 0.0001)
		appendStringInfoString(&verdict->text, ", p < 0.0001");
	else if (figures->candidate != figures->live)
		appendStringInfo(&verdict->text, ", p = %.2g", figures->p);
	if (passes && figures->candidate < figures->live && figures->p < SIGNIFICANT)
		appendStringInfoString(&verdict->text, ", within the margin");
	appendStringInfoChar(&verdict->text, ')');
}

static void
append_lost_digits(Verdict *verdict, const bool lost[NN_CLASSES], int count)
{
	const char *separator = count == 1 ? "digit " : "digits ";

	append_words(verdict, "worse", "than", true);
	for (int c = 0; c < NN_CLASSES; c++)
		if (lost[c])
		{
			appendStringInfo(&verdict->text, "%s%d", separator, c);
			separator = ", ";
		}
}

/* The comparison in words; all its figures go into the JSON.  *passed: whether the candidate passes. */
static char *
weigh(const TrainingComparison comparison[TRAINING_NSETS], int live_version, Json *json, bool *passed)
{
	Figures validation = figures_of(&comparison[TRAINING_SET_VALIDATION], 0, NN_CLASSES);
	Figures held_out = figures_of(&comparison[TRAINING_SET_HELD_OUT], 0, NN_CLASSES);
	Figures test = figures_of(&comparison[TRAINING_SET_TEST], 0, NN_CLASSES);
	int64 margin = margin_of(validation.images, VALIDATION_MARGIN, VALIDATION_MARGIN_IMAGES);
	bool validation_passes = validation.candidate + margin >= validation.live;
	bool held_out_passes = held_out.candidate > held_out.live ||
						   (held_out.candidate == held_out.live && equal_will_do(&held_out, &validation));
	bool validation_first = significantly_better(&validation) && !significantly_better(&held_out);
	bool lost[NN_CLASSES];
	int nlost = weigh_digits(&comparison[TRAINING_SET_VALIDATION], lost, json);
	Verdict verdict = {.live_version = live_version};

	*passed = validation_passes && nlost == 0 && held_out_passes;
	initStringInfo(&verdict.text);
	if (!validation_passes)
		append_set(&verdict, "validation images", &validation, false);
	if (nlost > 0)
		append_lost_digits(&verdict, lost, nlost);
	if (!held_out_passes)
		append_set(&verdict, "held-out feedback", &held_out, false);
	/* What got better comes first. */
	if (validation_passes && validation_first)
		append_set(&verdict, "validation images", &validation, true);
	if (held_out_passes && held_out.images > 0)
		append_set(&verdict, "held-out feedback", &held_out, true);
	if (validation_passes && !validation_first)
		append_set(&verdict, "validation images", &validation, true);
	if (held_out.images == 0)
		appendStringInfoString(&verdict.text, ", no held-out feedback");

	write_set(json, "validation", &validation);
	write_set(json, "feedback", &held_out);
	write_set(json, "test", &test);
	json_double(json, "validation_margin", VALIDATION_MARGIN);
	json_int(json, "validation_margin_images", margin);
	json_double(json, "digit_floor", DIGIT_FLOOR);
	json_double(json, "significant", SIGNIFICANT);
	json_int(json, "min_held_out", MIN_HELD_OUT);
	json_int(json, "min_to_gain", MIN_TO_GAIN);
	return verdict.text.data;
}

char *
gate_decide(const Hyperparameters *hyper, const TrainingOrders *orders, int live_version,
			const TrainingComparison comparison[TRAINING_NSETS], TrainingOutcome *outcome)
{
	Json json;
	bool passed;
	char *words;

	json_begin(&json);
	words = weigh(comparison, live_version, &json, &passed);
	json_int(&json, "live_version", live_version);
	json_bool(&json, "passed", passed);

	outcome->decision = !passed					   ? TRAINING_REJECTED
						: !hyper->promote		   ? TRAINING_NOT_PROMOTED
						: orders->require_approval ? TRAINING_AWAITING_APPROVAL
												   : TRAINING_PROMOTED;
	snprintf(outcome->verdict, sizeof(outcome->verdict), "%s: %s",
			 outcome->decision == TRAINING_NOT_PROMOTED ? "passed, not to be promoted"
														: training_decision_name(outcome->decision),
			 words);
	return json_end(&json);
}

/* mnist_mcnemar(live_only bigint, candidate_only bigint) RETURNS double precision: see mcnemar_p. */
Datum
mnist_mcnemar(PG_FUNCTION_ARGS)
{
	int64 live_only = PG_GETARG_INT64(0);
	int64 candidate_only = PG_GETARG_INT64(1);

	if (live_only < 0 || candidate_only < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("number of images must not be negative")));
	PG_RETURN_FLOAT8(mcnemar_p(live_only, candidate_only));
}
