/*
 * steps.c: the steps of training, one process's part of them.
 *
 * A step.  Each process draws its part of the mini-batch from its part of the samples, augments the images, and runs
 * the network forward and backward into a gradient of its own in shared memory.  After a barrier all gradients are
 * complete.  Each process then updates its slice of the values by the sum of all gradients, taken in the order of
 * ranks, and its slice of the average.  After a second barrier all values are complete.
 *
 * Everything drawn at random comes from a key made of the seed, the step and the rank, and all sums have a fixed
 * order.  So the same seed, data and number of processes give the same weights, bit for bit.
 *
 * A batch is part base data, part feedback (see plan_steps in fit.c for the fractions).  In fine-tuning the target of
 * a base image is a blend of its label and the live model's prediction for the same augmented image.  This distils
 * what the live model knows into its successor (Li and Hoiem 2017, after Hinton, Vinyals and Dean 2015).  The target
 * of a feedback image is its label alone.
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "nn/infer/forward.h"
#include "nn/train/batch.h"
#include "nn/train/optimizer.h"
#include "nn/train/train.h"
#include "pg/memory.h"
#include "train/steps.h"
#include "util/rng.h"

#define ADAM_EPSILON 1e-8f
#define DIVERGED_LOSS 1e4 /* guessing gives 2.3; training recovers neither from this nor from NaN */

/* What a key is for. */
enum
{
	KEY_DECK_BASE,
	KEY_DECK_FEEDBACK,
	KEY_AUGMENT,
	KEY_DROPOUT
};

/* The images of a set in shuffled order, shuffled again each time all have been drawn. */
typedef struct Deck
{
	uint32 *order;
	uint32 n;
	uint32 next;
	uint64 key;
	uint64 pass;
} Deck;

typedef struct Steps
{
	int share; /* this process's images of each batch */
	NnTrainer *trainer;
	Deck base;
	Deck feedback;
	float *images;		   /* (share, 784) */
	float *targets;		   /* (share, 10) */
	float *weights;		   /* (share) */
	uint8 *teacher_pixels; /* (share, 784) */
	float *teacher;		   /* (share, 10): what the live model predicts */
	NnPlan *live_plan;
	void *live_scratch; /* for max(share, EVALUATE_CHUNK) images */
	NnPlan *plan;		/* of the vector being evaluated */
} Steps;

/* Images of each batch that fall to a process. */
static int
batch_share(const Hyperparameters *hyper, int rank, int nprocesses)
{
	return hyper->batch_size / nprocesses + (rank < hyper->batch_size % nprocesses ? 1 : 0);
}

Size
steps_bytes(const Hyperparameters *hyper, const NnNet *net, const NnNet *live_net, int nprocesses)
{
	int share = batch_share(hyper, 0, nprocesses);
	Size per_image = NN_PIXELS * (sizeof(float) + 1) + (2 * NN_CLASSES + 1) * sizeof(float);

	return add_size(add_size(nn_trainer_size(net, share), mul_size(per_image, share)),
					add_size(nn_plan_size(net), nn_plan_size(live_net)));
}

static void
deck_init(Deck *deck, int n, uint64 key)
{
	deck->order = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(sizeof(uint32), Max(n, 1)));
	deck->n = (uint32) n;
	deck->next = deck->n;
	deck->key = key;
	deck->pass = 0;
	for (uint32 i = 0; i < deck->n; i++)
		deck->order[i] = i;
}

/* Draw the next image; shuffle first (Fisher and Yates) if all have been drawn.  It is an error if there is none. */
static uint32
deck_draw(Deck *deck)
{
	if (deck->next == deck->n)
	{
		Rng rng = rng_start(rng_key(deck->key, deck->pass++));

		if (deck->n == 0)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("a training process has no images to train on"),
							errhint("Import more base data, or decrease mnist_hil.training_workers.")));
		for (uint32 i = deck->n - 1; i > 0; i--)
		{
			uint32 j = rng_below(&rng, i + 1);
			uint32 swap = deck->order[i];

			deck->order[i] = deck->order[j];
			deck->order[j] = swap;
		}
		deck->next = 0;
	}
	return deck->order[deck->next++];
}

/* A key of this run and this process, for a purpose. */
static uint64
run_key(const Workers *workers, int purpose)
{
	return rng_key(rng_key((uint64) workers->shared->hyper.seed, (uint64) purpose), (uint64) workers->rank);
}

int
steps_trial_feedback(const Workers *workers, int64 feedback)
{
	return workers->shared->is_trial ? (int) (feedback / 5) : 0;
}

void
steps_init(Workers *workers)
{
	const TrainingShared *shared = workers->shared;
	MemoryContext oldcontext = MemoryContextSwitchTo(workers->fit_context);
	Steps *steps = palloc0(sizeof(Steps));
	int share = batch_share(&shared->hyper, workers->rank, shared->nprocesses);
	int feedback = workers->data->sets[TRAINING_SET_FEEDBACK].n;

	steps->share = share;
	steps->trainer =
		nn_trainer_init(nn_alloc(CurrentMemoryContext, nn_trainer_size(&workers->net, share)), &workers->net, share);
	deck_init(&steps->base, workers->data->sets[TRAINING_SET_TRAIN].n, run_key(workers, KEY_DECK_BASE));
	deck_init(&steps->feedback, feedback - steps_trial_feedback(workers, feedback),
			  run_key(workers, KEY_DECK_FEEDBACK));
	steps->images = nn_alloc(CurrentMemoryContext, sizeof(float) * NN_PIXELS * share);
	steps->targets = nn_alloc(CurrentMemoryContext, sizeof(float) * NN_CLASSES * share);
	steps->weights = nn_alloc(CurrentMemoryContext, sizeof(float) * share);
	steps->teacher_pixels = nn_alloc(CurrentMemoryContext, NN_PIXELS * share);
	steps->teacher = nn_alloc(CurrentMemoryContext, sizeof(float) * NN_CLASSES * share);
	for (int i = 0; i < share; i++)
		steps->weights[i] = 1.0f / (float) shared->hyper.batch_size;
	steps->live_plan = nn_alloc(CurrentMemoryContext, nn_plan_size(&workers->live_net));
	nn_plan_build(steps->live_plan, &workers->live_net, workers_vector(workers, TRAINING_LIVE));
	steps->live_scratch =
		nn_alloc(CurrentMemoryContext, nn_scratch_size(steps->live_plan, Max(share, EVALUATE_CHUNK)));
	steps->plan = nn_alloc(CurrentMemoryContext, nn_plan_size(&workers->net));
	workers->steps = steps;
	MemoryContextSwitchTo(oldcontext);
}

void
steps_begin(const Workers *workers)
{
	Size bytes = workers->net.nvalues * sizeof(float);

	memcpy(workers_vector(workers, TRAINING_AVERAGE), workers_vector(workers, TRAINING_VALUES), bytes);
	memset(workers_vector(workers, TRAINING_MOMENT1), 0, bytes);
	memset(workers_vector(workers, TRAINING_MOMENT2), 0, bytes);
}

float
steps_learning_rate(const Hyperparameters *hyper, int64 step, int64 all_steps)
{
	return hyper->learning_rate * nn_one_cycle(step, all_steps, hyper->warmup);
}

/* How many of this process's images of a step are feedback: on average, the fraction feedback_share. */
static int
feedback_in_step(const Workers *workers, int64 step)
{
	double per_step = workers->shared->feedback_share * workers->steps->share;

	if (workers->steps->feedback.n == 0)
		return 0;
	return (int) (floor((double) (step + 1) * per_step) - floor((double) step * per_step));
}

/* The targets of a label, smoothed (Szegedy et al. 2016). */
static void
label_target(float *target, int label, float smoothing)
{
	for (int i = 0; i < NN_CLASSES; i++)
		target[i] = smoothing / NN_CLASSES + (i == label ? 1.0f - smoothing : 0.0f);
}

/* Blend the live model's prediction for base images [from, to) of the batch into their targets. */
static void
distill(Workers *workers, int from, int to)
{
	Steps *steps = workers->steps;
	float weight = workers->shared->hyper.distillation;

	for (int i = from * NN_PIXELS; i < to * NN_PIXELS; i++)
		steps->teacher_pixels[i] = (uint8) (steps->images[i] * 255.0f + 0.5f);
	nn_forward(steps->live_plan, steps->teacher_pixels + from * NN_PIXELS, to - from,
			   steps->teacher + from * NN_CLASSES, steps->live_scratch);
	for (int i = from * NN_CLASSES; i < to * NN_CLASSES; i++)
		steps->targets[i] += weight * (steps->teacher[i] - steps->targets[i]);
}

/* Fill in this process's part of a step's batch: augmented feedback, plain base images, augmented base images. */
static NnBatch
make_batch(Workers *workers, int64 step)
{
	Steps *steps = workers->steps;
	const Hyperparameters *hyper = &workers->shared->hyper;
	int nfeedback = feedback_in_step(workers, step);
	int naugmented = (int) ((1.0f - hyper->plain_share) * (float) (steps->share - nfeedback));
	uint64 key = rng_key(run_key(workers, KEY_AUGMENT), (uint64) step);

	for (int i = 0; i < steps->share; i++)
	{
		const TrainingSet *set = &workers->data->sets[i < nfeedback ? TRAINING_SET_FEEDBACK : TRAINING_SET_TRAIN];
		uint32 image = deck_draw(i < nfeedback ? &steps->feedback : &steps->base);
		bool plain = i >= nfeedback && i < steps->share - naugmented;

		nn_augment(steps->images + (Size) i * NN_PIXELS, set->pixels + (Size) image * NN_PIXELS,
				   plain ? NULL : &hyper->augment, rng_key(key, (uint64) i));
		steps->weights[i] = (set->weights != NULL ? set->weights[image] : 1.0f) / (float) hyper->batch_size;
		label_target(steps->targets + (Size) i * NN_CLASSES, set->labels[image], hyper->label_smoothing);
	}
	if (hyper->distillation > 0 && nfeedback < steps->share)
		distill(workers, nfeedback, steps->share);
	return (NnBatch){
		.n = steps->share,
		.images = steps->images,
		.targets = steps->targets,
		.weights = steps->weights,
		.frozen = hyper->frozen_stats,
		.seed = rng_key(run_key(workers, KEY_DROPOUT), (uint64) step),
	};
}

/* Update this process's slice of the values and of their average. */
static void
apply_gradients(Workers *workers, int64 step)
{
	const TrainingShared *shared = workers->shared;
	const Hyperparameters *hyper = &shared->hyper;
	const float *gradients[TRAINING_MAX_PROCESSES];
	float *values = workers_vector(workers, TRAINING_VALUES);
	Size slice = TYPEALIGN(16, (workers->net.nvalues + shared->nprocesses - 1) / shared->nprocesses);
	Size from = Min(slice * workers->rank, workers->net.nvalues);
	Size to = Min(from + slice, workers->net.nvalues);
	NnAdam adam = {
		.learning_rate = steps_learning_rate(hyper, step, shared->all_steps),
		.beta1 = hyper->beta1,
		.beta2 = hyper->beta2,
		.epsilon = ADAM_EPSILON,
		.weight_decay = hyper->weight_decay,
		.stats_momentum = hyper->stats_momentum,
		.step = step + 1,
	};

	for (int rank = 0; rank < shared->nprocesses; rank++)
		gradients[rank] = workers_vector(workers, TRAINING_GRADIENTS + rank);
	nn_adam_step(&workers->net, values, workers_vector(workers, TRAINING_MOMENT1),
				 workers_vector(workers, TRAINING_MOMENT2), gradients, shared->nprocesses, from, to, &adam);
	/* a smaller decay in the first steps: the average soon forgets the values at the start */
	nn_average_step(workers_vector(workers, TRAINING_AVERAGE), values,
					Min(hyper->average_decay, (float) (step + 1) / (float) (step + 10)), from, to);
}

/* The step's score over all processes.  If the loss is out of bounds, the fit has diverged and ends. */
static TrainingScore
step_score(const Workers *workers)
{
	TrainingShared *shared = workers->shared;
	TrainingScore sum = {0};

	for (int rank = 0; rank < shared->nprocesses; rank++)
		training_score_add(&sum, &shared->slots[rank].step);
	shared->diverged_loss = sum.loss / (double) sum.images;
	shared->diverged = !(shared->diverged_loss < DIVERGED_LOSS);
	return sum;
}

void
steps_run(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	int64 first = shared->first_step;
	int64 end = first + shared->nsteps;

	for (int64 step = first; step < end && !shared->diverged; step++)
	{
		NnBatch batch = make_batch(workers, step);
		NnLoss loss = nn_train_step(workers->steps->trainer, workers_vector(workers, TRAINING_VALUES),
									workers_vector(workers, TRAINING_GRADIENTS + workers->rank), &batch);
		TrainingScore score;

		shared->slots[workers->rank].step =
			(TrainingScore){.images = batch.n, .correct = loss.correct, .loss = loss.loss * shared->hyper.batch_size};
		CHECK_FOR_INTERRUPTS();
		workers_barrier(workers); /* all gradients are there */
		if (workers->rank == 0)
			score = step_score(workers);
		apply_gradients(workers, step);
		workers_barrier(workers); /* all values are there */
		if (workers->rank == 0 && !shared->diverged)
			workers->hook(workers->hook_context, step, &score);
	}
}

/* Combine all sums: the mean of the means, and, as variance, the mean of the squares less the mean's square. */
static void
combine_statistics(Workers *workers, float *values)
{
	int nprocesses = workers->shared->nprocesses;

	for (int l = 0; l < workers->net.nlayers; l++)
	{
		const NnLayer *layer = &workers->net.layers[l];

		for (int c = 0; layer->kind == NN_BATCHNORM && c < layer->out_c; c++)
		{
			double mean = 0;
			double square = 0;

			for (int rank = 0; rank < nprocesses; rank++)
			{
				const float *sums = workers_vector(workers, TRAINING_GRADIENTS + rank);

				mean += sums[layer->mean + c] / (double) nprocesses;
				square += sums[layer->var + c] / (double) nprocesses;
			}
			values[layer->mean + c] = (float) mean;
			values[layer->var + c] = (float) Max(square - mean * mean, 0.0);
		}
	}
}

/*
 * During training, batch norm's running statistics come from augmented images and dropout, which shift them a little.
 * Predictions have neither.  So at the end the statistics are computed again from plain images (Wu and Johnson 2021).
 * Each process puts the mean and the mean square of each channel, averaged over its batches, into the tail of its
 * gradient, and the trainer combines them.  Without batch norm there is nothing to do.
 */
void
steps_calibrate(Workers *workers)
{
	const TrainingShared *shared = workers->shared;
	Steps *steps = workers->steps;
	const TrainingSet *set = &workers->data->sets[TRAINING_SET_TRAIN];
	float *average = workers_vector(workers, TRAINING_AVERAGE);
	float *grads = workers_vector(workers, TRAINING_GRADIENTS + workers->rank);
	int nbatches = STEPS_CALIBRATE_IMAGES / shared->hyper.batch_size + 1;
	Size first = workers->net.nparams;
	Size nstats = workers->net.nvalues - first;
	double *sums;
	NnBatch batch = {.n = steps->share, .images = steps->images, .keep_all = true};

	if (nstats == 0)
		return;
	sums = palloc0(sizeof(double) * nstats);
	for (int b = 0; b < nbatches; b++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < steps->share; i++)
			nn_augment(steps->images + (Size) i * NN_PIXELS, set->pixels + (Size) deck_draw(&steps->base) * NN_PIXELS,
					   NULL, 0);
		nn_train_statistics(steps->trainer, average, grads, &batch);
		for (Size i = 0; i < nstats; i++)
			sums[i] += grads[first + i];
		/* the mean square is the variance plus the mean's square */
		for (int l = 0; l < workers->net.nlayers; l++)
		{
			const NnLayer *layer = &workers->net.layers[l];

			for (int c = 0; layer->kind == NN_BATCHNORM && c < layer->out_c; c++)
				sums[layer->var - first + c] += (double) grads[layer->mean + c] * grads[layer->mean + c];
		}
	}
	for (Size i = 0; i < nstats; i++)
		grads[first + i] = (float) (sums[i] / nbatches);
	workers_barrier(workers); /* all sums are there */
	if (workers->rank == 0)
		combine_statistics(workers, average);
}

/* A label that the live model agrees with. */
typedef struct Agreement
{
	float live_own;
	uint32 image;
} Agreement;

/* Order by how sure the live model is of the label, the least sure first. */
static int
compare_agreements(const void *a, const void *b)
{
	const Agreement *left = a;
	const Agreement *right = b;

	if (left->live_own != right->live_own)
		return left->live_own < right->live_own ? -1 : 1;
	return left->image < right->image ? -1 : 1;
}

/*
 * From here on the deck of feedback has the corrections outside the fold, and at most as many labels that the live
 * model agrees with: those that it is least sure of.  More of these would teach nothing and take room from the
 * corrections.
 */
void
steps_fold(Workers *workers)
{
	Steps *steps = workers->steps;
	const LabelEvidence *evidence = workers_evidence(workers, workers->rank);
	int n = workers->data->sets[TRAINING_SET_FEEDBACK].n;
	int fold = workers->shared->fold;
	Agreement *agreements = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(sizeof(Agreement), Max(n, 1)));
	uint32 nagreements = 0;
	uint32 kept = 0;
	uint32 corrections;

	/* the array keeps its size, of which the first n are drawn; the fold's key gives an order of its own */
	for (int i = 0; i < n; i++)
	{
		if (training_fold(i) == fold)
			continue;
		if (evidence[i].live_label != evidence[i].label)
			steps->feedback.order[kept++] = (uint32) i;
		else
			agreements[nagreements++] = (Agreement){.live_own = evidence[i].live_own, .image = (uint32) i};
	}
	corrections = kept;
	qsort(agreements, nagreements, sizeof(Agreement), compare_agreements);
	for (uint32 i = 0; i < Min(nagreements, corrections); i++)
		steps->feedback.order[kept++] = agreements[i].image;
	steps->feedback.n = steps->feedback.next = kept;
	steps->feedback.key = rng_key(run_key(workers, KEY_DECK_FEEDBACK), (uint64) fold);
	steps->feedback.pass = 0;
}

const NnPlan *
steps_live_plan(const Workers *workers, void **scratch)
{
	*scratch = workers->steps->live_scratch;
	return workers->steps->live_plan;
}

const NnPlan *
steps_plan(const Workers *workers, TrainingVector vector, void **scratch)
{
	NnPlan *plan = workers->steps->plan;

	nn_plan_build(plan, &workers->net, workers_vector(workers, vector));
	*scratch = nn_alloc(CurrentMemoryContext, nn_scratch_size(plan, EVALUATE_CHUNK));
	return plan;
}
