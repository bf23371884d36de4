/*
 * training_gate.c: choosing the candidate, and is it to go live?
 *
 * Candidate and live model read the same images.  The candidate passes if it reads base validation images no
 * worse than the live model, within a margin, and held-out feedback no worse.  Test images are read by both
 * and reported; nothing here looks at the result.  Held-out feedback takes no part in choosing the candidate
 * either.
 *
 * Fine-tuning ends with a look back: weights on the straight line between the live model's and the tuned ones
 * read about as well as either end, and somewhere on it most of what was learnt is there and least is lost
 * (Wortsman et al. 2022, WiSE-FT). The point is chosen on validation images and on feedback that was trained
 * on.
 */
#include "training.h"

/* The candidate may lose this share of the base validation images, for noise. */
#define VALIDATION_MARGIN 0.001

/* ... and is chosen to lose no more than this, where there is a choice. */
#define CHOICE_MARGIN 0.0005

/* How far to go from the live weights to the tuned ones: the points looked at. */
static const float blend_steps[] = {1.0f, 0.8f, 0.6f, 0.4f, 0.2f};

TrainingScores
training_gate_read(TrainingCrew *crew, TrainingVector vector, uint32 sets)
{
	TrainingScores sum = {0};

	crew->shared->vector = vector;
	crew->shared->sets = sets;
	training_crew_command(crew, TRAINING_EVALUATE);
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
		for (int i = 0; i < TRAINING_NSETS; i++)
			if (sets & TRAINING_SET_BIT(i))
			{
				const TrainingScore *score = &crew->shared->slots[rank].scores.sets[i];

				sum.sets[i].images += score->images;
				sum.sets[i].correct += score->correct;
				sum.sets[i].loss += score->loss;
			}
	return sum;
}

/* values = live + share * (average - live) */
static void
blend(TrainingCrew *crew, float share)
{
	const float *live = training_crew_vector(crew, TRAINING_LIVE);
	const float *average = training_crew_vector(crew, TRAINING_AVERAGE);
	float *values = training_crew_vector(crew, TRAINING_VALUES);

	for (Size i = 0; i < crew->net.nvalues; i++)
		values[i] = share == 1.0f ? average[i] : live[i] + share * (average[i] - live[i]);
}

/*
 * Is a blend, by its scores, to be preferred to the best one so far, which goes further?  While that one loses more
 * validation images than allowed, whichever loses fewer is; after that only one that reads more feedback.
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
choose_blend(TrainingCrew *crew)
{
	const uint32 validation = TRAINING_SET_BIT(TRAINING_SET_VALIDATION);
	const uint32 sets = validation | TRAINING_SET_BIT(TRAINING_SET_FEEDBACK);
	TrainingScores live = training_gate_read(crew, TRAINING_LIVE, validation);
	int64 allowed = live.sets[TRAINING_SET_VALIDATION].correct -
					(int64) (CHOICE_MARGIN * (double) live.sets[TRAINING_SET_VALIDATION].images);
	TrainingScores best = {0};
	float best_share = 0.0f;

	for (int i = 0; i < (int) lengthof(blend_steps); i++)
	{
		TrainingScores scores;

		blend(crew, blend_steps[i]);
		scores = training_gate_read(crew, TRAINING_VALUES, sets);
		ereport(DEBUG1, (errmsg_internal("%.1f of the way from live to tuned weights: validation %.4f, feedback %.4f",
										 blend_steps[i], training_accuracy(&scores.sets[TRAINING_SET_VALIDATION]),
										 training_accuracy(&scores.sets[TRAINING_SET_FEEDBACK]))));
		if (i == 0 || better_blend(&scores, &best, allowed))
		{
			best = scores;
			best_share = blend_steps[i];
		}
	}
	blend(crew, best_share);
}

void
training_gate_choose(TrainingCrew *crew)
{
	if (crew->shared->options.strategy == TRAINING_FINE_TUNE)
		choose_blend(crew);
	else
		blend(crew, 1.0f);
}

bool
training_gate_judge(const TrainingOptions *options, int live_version, TrainingOutcome *outcome)
{
	const TrainingScore *validation = &outcome->candidate.sets[TRAINING_SET_VALIDATION];
	const TrainingScore *live_validation = &outcome->live.sets[TRAINING_SET_VALIDATION];
	const TrainingScore *held_out = &outcome->candidate.sets[TRAINING_SET_HELD_OUT];
	const TrainingScore *live_held_out = &outcome->live.sets[TRAINING_SET_HELD_OUT];
	int64 margin = (int64) (VALIDATION_MARGIN * (double) validation->images);
	bool validation_ok = validation->correct + margin >= live_validation->correct;
	bool held_out_ok = held_out->correct >= live_held_out->correct;
	bool passed = validation_ok && held_out_ok;
	char feedback[128] = "";

	if (held_out->images > 0)
		snprintf(feedback, sizeof(feedback), ", on held-out feedback %.4f against %.4f", training_accuracy(held_out),
				 training_accuracy(live_held_out));
	snprintf(outcome->verdict, sizeof(outcome->verdict),
			 "%s: accuracy on validation images %.4f against %.4f%s of version %d",
			 !passed			? "rejected"
			 : options->promote ? "promoted"
								: "passed, not to be promoted",
			 training_accuracy(validation), training_accuracy(live_validation), feedback, live_version);
	return passed;
}
