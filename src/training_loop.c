/*
 * training_loop.c: the steps of training, and reading whole sets, each process its part.
 *
 * A step.  Each process draws its share of the mini-batch from its share of the samples, distorts the images,
 * and runs the network forward and backward into a gradient of its own in shared memory.  At a meeting all
 * gradients are there: each process then steps its slice of the values by the sum of all gradients, taken in
 * the order of ranks, and its slice of the average.  At the next one all values are there.
 *
 * Everything drawn at random comes from a key made of the seed, the step and the rank, and all sums have a
 * fixed order: the same seed, data and number of processes give the same weights, bit for bit.
 *
 * A batch is part base data, part feedback (see plan_steps in training_fit.c for the shares).  In fine-tuning
 * the target of a base image is its label blended with what the live model says of the very same distorted
 * image: what the model knows is distilled into its successor (Li and Hoiem 2017, after Hinton, Vinyals and
 * Dean 2015), while feedback counts by its label.
 */
#include "training.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "nn/rng.h"

#define ADAM_EPSILON 1e-8f
#define DIVERGED_LOSS 1e4	   /* guessing has 2.3; nothing comes back from here, or from NaN */
#define EVALUATE_CHUNK 64	   /* images read between two looks at interrupts */
#define CALIBRATE_IMAGES 16384 /* over all processes */

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

typedef struct TrainingLoop
{
	int share; /* this process's images of each batch */
	NnTrainer *trainer;
	Deck base;
	Deck feedback;
	float *images;		   /* (share, 784) */
	float *targets;		   /* (share, 10) */
	float *weights;		   /* (share) */
	uint8 *teacher_pixels; /* (share, 784) */
	float *teacher;		   /* (share, 10): what the live model says */
	NnPlan *live_plan;
	void *live_scratch; /* for max(share, EVALUATE_CHUNK) images */
	NnPlan *plan;		/* of the vector being evaluated */
} TrainingLoop;

/* Images of each batch that fall to a process. */
static int
batch_share(const TrainingOptions *options, int rank, int nprocesses)
{
	return options->batch_size / nprocesses + (rank < options->batch_size % nprocesses ? 1 : 0);
}

Size
training_loop_bytes(const TrainingOptions *options, const NnNet *net, const NnNet *live_net, int nprocesses)
{
	int share = batch_share(options, 0, nprocesses);
	Size per_image = NN_PIXELS * (sizeof(float) + 1) + (2 * NN_CLASSES + 1) * sizeof(float);

	return add_size(add_size(nn_trainer_size(net, share), mul_size(per_image, share)),
					add_size(nn_plan_size(net), nn_plan_size(live_net)));
}

/* Memory for the network library: aligned, and more than a gigabyte if need be. */
static void *
allocate(Size size)
{
	return (void *) TYPEALIGN(NN_ALIGN, MemoryContextAllocHuge(CurrentMemoryContext, add_size(size, NN_ALIGN)));
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

/* Draw the next image, shuffling first (Fisher and Yates) where all have been drawn; an error if there is none. */
static uint32
deck_draw(Deck *deck)
{
	if (deck->next == deck->n)
	{
		NnRng rng = nn_rng(nn_key(deck->key, deck->pass++));

		if (deck->n == 0)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("a training process has no images to train on"),
							errhint("Import more base data, or decrease mnist_hil.training_workers.")));
		for (uint32 i = deck->n - 1; i > 0; i--)
		{
			uint32 j = nn_rng_below(&rng, i + 1);
			uint32 swap = deck->order[i];

			deck->order[i] = deck->order[j];
			deck->order[j] = swap;
		}
		deck->next = 0;
	}
	return deck->order[deck->next++];
}

/* A key of this run's, for a purpose. */
static uint64
run_key(const TrainingCrew *crew, int purpose)
{
	return nn_key(nn_key((uint64) crew->shared->options.seed, (uint64) purpose), (uint64) crew->rank);
}

int
training_loop_held_back(const TrainingCrew *crew, int64 feedback)
{
	return crew->shared->hold_back ? (int) (feedback / 5) : 0;
}

void
training_loop_init(TrainingCrew *crew)
{
	const TrainingShared *shared = crew->shared;
	MemoryContext oldcontext = MemoryContextSwitchTo(crew->fit_context);
	TrainingLoop *loop = palloc0(sizeof(TrainingLoop));
	int share = batch_share(&shared->options, crew->rank, shared->nprocesses);
	int feedback = crew->data->sets[TRAINING_SET_FEEDBACK].n;

	loop->share = share;
	loop->trainer = nn_trainer_init(allocate(nn_trainer_size(&crew->net, share)), &crew->net, share);
	deck_init(&loop->base, crew->data->sets[TRAINING_SET_TRAIN].n, run_key(crew, KEY_DECK_BASE));
	deck_init(&loop->feedback, feedback - training_loop_held_back(crew, feedback), run_key(crew, KEY_DECK_FEEDBACK));
	loop->images = allocate(sizeof(float) * NN_PIXELS * share);
	loop->targets = allocate(sizeof(float) * NN_CLASSES * share);
	loop->weights = allocate(sizeof(float) * share);
	loop->teacher_pixels = allocate(NN_PIXELS * share);
	loop->teacher = allocate(sizeof(float) * NN_CLASSES * share);
	for (int i = 0; i < share; i++)
		loop->weights[i] = 1.0f / (float) shared->options.batch_size;
	loop->live_plan = allocate(nn_plan_size(&crew->live_net));
	nn_plan_build(loop->live_plan, &crew->live_net, training_crew_vector(crew, TRAINING_LIVE));
	loop->live_scratch = allocate(nn_scratch_size(loop->live_plan, Max(share, EVALUATE_CHUNK)));
	loop->plan = allocate(nn_plan_size(&crew->net));
	crew->loop = loop;
	MemoryContextSwitchTo(oldcontext);
}

float
training_loop_learning_rate(const TrainingOptions *options, int64 step, int64 all_steps)
{
	return options->learning_rate * nn_one_cycle(step, all_steps, options->warmup);
}

/* How many of this process's images of a step are feedback: on average its part of the share. */
static int
feedback_in_step(const TrainingCrew *crew, int64 step)
{
	double per_step = crew->shared->feedback_share * crew->loop->share;

	if (crew->loop->feedback.n == 0)
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

/* Blend the live model's reading of base images [from, to) of the batch into their targets. */
static void
distill(TrainingCrew *crew, int from, int to)
{
	TrainingLoop *loop = crew->loop;
	float weight = crew->shared->options.distillation;

	for (int i = from * NN_PIXELS; i < to * NN_PIXELS; i++)
		loop->teacher_pixels[i] = (uint8) (loop->images[i] * 255.0f + 0.5f);
	nn_forward(loop->live_plan, loop->teacher_pixels + from * NN_PIXELS, to - from, loop->teacher + from * NN_CLASSES,
			   loop->live_scratch);
	for (int i = from * NN_CLASSES; i < to * NN_CLASSES; i++)
		loop->targets[i] += weight * (loop->teacher[i] - loop->targets[i]);
}

/* Fill in this process's share of a step's batch: feedback, then base images as they are, then distorted ones. */
static NnBatch
make_batch(TrainingCrew *crew, int64 step)
{
	TrainingLoop *loop = crew->loop;
	const TrainingOptions *options = &crew->shared->options;
	int nfeedback = feedback_in_step(crew, step);
	int ndistorted = (int) ((1.0f - options->plain_share) * (float) (loop->share - nfeedback));
	uint64 key = nn_key(run_key(crew, KEY_AUGMENT), (uint64) step);

	for (int i = 0; i < loop->share; i++)
	{
		const TrainingSet *set = &crew->data->sets[i < nfeedback ? TRAINING_SET_FEEDBACK : TRAINING_SET_TRAIN];
		uint32 image = deck_draw(i < nfeedback ? &loop->feedback : &loop->base);
		bool plain = i >= nfeedback && i < loop->share - ndistorted;

		nn_augment(loop->images + (Size) i * NN_PIXELS, set->pixels + (Size) image * NN_PIXELS,
				   plain ? NULL : &options->augment, nn_key(key, (uint64) i));
		loop->weights[i] = (set->weights != NULL ? set->weights[image] : 1.0f) / (float) options->batch_size;
		label_target(loop->targets + (Size) i * NN_CLASSES, set->labels[image], options->label_smoothing);
	}
	if (options->distillation > 0 && nfeedback < loop->share)
		distill(crew, nfeedback, loop->share);
	return (NnBatch){
		.n = loop->share,
		.images = loop->images,
		.targets = loop->targets,
		.weights = loop->weights,
		.frozen = options->frozen_stats,
		.seed = nn_key(run_key(crew, KEY_DROPOUT), (uint64) step),
	};
}

/* Step this process's slice of the values and of their average. */
static void
apply_gradients(TrainingCrew *crew, int64 step)
{
	const TrainingShared *shared = crew->shared;
	const TrainingOptions *options = &shared->options;
	const float *gradients[TRAINING_MAX_PROCESSES];
	float *values = training_crew_vector(crew, TRAINING_VALUES);
	Size slice = TYPEALIGN(16, (crew->net.nvalues + shared->nprocesses - 1) / shared->nprocesses);
	Size from = Min(slice * crew->rank, crew->net.nvalues);
	Size to = Min(from + slice, crew->net.nvalues);
	NnAdam adam = {
		.learning_rate = training_loop_learning_rate(options, step, shared->all_steps),
		.beta1 = options->beta1,
		.beta2 = options->beta2,
		.epsilon = ADAM_EPSILON,
		.weight_decay = options->weight_decay,
		.stats_momentum = options->stats_momentum,
		.step = step + 1,
	};

	for (int rank = 0; rank < shared->nprocesses; rank++)
		gradients[rank] = training_crew_vector(crew, TRAINING_GRADIENTS + rank);
	nn_adam_step(&crew->net, values, training_crew_vector(crew, TRAINING_MOMENT1),
				 training_crew_vector(crew, TRAINING_MOMENT2), gradients, shared->nprocesses, from, to, &adam);
	/* the average forgets its beginning faster than its decay would have it */
	nn_average_step(training_crew_vector(crew, TRAINING_AVERAGE), values,
					Min(options->average_decay, (float) (step + 1) / (float) (step + 10)), from, to);
}

/* The step's loss over all processes; one that has left all bounds ends the fit. */
static TrainingScore
step_score(const TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	TrainingScore sum = {0};

	for (int rank = 0; rank < shared->nprocesses; rank++)
	{
		const TrainingScore *score = &shared->slots[rank].step;

		sum.images += score->images;
		sum.correct += score->correct;
		sum.loss += score->loss;
	}
	shared->diverged_loss = sum.loss / (double) sum.images;
	shared->diverged = !(shared->diverged_loss < DIVERGED_LOSS);
	return sum;
}

void
training_loop_steps(TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	int64 first = shared->first_step;
	int64 end = first + shared->nsteps;

	for (int64 step = first; step < end && !shared->diverged; step++)
	{
		NnBatch batch = make_batch(crew, step);
		NnLoss loss = nn_train_step(crew->loop->trainer, training_crew_vector(crew, TRAINING_VALUES),
									training_crew_vector(crew, TRAINING_GRADIENTS + crew->rank), &batch);
		TrainingScore score;

		shared->slots[crew->rank].step = (TrainingScore){
			.images = batch.n, .correct = loss.correct, .loss = loss.loss * shared->options.batch_size};
		CHECK_FOR_INTERRUPTS();
		training_crew_wait(crew); /* all gradients are there */
		if (crew->rank == 0)
			score = step_score(crew);
		apply_gradients(crew, step);
		training_crew_wait(crew); /* all values are there */
		if (crew->rank == 0 && !shared->diverged)
			crew->hook(crew->hook_context, step, &score);
	}
}

/* From all processes' sums: the mean of the means, and the mean of the squares less its square. */
static void
combine_statistics(TrainingCrew *crew, float *values)
{
	int nprocesses = crew->shared->nprocesses;

	for (int l = 0; l < crew->net.nlayers; l++)
	{
		const NnLayer *layer = &crew->net.layers[l];

		for (int c = 0; layer->kind == NN_BATCHNORM && c < layer->out_c; c++)
		{
			double mean = 0;
			double square = 0;

			for (int rank = 0; rank < nprocesses; rank++)
			{
				const float *sums = training_crew_vector(crew, TRAINING_GRADIENTS + rank);

				mean += sums[layer->mean + c] / (double) nprocesses;
				square += sums[layer->var + c] / (double) nprocesses;
			}
			values[layer->mean + c] = (float) mean;
			values[layer->var + c] = (float) Max(square - mean * mean, 0.0);
		}
	}
}

/*
 * Batch norm's running statistics come from distorted images with dropout, which shifts them a little; the model will
 * meet neither.  So at the end they are taken anew over plain images (Wu and Johnson 2021): each process sums up the
 * mean and the mean square of each channel over its images into its gradient's tail, and the trainer puts the sums
 * together.
 */
void
training_loop_calibrate(TrainingCrew *crew)
{
	const TrainingShared *shared = crew->shared;
	TrainingLoop *loop = crew->loop;
	const TrainingSet *set = &crew->data->sets[TRAINING_SET_TRAIN];
	float *average = training_crew_vector(crew, TRAINING_AVERAGE);
	float *grads = training_crew_vector(crew, TRAINING_GRADIENTS + crew->rank);
	int nbatches = CALIBRATE_IMAGES / shared->options.batch_size + 1;
	Size first = crew->net.nparams;
	Size nstats = crew->net.nvalues - first;
	double *sums = palloc0(sizeof(double) * Max(nstats, 1));
	NnBatch batch = {.n = loop->share, .images = loop->images, .keep_all = true};

	for (int b = 0; b < nbatches; b++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < loop->share; i++)
			nn_augment(loop->images + (Size) i * NN_PIXELS, set->pixels + (Size) deck_draw(&loop->base) * NN_PIXELS,
					   NULL, 0);
		nn_train_statistics(loop->trainer, average, grads, &batch);
		for (Size i = 0; i < nstats; i++)
			sums[i] += grads[first + i];
		/* the variance of all images is that within the batches and that of their means */
		for (int l = 0; l < crew->net.nlayers; l++)
		{
			const NnLayer *layer = &crew->net.layers[l];

			for (int c = 0; layer->kind == NN_BATCHNORM && c < layer->out_c; c++)
				sums[layer->var - first + c] += (double) grads[layer->mean + c] * grads[layer->mean + c];
		}
	}
	for (Size i = 0; i < nstats; i++)
		grads[first + i] = (float) (sums[i] / nbatches);
	pfree(sums);
	training_crew_wait(crew); /* all sums are there */
	if (crew->rank == 0)
		combine_statistics(crew, average);
}

/* The digit that probabilities speak for. */
static int
best_class(const float *probabilities)
{
	int best = 0;

	for (int c = 1; c < NN_CLASSES; c++)
		if (probabilities[c] > probabilities[best])
			best = c;
	return best;
}

/* Read a set with a plan. */
static TrainingScore
read_set(const TrainingSet *set, const NnPlan *plan, void *scratch)
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

			score.correct += best_class(p) == label;
			score.loss -= log(Max((double) p[label], 1e-12));
		}
	}
	return score;
}

/* Read a set with the candidate's plan and with the live model's. */
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
			bool candidate_right = best_class(candidate + i * NN_CLASSES) == label;
			bool live_right = best_class(live + i * NN_CLASSES) == label;

			sum->images[label]++;
			sum->candidate[label] += candidate_right;
			sum->live[label] += live_right;
			sum->candidate_only[label] += candidate_right && !live_right;
			sum->live_only[label] += live_right && !candidate_right;
		}
	}
}

/* A label that the live model agrees with. */
typedef struct Agreement
{
	float live_own;
	uint32 image;
} Agreement;

/* The ones that the live model is least sure of first. */
static int
compare_agreements(const void *a, const void *b)
{
	const Agreement *left = a;
	const Agreement *right = b;

	if (left->live_own != right->live_own)
		return left->live_own < right->live_own ? -1 : 1;
	return left->image < right->image ? -1 : 1;
}

/* Which fold one of a process's images is in. */
static int
fold_of(int image)
{
	return image % TRAINING_FOLDS;
}

/*
 * The deck is from here on what the feedback outside the fold corrects, and as many labels that the live model agrees
 * with: those that it is least sure of.  More of them would teach nothing, but take room from the corrections.
 */
void
training_loop_fold(TrainingCrew *crew)
{
	TrainingLoop *loop = crew->loop;
	const TrainingOpinion *opinions = training_crew_opinions(crew, crew->rank);
	int n = crew->data->sets[TRAINING_SET_FEEDBACK].n;
	int fold = crew->shared->fold;
	Agreement *agreements = MemoryContextAllocHuge(CurrentMemoryContext, mul_size(sizeof(Agreement), Max(n, 1)));
	uint32 nagreements = 0;
	uint32 kept = 0;
	uint32 corrections;

	/* the room for all of them stays; a deck of other images, in an order of its own */
	for (int i = 0; i < n; i++)
	{
		if (fold_of(i) == fold)
			continue;
		if (opinions[i].live_label != opinions[i].label)
			loop->feedback.order[kept++] = (uint32) i;
		else
			agreements[nagreements++] = (Agreement){.live_own = opinions[i].live_own, .image = (uint32) i};
	}
	corrections = kept;
	qsort(agreements, nagreements, sizeof(Agreement), compare_agreements);
	for (uint32 i = 0; i < Min(nagreements, corrections); i++)
		loop->feedback.order[kept++] = agreements[i].image;
	pfree(agreements);
	loop->feedback.n = loop->feedback.next = kept;
	loop->feedback.key = nn_key(run_key(crew, KEY_DECK_FEEDBACK), (uint64) fold);
	loop->feedback.pass = 0;
}

/* Have the live model, fold -1, or else one tuned on the other fold read a set of feedback. */
static void
opine_on(const TrainingSet *set, TrainingOpinion *opinions, int fold, const NnPlan *plan, void *scratch)
{
	float probabilities[NN_CLASSES];

	for (int i = 0; i < set->n; i++)
	{
		TrainingOpinion *opinion = &opinions[i];

		if (fold >= 0 && fold_of(i) != fold)
			continue;
		CHECK_FOR_INTERRUPTS();
		nn_forward(plan, set->pixels + (Size) i * NN_PIXELS, 1, probabilities, scratch);
		if (fold < 0)
		{
			opinion->feedback_id = set->ids[i];
			opinion->label = set->labels[i];
			opinion->fold = (uint8) fold_of(i);
			opinion->live_label = (uint8) best_class(probabilities);
			opinion->live_own = probabilities[opinion->label];
		}
		else
		{
			opinion->fit_own = probabilities[opinion->label];
			probabilities[opinion->label] = -1.0f;
			opinion->other_label = (uint8) best_class(probabilities);
			opinion->fit_other = probabilities[opinion->other_label];
		}
	}
}

/* Have the same model read base images of the validation split. */
static void
read_references(TrainingCrew *crew, const NnPlan *plan, void *scratch)
{
	const TrainingSet *set = &crew->data->sets[TRAINING_SET_VALIDATION];
	TrainingReference *references = training_crew_references(crew, crew->rank);
	int n = Min(set->n, training_crew_max_references(crew));

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		references[i].label = set->labels[i];
		nn_forward(plan, set->pixels + (Size) i * NN_PIXELS, 1, references[i].probabilities, scratch);
	}
	crew->shared->slots[crew->rank].references = n;
}

void
training_loop_opine(TrainingCrew *crew)
{
	TrainingLoop *loop = crew->loop;
	const TrainingSet *feedback = &crew->data->sets[TRAINING_SET_FEEDBACK];
	TrainingOpinion *opinions = training_crew_opinions(crew, crew->rank);
	int fold = crew->shared->fold;
	const NnPlan *plan = loop->live_plan;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "opinions", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	void *scratch = loop->live_scratch;

	if (fold >= 0)
	{
		nn_plan_build(loop->plan, &crew->net, training_crew_vector(crew, TRAINING_AVERAGE));
		plan = loop->plan;
		scratch = allocate(nn_scratch_size(plan, 1));
	}
	opine_on(feedback, opinions, fold, plan, scratch);
	opine_on(&crew->data->sets[TRAINING_SET_HELD_OUT], opinions + feedback->n, fold, plan, scratch);
	read_references(crew, plan, scratch);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}

void
training_loop_compare(TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	TrainingLoop *loop = crew->loop;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "comparison", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	void *scratch;

	nn_plan_build(loop->plan, &crew->net, training_crew_vector(crew, TRAINING_VALUES));
	scratch = allocate(nn_scratch_size(loop->plan, EVALUATE_CHUNK));
	for (int i = 0; i < TRAINING_NSETS; i++)
		if (shared->sets & TRAINING_SET_BIT(i))
			compare_set(&shared->slots[crew->rank].comparison[i], &crew->data->sets[i], loop->plan, scratch,
						loop->live_plan, loop->live_scratch);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}

/* The last n images of a set. */
static TrainingSet
last_images(const TrainingSet *set, int n)
{
	int first = set->n - n;

	return (TrainingSet){.n = n, .pixels = set->pixels + (Size) first * NN_PIXELS, .labels = set->labels + first};
}

void
training_loop_evaluate(TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	TrainingLoop *loop = crew->loop;
	const NnPlan *plan = loop->live_plan;
	void *scratch = loop->live_scratch;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "evaluation", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);

	if (shared->vector != TRAINING_LIVE)
	{
		nn_plan_build(loop->plan, &crew->net, training_crew_vector(crew, shared->vector));
		plan = loop->plan;
		scratch = allocate(nn_scratch_size(plan, EVALUATE_CHUNK));
	}
	for (int i = 0; i < TRAINING_NSETS; i++)
		if (shared->sets & TRAINING_SET_BIT(i))
		{
			TrainingSet set = crew->data->sets[i];

			/* of the feedback, a trial's judges are what it was not trained on */
			if (i == TRAINING_SET_FEEDBACK && shared->hold_back)
				set = last_images(&set, training_loop_held_back(crew, set.n));
			shared->slots[crew->rank].scores.sets[i] = read_set(&set, plan, scratch);
		}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}
