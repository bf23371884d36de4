/*
 * evaluate.c: predicting whole sets, one process's part of them.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "train/evaluate.h"
#include "nn/infer/forward.h"
#include "train/steps.h"

/* Predict a set with a plan. */
static TrainingScore
evaluate_set(const TrainingSet *set, const NnPlan *plan, void *scratch)
{
	TrainingScore score = {.images = set->n};
	float probabilities[EVALUATE_CHUNK * NN_CLASSES];

	for (int from = 0; from < set->n; from += EVALUATE_CHUNK)
	{
		int n = Min(EVALUATE_CHUNK, set->n - from);

		CHECK_FOR_INTERRUPTS();
		nn_forward(plan, set->pixels + (Size) from * NN_PIXELS, n, probabilities, scratch);
		for (int i = 0; i < n; i++)
		{
			const float *p = probabilities + i * NN_CLASSES;
			int label = set->labels[from + i];

			score.correct += nn_best_class(p) == label;
			score.loss -= log(Max((double) p[label], 1e-12));
		}
	}
	return score;
}

/* Predict a set with the candidate's plan and with the live model's. */
static void
compare_set(TrainingComparison *sum, const TrainingSet *set, const NnPlan *plan, void *scratch,
			const NnPlan *live_plan, void *live_scratch)
{
	float candidate[EVALUATE_CHUNK * NN_CLASSES];
	float live[EVALUATE_CHUNK * NN_CLASSES];

	memset(sum, 0, sizeof(*sum));
	for (int from = 0; from < set->n; from += EVALUATE_CHUNK)
	{
		int n = Min(EVALUATE_CHUNK, set->n - from);

		CHECK_FOR_INTERRUPTS();
		nn_forward(plan, set->pixels + (Size) from * NN_PIXELS, n, candidate, scratch);
		nn_forward(live_plan, set->pixels + (Size) from * NN_PIXELS, n, live, live_scratch);
		for (int i = 0; i < n; i++)
		{
			int label = set->labels[from + i];
			bool candidate_correct = nn_best_class(candidate + i * NN_CLASSES) == label;
			bool live_correct = nn_best_class(live + i * NN_CLASSES) == label;

			sum->images[label]++;
			sum->candidate[label] += candidate_correct;
			sum->live[label] += live_correct;
			sum->candidate_only[label] += candidate_correct && !live_correct;
			sum->live_only[label] += live_correct && !candidate_correct;
		}
	}
}

/*
 * Predict a set of feedback.  With fold -1: all images, with the live model.  Else: the images of the fold, with the
 * model that was tuned on the other fold.
 */
static void
weigh_set(const TrainingSet *set, LabelEvidence *evidence, int fold, const NnPlan *plan, void *scratch)
{
	float probabilities[NN_CLASSES];

	for (int i = 0; i < set->n; i++)
	{
		LabelEvidence *label = &evidence[i];

		if (fold >= 0 && training_fold(i) != fold)
			continue;
		CHECK_FOR_INTERRUPTS();
		nn_forward(plan, set->pixels + (Size) i * NN_PIXELS, 1, probabilities, scratch);
		if (fold < 0)
		{
			label->feedback_id = set->ids[i];
			label->label = set->labels[i];
			label->fold = (uint8) training_fold(i);
			label->live_label = (uint8) nn_best_class(probabilities);
			label->live_own = probabilities[label->label];
		}
		else
		{
			label->fit_own = probabilities[label->label];
			probabilities[label->label] = -1.0f;
			label->other_label = (uint8) nn_best_class(probabilities);
			label->fit_other = probabilities[label->other_label];
		}
	}
}

/* Predict base images of the validation split with the same model. */
static void
predict_references(Workers *workers, const NnPlan *plan, void *scratch)
{
	const TrainingSet *set = &workers->data->sets[TRAINING_SET_VALIDATION];
	TrainingReference *references = workers_references(workers, workers->rank);
	int n = Min(set->n, workers_max_references(workers));

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		references[i].label = set->labels[i];
		nn_forward(plan, set->pixels + (Size) i * NN_PIXELS, 1, references[i].probabilities, scratch);
	}
	workers->shared->slots[workers->rank].references = n;
}

/* The last n images of a set. */
static TrainingSet
last_images(const TrainingSet *set, int n)
{
	int first = set->n - n;

	return (TrainingSet){.n = n, .pixels = set->pixels + (Size) first * NN_PIXELS, .labels = set->labels + first};
}

void
evaluate_sets(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	void *scratch;
	const NnPlan *plan = shared->vector == TRAINING_LIVE ? steps_live_plan(workers, &scratch)
														 : steps_plan(workers, shared->vector, &scratch);

	for (int i = 0; i < TRAINING_NSETS; i++)
		if (shared->sets & TRAINING_SET_BIT(i))
		{
			TrainingSet set = workers->data->sets[i];

			/* only the feedback that the trial was not trained on */
			if (i == TRAINING_SET_FEEDBACK && shared->is_trial)
				set = last_images(&set, steps_trial_feedback(workers, set.n));
			shared->slots[workers->rank].scores.sets[i] = evaluate_set(&set, plan, scratch);
		}
}

void
evaluate_compare(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	void *scratch;
	void *live_scratch;
	const NnPlan *plan = steps_plan(workers, TRAINING_VALUES, &scratch);
	const NnPlan *live_plan = steps_live_plan(workers, &live_scratch);

	for (int i = 0; i < TRAINING_NSETS; i++)
		if (shared->sets & TRAINING_SET_BIT(i))
			compare_set(&shared->slots[workers->rank].comparison[i], &workers->data->sets[i], plan, scratch,
						live_plan, live_scratch);
}

void
evaluate_feedback(Workers *workers)
{
	const TrainingSet *feedback = &workers->data->sets[TRAINING_SET_FEEDBACK];
	LabelEvidence *evidence = workers_evidence(workers, workers->rank);
	int fold = workers->shared->fold;
	void *scratch;
	const NnPlan *plan =
		fold < 0 ? steps_live_plan(workers, &scratch) : steps_plan(workers, TRAINING_AVERAGE, &scratch);

	weigh_set(feedback, evidence, fold, plan, scratch);
	weigh_set(&workers->data->sets[TRAINING_SET_HELD_OUT], evidence + feedback->n, fold, plan, scratch);
	predict_references(workers, plan, scratch);
}
