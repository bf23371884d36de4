/*
 * search.c: the trials of a run: what they vary, how they are made, and which is the best.
 *
 * A search makes a number of short trials, which vary the dimensions below.  The model is then trained in full with
 * the hyperparameters of the best trial.  The first trial of each architecture has its default hyperparameters, so
 * each architecture is tried with values that are known to work.  The library in src/search proposes the other
 * trials, and decides after each report whether to stop a trial.  A trial that diverges has failed, and the search
 * goes on.
 *
 * Without a search each of several architectures is a trial, trained in full with the run's hyperparameters, and the
 * weights of the best one are kept.
 *
 * Trials are compared on images that they were not trained on: validation images and, in a search, one in five of the
 * feedback images to train on.  The final training trains on this feedback, too.  Held-out feedback and test images
 * are not used here.
 *
 * With a time budget a search ends when the time left is needed to train the best trial in full, but it may use half
 * of the time in any case.  A trial that is under way then is cancelled and does not count.  Without a search each of
 * several architectures has an equal share of the time.
 *
 * Everything random in a trial follows from the run's seed, so all trials start from the same weights and see the
 * same images, as far as architecture and batch size permit.  The proposals follow from the seed and from the trials
 * on record.  So another run with the same seed and data makes the same trials, and a run that takes over the trials
 * of an interrupted one continues as that one would have.  For this, numbers in memory are rounded to those on
 * record.
 */
#include "postgres.h"

#include <math.h>

#include "storage/shmem.h"
#include "utils/memutils.h"

#include "pg/errors.h"
#include "pg/json.h"
#include "search/pruner.h"
#include "search/tpe.h"
#include "train/budget.h"
#include "train/commands.h"
#include "train/gate.h"
#include "train/search.h"
#include "train/steps.h"
#include "train/trials.h"

#define REPORTS 4 /* of a trial, at least */

/* The dimensions of a search. */
typedef enum Dimension
{
	DIMENSION_ARCHITECTURE,
	DIMENSION_LEARNING_RATE,
	DIMENSION_BATCH_SIZE,
	DIMENSION_DROPOUT,
	DIMENSION_AUGMENTATION,
	DIMENSION_WEIGHT_DECAY,
	NDIMENSIONS
} Dimension;

static const char *const dimension_names[] = {
	[DIMENSION_ARCHITECTURE] = "architecture", [DIMENSION_LEARNING_RATE] = "learning_rate",
	[DIMENSION_BATCH_SIZE] = "batch_size",	   [DIMENSION_DROPOUT] = "dropout",
	[DIMENSION_AUGMENTATION] = "augmentation", [DIMENSION_WEIGHT_DECAY] = "weight_decay",
};

/* From a tenth of the default to ten times the default. */
#define LEARNING_RATE_SPAN 10.0
#define WEIGHT_DECAY_SPAN 10.0
#define SMALLEST_BATCH 64
#define LARGEST_BATCH 256
#define BATCH_POINTS 3
#define DROPOUT_MAX 0.6 /* of every dropout layer */
#define DROPOUT_POINTS 13
#define AUGMENTATION_MAX 1.5 /* times the strategy's augmentation */
#define AUGMENTATION_POINTS 16

typedef struct Study
{
	TrainingRun *run;
	const TrainingStudy *wanted;
	Hyperparameters base; /* what all trials have in common */
	SearchSpace space;
	Dimension dimensions[SEARCH_MAX_DIMENSIONS];
	int n; /* trials that have ended */
	SearchTrial *trials;
	SearchTrial *current;
	float *kept; /* weights of the best architecture so far; NULL: there is none */
	int kept_trial;
	Hyperparameters kept_hyper;

	/* with a time budget */
	double half;	 /* seconds: half of what was left when the search began */
	double *seconds; /* that each trial took for an image; 0: not known */
	double longest;	 /* seconds of the longest trial so far */
	bool out_of_time;
} Study;

/* ---- what the fits need at most ---- */

void
training_limits(const Hyperparameters *hyper, const TrainingStudy *study, TrainingLimits *limits)
{
	bool search_batch = study->trials > 0 && !study->fixed_batch_size;

	limits->smallest_batch = search_batch ? Min(SMALLEST_BATCH, hyper->batch_size) : hyper->batch_size;
	limits->largest_batch = search_batch ? Max(LARGEST_BATCH, hyper->batch_size) : hyper->batch_size;
	limits->nvalues = 0;
	for (int i = 0; i < study->narchitectures; i++)
	{
		NnNet net;

		nn_parse(&net, study->architectures[i].network);
		limits->nvalues = Max(limits->nvalues, net.nvalues);
	}
}

Size
training_search_bytes(const Hyperparameters *hyper, const TrainingStudy *study, const TrainingLimits *limits,
					  const NnNet *live_net, int nprocesses)
{
	Hyperparameters largest = *hyper;
	Size bytes = 0;

	largest.batch_size = limits->largest_batch;
	for (int i = 0; i < study->narchitectures; i++)
	{
		NnNet net;

		nn_parse(&net, study->architectures[i].network);
		bytes = Max(bytes, steps_bytes(&largest, &net, live_net, nprocesses));
	}
	if (training_has_trials(study)) /* the trainer keeps the best trial's weights; helpers need less */
		bytes = add_size(bytes, limits->nvalues * sizeof(float));
	return bytes;
}

/* ---- points of the space, and hyperparameters ---- */

static bool
has_dropout(const TrainingArchitecture *architecture)
{
	NnNet net;

	nn_parse(&net, architecture->network);
	for (int i = 0; i < net.nlayers; i++)
		if (net.layers[i].kind == NN_DROPOUT)
			return true;
	return false;
}

static void
add_dimension(Study *study, Dimension which, SearchScale scale, double low, double high, int points)
{
	study->dimensions[study->space.ndimensions] = which;
	study->space.dimensions[study->space.ndimensions++] =
		(SearchDimension){.scale = scale, .low = low, .high = high, .points = points};
}

/*
 * Choose the dimensions to search: not those that the caller has fixed, nor dropout if no network has any, nor weight
 * decay in fine-tuning, which has other means of staying close to the live model.
 */
static void
make_space(Study *study)
{
	const TrainingStudy *wanted = study->wanted;
	const Hyperparameters *base = &study->base;
	bool dropout = false;

	for (int i = 0; i < wanted->narchitectures; i++)
		dropout = dropout || has_dropout(&wanted->architectures[i]);
	if (wanted->narchitectures > 1)
		add_dimension(study, DIMENSION_ARCHITECTURE, SEARCH_CHOICE, 0, 0, wanted->narchitectures);
	if (wanted->trials == 0)
		return;
	if (!wanted->fixed_learning_rate)
		add_dimension(study, DIMENSION_LEARNING_RATE, SEARCH_LOG, base->learning_rate / LEARNING_RATE_SPAN,
					  base->learning_rate * LEARNING_RATE_SPAN, 0);
	if (!wanted->fixed_batch_size)
		add_dimension(study, DIMENSION_BATCH_SIZE, SEARCH_LOG, SMALLEST_BATCH, LARGEST_BATCH, BATCH_POINTS);
	if (dropout)
		add_dimension(study, DIMENSION_DROPOUT, SEARCH_LINEAR, 0, DROPOUT_MAX, DROPOUT_POINTS);
	if (!wanted->fixed_augmentation)
		add_dimension(study, DIMENSION_AUGMENTATION, SEARCH_LINEAR, 0, AUGMENTATION_MAX, AUGMENTATION_POINTS);
	if (base->weight_decay > 0)
		add_dimension(study, DIMENSION_WEIGHT_DECAY, SEARCH_LOG, base->weight_decay / WEIGHT_DECAY_SPAN,
					  base->weight_decay * WEIGHT_DECAY_SPAN, 0);
}

/* Give every dropout layer of the network a rate; returns the rate that the first one had, or 0. */
static float
set_dropout(Hyperparameters *hyper, float rate)
{
	NnNet net;
	float first = 0;

	nn_parse(&net, hyper->network);
	for (int i = net.nlayers - 1; i >= 0; i--)
		if (net.layers[i].kind == NN_DROPOUT)
		{
			first = net.layers[i].rate;
			net.layers[i].rate = rate;
		}
	nn_net_format(&net, hyper->network, sizeof(hyper->network));
	return first;
}

/* The hyperparameters that all trials have in common, with an architecture. */
static void
set_architecture(const Study *study, int which, Hyperparameters *hyper)
{
	const TrainingArchitecture *architecture = &study->wanted->architectures[which];

	*hyper = study->base;
	if (study->wanted->narchitectures == 1)
		return; /* it is there already */
	strlcpy(hyper->network, architecture->network, sizeof(hyper->network));
	strlcpy(hyper->architecture, nn_preset(architecture->name) != NULL ? architecture->name : "custom",
			sizeof(hyper->architecture));
}

/* The index of a point's architecture. */
static int
architecture_of(const Study *study, const double *x)
{
	return study->space.ndimensions > 0 && study->dimensions[0] == DIMENSION_ARCHITECTURE ? (int) x[0] : 0;
}

/* Turn a point into hyperparameters.  The point's numbers are rounded to those that these hold. */
static void
apply_point(const Study *study, double *x, Hyperparameters *hyper)
{
	int architecture = architecture_of(study, x);

	set_architecture(study, architecture, hyper);
	for (int d = 0; d < study->space.ndimensions; d++)
	{
		float value = (float) x[d];

		switch (study->dimensions[d])
		{
			case DIMENSION_LEARNING_RATE:
				hyper->learning_rate = value;
				break;
			case DIMENSION_BATCH_SIZE:
				hyper->batch_size = (int) rintf(value);
				value = (float) hyper->batch_size;
				break;
			case DIMENSION_DROPOUT:
				if (!has_dropout(&study->wanted->architectures[architecture]))
					value = 0;
				(void) set_dropout(hyper, value);
				break;
			case DIMENSION_AUGMENTATION:
				hyperparameters_augment(hyper, value);
				break;
			case DIMENSION_WEIGHT_DECAY:
				hyper->weight_decay = value;
				break;
			case DIMENSION_ARCHITECTURE:
			case NDIMENSIONS:
				break;
		}
		x[d] = value;
	}
}

/* The default hyperparameters of an architecture, and the point that stands for them. */
static void
default_point(const Study *study, int architecture, double *x, Hyperparameters *hyper)
{
	Hyperparameters copy;

	set_architecture(study, architecture, hyper);
	copy = *hyper;
	for (int d = 0; d < study->space.ndimensions; d++)
		switch (study->dimensions[d])
		{
			case DIMENSION_ARCHITECTURE:
				x[d] = architecture;
				break;
			case DIMENSION_LEARNING_RATE:
				x[d] = hyper->learning_rate;
				break;
			case DIMENSION_BATCH_SIZE:
				x[d] = hyper->batch_size;
				break;
			case DIMENSION_DROPOUT:
				x[d] = set_dropout(&copy, 0);
				break;
			case DIMENSION_AUGMENTATION:
				x[d] = 1;
				break;
			case DIMENSION_WEIGHT_DECAY:
				x[d] = hyper->weight_decay;
				break;
			case NDIMENSIONS:
				break;
		}
}

/* A point as JSON, for mnist_trial.parameters; always with the architecture. */
static char *
point_json(const Study *study, const double *x)
{
	Json json;

	json_begin(&json);
	json_text(&json, "architecture", study->wanted->architectures[architecture_of(study, x)].name);
	for (int d = 0; d < study->space.ndimensions; d++)
		if (study->dimensions[d] != DIMENSION_ARCHITECTURE)
			json_float(&json, dimension_names[study->dimensions[d]], (float) x[d]);
	return json_end(&json);
}

/* ---- trials on record ---- */

/* The value of a dimension, from its text on record; throws an error if it is missing or invalid. */
static double
read_number(const Study *study, Dimension dimension, const char *text)
{
	const TrainingStudy *wanted = study->wanted;
	char *end;
	double number;

	if (text != NULL && dimension == DIMENSION_ARCHITECTURE)
		for (int i = 0; i < wanted->narchitectures; i++)
			if (strcmp(text, wanted->architectures[i].name) == 0)
				return i;
	if (text != NULL && dimension != DIMENSION_ARCHITECTURE)
	{
		number = strtof(text, &end); /* the record has the shortest decimal that gives the same float */
		if (*end == '\0' && end != text && isfinite(number))
			return number;
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("a recorded trial's parameter \"%s\" makes no sense", dimension_names[dimension])));
}

/* Read the trials that the run has at its start: those of the run that it resumes. */
static void
read_trials(Study *study)
{
	static const SearchOutcome outcomes[] = {
		[TRAINING_TRIAL_SUCCEEDED] = SEARCH_COMPLETE,
		[TRAINING_TRIAL_PRUNED] = SEARCH_PRUNED,
		[TRAINING_TRIAL_FAILED] = SEARCH_FAILED,
	};
	const char *names[SEARCH_MAX_DIMENSIONS];
	TrainingTrial *recorded;

	for (int d = 0; d < study->space.ndimensions; d++)
		names[d] = dimension_names[study->dimensions[d]];
	study->n = trials_read(study->run->id, names, study->space.ndimensions, &recorded, CurrentMemoryContext);
	for (int i = 0; i < study->n; i++)
	{
		SearchTrial *trial = &study->trials[i];

		trial->outcome = outcomes[recorded[i].end];
		trial->value = recorded[i].value;
		trial->nreports = Min(recorded[i].nreports, SEARCH_MAX_REPORTS);
		for (int r = 0; r < trial->nreports; r++)
			trial->reports[r] = recorded[i].reports[r];
		for (int d = 0; d < study->space.ndimensions; d++)
			trial->x[d] = read_number(study, study->dimensions[d], recorded[i].parameters[d]);
	}
}

/* ---- making trials ---- */

/*
 * Seconds to keep for training the best trial's network in full.  A search may use half of the time in any case:
 * training in full then has fewer epochs.
 */
static double
final_seconds(const Study *study)
{
	int best = search_best(study->trials, study->n);
	TrainingFit final = {.run = study->run, .hyper = &study->base, .parts = 1};

	if (best < 0 || study->seconds[best] == 0)
		return study->half;
	return Min(study->half, study->seconds[best] * training_fit_images(&final));
}

/* Is there time for another trial?  The first one is always made. */
static bool
has_time(const Study *study)
{
	if (study->wanted->trials == 0 || search_best(study->trials, study->n) < 0)
		return true;
	return study->longest + final_seconds(study) <= budget_left(study->run);
}

/* After a report of a search's trial: is it worth continuing? */
static bool
worth_going_on(TrainingFit *fit, void *context)
{
	Study *study = context;
	SearchTrial *trial = study->current;
	bool last = fit->epochs >= fit->hyper->epochs;

	trial->reports[trial->nreports++] = fit->report.value;
	study->out_of_time =
		!last && search_best(study->trials, study->n) >= 0 && budget_left(study->run) < final_seconds(study);
	if (study->out_of_time)
		return false;
	return last || !search_prune(trial, study->trials, study->n);
}

/*
 * Evaluate an architecture that was trained in full, in the form in which it would go live, and keep its weights if
 * it is the best so far.
 */
static void
keep_if_best(Study *study, TrainingFit *fit)
{
	Workers *workers = study->run->workers;
	SearchTrial *trial = study->current;

	if (!fit->hyper->frozen_stats)
	{
		workers_command(workers, TRAINING_CALIBRATE);
		fit->report.validation = gate_evaluate(workers, TRAINING_AVERAGE, TRAINING_SET_BIT(TRAINING_SET_VALIDATION))
									 .sets[TRAINING_SET_VALIDATION];
		fit->report.value = training_accuracy(&fit->report.validation);
	}
	trial->outcome = SEARCH_COMPLETE;
	trial->value = fit->report.value;
	for (int i = 0; i < study->n; i++)
		if (!search_better(trial, &study->trials[i]))
			return;
	if (study->kept != NULL)
		pfree(study->kept);
	study->kept = MemoryContextAlloc(TopMemoryContext, workers->net.nvalues * sizeof(float));
	memcpy(study->kept, workers_vector(workers, TRAINING_AVERAGE), workers->net.nvalues * sizeof(float));
	study->kept_trial = study->n;
	study->kept_hyper = *fit->hyper;
}

/* The fit of a trial. */
static void
trial_fit(const Study *study, const Hyperparameters *hyper, TrainingFit *fit)
{
	bool search = study->wanted->trials > 0;

	*fit = (TrainingFit){.run = study->run, .hyper = hyper, .trial = study->n + 1, .parts = 1};
	if (!search)
		return;
	fit->max_images = study->wanted->trial_images;
	fit->is_trial = true;
	fit->parts = (REPORTS + hyper->epochs - 1) / hyper->epochs;
}

/* Train a trial: short ones in a search, else in full, with an equal share of the time that is left. */
static TrainingFitEnd
train_trial(Study *study, Hyperparameters *hyper, TrainingFit *fit)
{
	TrainingFitEnd end;
	instr_time started;
	double seconds;

	if (study->wanted->trials == 0)
	{
		end = budget_fit(fit, hyper, budget_left(study->run) / Max(1, study->wanted->narchitectures - study->n));
		return end == TRAINING_FIT_DIVERGED ? end : TRAINING_FIT_DONE;
	}
	fit->go_on = worth_going_on;
	fit->context = study;
	INSTR_TIME_SET_CURRENT(started);
	end = training_fit(fit);
	seconds = seconds_since(started);
	if (fit->report.images > 0)
		study->seconds[study->n] = seconds / (double) fit->report.images;
	study->longest = Max(study->longest, seconds);
	return end;
}

static void
make_trial(Study *study, Hyperparameters *hyper)
{
	SearchTrial *trial = study->current;
	const TrainingArchitecture *architecture = &study->wanted->architectures[architecture_of(study, trial->x)];
	TrainingFit fit;
	TrainingTrialEnd end = TRAINING_TRIAL_SUCCEEDED;

	if (study->wanted->trials > 0)
		hyper->epochs = study->wanted->trial_epochs;
	trial_fit(study, hyper, &fit);
	trials_start(study->run->id, study->n + 1, architecture->name, point_json(study, trial->x));
	switch (train_trial(study, hyper, &fit))
	{
		case TRAINING_FIT_DONE:
			trial->outcome = SEARCH_COMPLETE;
			trial->value = fit.report.value;
			if (study->wanted->trials == 0)
				keep_if_best(study, &fit);
			break;
		case TRAINING_FIT_STOPPED:
			trial->outcome = SEARCH_PRUNED;
			trial->value = fit.report.value;
			end = study->out_of_time ? TRAINING_TRIAL_CANCELLED : TRAINING_TRIAL_PRUNED;
			break;
		case TRAINING_FIT_DIVERGED:
			trial->outcome = SEARCH_FAILED;
			end = TRAINING_TRIAL_FAILED;
			break;
	}
	trials_end(study->run->id, end, &fit.report, fit.epochs,
			   end == TRAINING_TRIAL_FAILED		 ? "training diverged"
			   : end == TRAINING_TRIAL_CANCELLED ? "the time of the search was over"
												 : NULL,
			   end == TRAINING_TRIAL_FAILED ? ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE : ERRCODE_QUERY_CANCELED);
	if (end == TRAINING_TRIAL_CANCELLED)
		return;
	study->run->work_done += training_fit_images(&fit);
	study->n++;
}

/* The next trial's point and hyperparameters; false if there is none left to try. */
static bool
next_point(Study *study, Hyperparameters *hyper)
{
	SearchTrial *trial = study->current;

	if (study->n < study->wanted->narchitectures)
	{
		default_point(study, study->n, trial->x, hyper);
		return true;
	}
	if (study->space.ndimensions == 0 ||
		search_propose(&study->space, study->trials, study->n, (uint64) study->base.seed, trial->x) != SEARCH_OK)
		return false;
	apply_point(study, trial->x, hyper);
	return true;
}

/* Set the work of the whole run, in images.  Trials that were taken over count as done. */
static void
plan_work(Study *study, int ntrials)
{
	Hyperparameters hyper = study->base;
	TrainingFit fit;
	double trial_images;

	if (study->wanted->trials > 0)
		hyper.epochs = study->wanted->trial_epochs;
	trial_fit(study, &hyper, &fit);
	trial_images = training_fit_images(&fit);
	study->run->work = ntrials * trial_images;
	study->run->work_done = study->n * trial_images;
	if (study->wanted->trials > 0)
	{
		TrainingFit final = {.run = study->run, .hyper = &study->base, .parts = 1};

		study->run->work += training_fit_images(&final);
	}
}

/* The hyperparameters of a trial that was made, with the run's own number of epochs. */
static void
hyperparameters_of(const Study *study, int trial, Hyperparameters *hyper)
{
	double x[SEARCH_MAX_DIMENSIONS];

	memcpy(x, study->trials[trial].x, sizeof(x));
	if (trial < study->wanted->narchitectures)
		default_point(study, trial, x, hyper);
	else
		apply_point(study, x, hyper);
}

bool
training_search(TrainingRun *run)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "mnist_hil search", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	Study *study = palloc0(sizeof(Study));
	Hyperparameters hyper;
	int ntrials;
	int best;
	bool kept;

	study->run = run;
	study->wanted = run->study;
	study->base = run->hyper;
	make_space(study);
	ntrials = run->study->trials > 0 ? run->study->trials : run->study->narchitectures;
	study->trials = palloc0(mul_size(sizeof(SearchTrial), TRAINING_MAX_TRIALS + 1));
	study->seconds = palloc0(mul_size(sizeof(double), TRAINING_MAX_TRIALS + 1));
	study->half = budget_left(run) / 2;
	read_trials(study);
	plan_work(study, Max(ntrials, study->n));
	while (study->n < ntrials && !study->out_of_time)
	{
		study->out_of_time = !has_time(study);
		if (study->out_of_time)
			break;
		study->current = &study->trials[study->n];
		if (!next_point(study, &hyper))
			break;
		make_trial(study, &hyper);
	}
	run->trials = study->n;
	run->all_trials = study->out_of_time ? ntrials : study->n;

	best = search_best(study->trials, study->n);
	if (best < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("none of the %d trials succeeded", study->n),
				 errdetail("Training diverged in each."), errhint("Use a lower learning_rate.")));
	hyperparameters_of(study, best, &run->hyper);
	kept = study->kept != NULL && study->kept_trial == best;
	if (kept)
	{
		run->hyper = study->kept_hyper; /* its epochs may be fewer, for lack of time */
		workers_setup(run->workers, &run->hyper, false);
		memcpy(workers_vector(run->workers, TRAINING_AVERAGE), study->kept,
			   run->workers->net.nvalues * sizeof(float));
	}
	trials_choose(run->id, best + 1, &run->hyper, kept);
	if (study->kept != NULL)
		pfree(study->kept);
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	return kept;
}
