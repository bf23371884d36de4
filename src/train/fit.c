/*
 * fit.c: one training of a network (a fit).
 *
 * A run without trials makes one fit.  A run with trials makes one for each of them, and then one with the best
 * hyperparameters, unless the weights of the best trial were kept (search.c).  The steps of a fit are divided into
 * stretches, one for each report.  After each stretch the moving average of the weights predicts the validation
 * images, the figures are recorded, and the fit's go_on says whether to continue.  Within a stretch progress is
 * recorded about once a second.
 */
#include "postgres.h"

#include <math.h>

#include "storage/ipc.h"
#include "storage/pmsignal.h"

#include "pg/clock.h"
#include "train/commands.h"
#include "train/fit.h"
#include "train/gate.h"
#include "train/steps.h"

#define REPORT_SECONDS 1.0 /* between two records of progress */

/* The steps between two reports. */
typedef struct Stretch
{
	TrainingFit *fit;
	int64 steps_per_epoch;
	int64 all_steps;
	TrainingScore recent; /* since progress was recorded last */
	instr_time started;
	instr_time recorded;
} Stretch;

void
training_diverged(double loss)
{
	ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("training diverged"),
					errdetail("The loss reached %g.", loss), errhint("Use a lower learning_rate.")));
}

/*
 * Plan the epochs: return the number of steps of one, and set the fraction of each batch that is feedback.
 *
 * The fraction is hyper->feedback_share, or less if an epoch would otherwise show an image more than feedback_repeats
 * times.  But it is never less than the fraction of feedback among all images.  An epoch has hyper->epoch_images
 * images, or more if that is needed to show all feedback once; 0 stands for as many as there are.  A trial's epoch
 * has max_images at most.
 */
static int64
plan_steps(const TrainingFit *fit, double *feedback_share)
{
	const Hyperparameters *hyper = fit->hyper;
	const Workers *workers = fit->run->workers;
	int64 totals[TRAINING_NSETS];
	double base;
	double feedback;
	double images;

	workers_totals(workers, totals);
	base = (double) totals[TRAINING_SET_TRAIN];
	feedback = (double) totals[TRAINING_SET_FEEDBACK];
	for (int rank = 0; fit->is_trial && rank < workers->shared->nprocesses; rank++)
		feedback -= steps_trial_feedback(workers, workers->shared->slots[rank].totals[TRAINING_SET_FEEDBACK]);
	images = hyper->epoch_images == 0 ? base + feedback
									  : Max((double) hyper->epoch_images, feedback / hyper->feedback_share);
	if (fit->max_images > 0)
		images = Min(images, (double) fit->max_images);
	*feedback_share =
		Max(feedback / (base + feedback), Min(hyper->feedback_share, hyper->feedback_repeats * feedback / images));
	return Max(1, (int64) (images / hyper->batch_size));
}

double
training_fit_images(const TrainingFit *fit)
{
	double share;

	return (double) plan_steps(fit, &share) * fit->hyper->epochs * fit->hyper->batch_size;
}

/* Set the values that training starts from. */
static void
init_values(const TrainingFit *fit)
{
	Workers *workers = fit->run->workers;
	float *values = workers_vector(workers, TRAINING_VALUES);

	if (fit->hyper->strategy == TRAINING_FINE_TUNE)
		memcpy(values, workers_vector(workers, TRAINING_LIVE), workers->net.nvalues * sizeof(float));
	else
		nn_net_init(&workers->net, values, (uint64) fit->hyper->seed);
	steps_begin(workers);
}

/* Record the progress of the fit after a number of steps. */
static void
record_steps(const Stretch *stretch, int64 steps, const TrainingScore *score, double seconds)
{
	const TrainingRun *run = stretch->fit->run;
	double images = (double) steps * stretch->fit->hyper->batch_size;

	record_progress(run->id, (int) ((steps - 1) / stretch->steps_per_epoch) + 1,
					Min(1.0, (run->work_done + images) / run->work), score->loss / (double) score->images,
					(double) score->images / seconds);
}

/* Step hook: add up scores, and record progress every REPORT_SECONDS. */
static void
after_step(void *context, int64 step, const TrainingScore *score)
{
	Stretch *stretch = context;
	double seconds = seconds_since(stretch->recorded);

	training_score_add(&stretch->fit->report.train, score);
	training_score_add(&stretch->recent, score);
	if (seconds < REPORT_SECONDS)
		return;
	if (!PostmasterIsAlive())
		proc_exit(1);
	record_steps(stretch, step + 1, &stretch->recent, seconds);
	memset(&stretch->recent, 0, sizeof(stretch->recent));
	INSTR_TIME_SET_CURRENT(stretch->recorded);
}

/* Evaluate, and write the report. */
static void
report(Stretch *stretch, int64 steps)
{
	TrainingFit *fit = stretch->fit;
	TrainingReport *r = &fit->report;
	double seconds = seconds_since(stretch->started);
	uint32 sets = TRAINING_SET_BIT(TRAINING_SET_VALIDATION);
	TrainingScores scores;

	if (fit->is_trial)
		sets |= TRAINING_SET_BIT(TRAINING_SET_FEEDBACK);
	scores = gate_evaluate(fit->run->workers, TRAINING_AVERAGE, sets);
	r->validation = scores.sets[TRAINING_SET_VALIDATION];
	r->trial_feedback = scores.sets[TRAINING_SET_FEEDBACK];
	r->value = NAN;
	if (fit->trial > 0)
	{
		/* feedback has the same weight here as in training */
		double share = r->trial_feedback.images > 0 ? fit->run->workers->shared->feedback_share : 0;

		r->value = (1 - share) * training_accuracy(&r->validation);
		if (share > 0)
			r->value += share * training_accuracy(&r->trial_feedback);
		r->value = (float) r->value; /* rounded as in the record, which a resumed search reads */
	}
	r->images = steps * fit->hyper->batch_size;
	r->learning_rate = steps_learning_rate(fit->hyper, steps - 1, stretch->all_steps);
	r->images_per_second = (double) r->train.images / seconds;
	fit->epochs = (double) steps / (double) stretch->steps_per_epoch;
	record_report(fit->run->id, r);
	record_steps(stretch, steps, &r->train, seconds);
}

int64
training_fit_begin(TrainingFit *fit)
{
	TrainingShared *shared = fit->run->workers->shared;
	int64 steps_per_epoch;

	workers_setup(fit->run->workers, fit->hyper, fit->is_trial);
	steps_per_epoch = plan_steps(fit, &shared->feedback_share);
	shared->all_steps = steps_per_epoch * fit->hyper->epochs;
	init_values(fit);
	return steps_per_epoch;
}

TrainingFitEnd
training_fit(TrainingFit *fit)
{
	Workers *workers = fit->run->workers;
	TrainingShared *shared = workers->shared;
	Stretch stretch = {.fit = fit};
	int nreports = fit->hyper->epochs * fit->parts;

	stretch.steps_per_epoch = training_fit_begin(fit);
	stretch.all_steps = shared->all_steps;
	nreports = (int) Min(nreports, stretch.all_steps);
	workers->hook = after_step;
	workers->hook_context = &stretch;
	fit->report.trial = fit->trial;

	for (int i = 0; i < nreports; i++)
	{
		int64 end = stretch.all_steps * (i + 1) / nreports;

		fit->report.number = i + 1;
		memset(&fit->report.train, 0, sizeof(fit->report.train));
		memset(&stretch.recent, 0, sizeof(stretch.recent));
		INSTR_TIME_SET_CURRENT(stretch.started);
		stretch.recorded = stretch.started;
		shared->first_step = stretch.all_steps * i / nreports;
		shared->nsteps = end - shared->first_step;
		workers_command(workers, TRAINING_STEPS);
		if (shared->diverged)
			return TRAINING_FIT_DIVERGED;
		report(&stretch, end);
		if (fit->go_on != NULL && !fit->go_on(fit, fit->context))
			return TRAINING_FIT_STOPPED;
	}
	return TRAINING_FIT_DONE;
}
