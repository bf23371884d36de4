/*
 * budget.c: keeping a run within its time budget.
 *
 * A run with a time budget leaves out what would take too long: trials of a search (search.c) and epochs.  The
 * number of epochs is decided when a fit begins, so that the schedule of the learning rate is complete.  For this the
 * trainer makes some steps and predictions, takes their time, and begins the fit afresh.  If training then turns out
 * to be slower than measured, the fit stops after an epoch.
 *
 * The number of epochs, and the epoch after which a fit stopped, are hyperparameters.  They are recorded, so that
 * mnist_reproduce repeats the run whatever the speed of the machine is then.
 */
#include "postgres.h"

#include <math.h>

#include "train/budget.h"
#include "train/commands.h"
#include "train/gate.h"
#include "train/steps.h"

#define MEASURED_SECONDS 0.25 /* of steps, to measure their speed */
#define PLANNED_FRACTION 0.95 /* of the time: what is planned for */
#define STOP_FRACTION 1.05	  /* of the time: the fit stops rather than take longer */
#define CALIBRATION 0.25	  /* of a training step: what a forward pass takes, roughly */
#define MANY_STEPS (INT64CONST(1) << 40)

/* How long something takes, in seconds. */
typedef struct Pace
{
	double epoch; /* training an epoch and predicting the validation images */
	double gate;  /* what comes after the training */
} Pace;

/* A fit within limits, the context of go_on. */
typedef struct BudgetedFit
{
	Hyperparameters *hyper;
	double seconds; /* for the fit and the gate */
	double gate;
	instr_time started;
} BudgetedFit;

double
budget_left(const TrainingRun *run)
{
	return run->orders.time_budget > 0 ? run->orders.time_budget - seconds_since(run->started) : INFINITY;
}

/* Step hook of the steps that are only measured. */
static void
ignore_step(void *context, int64 step, const TrainingScore *score)
{
	(void) context;
	(void) step;
	(void) score;
}

/*
 * Seconds that a step takes.  For these steps the schedule is so long that the learning rate stays near zero, so that
 * they cannot diverge.
 */
static double
measure_step(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	double seconds = 0;

	workers->hook = ignore_step;
	shared->all_steps = MANY_STEPS;
	shared->first_step = 0;
	/* only the last stretch counts; a short first one also brings data into the caches */
	for (shared->nsteps = 1; seconds < MEASURED_SECONDS; shared->nsteps *= 2)
	{
		instr_time started;

		INSTR_TIME_SET_CURRENT(started);
		workers_command(workers, TRAINING_STEPS);
		seconds = seconds_since(started);
		if (shared->first_step == 0 && seconds < 4 * MEASURED_SECONDS)
			seconds = 0;
		shared->first_step += shared->nsteps;
	}
	return seconds / (double) (shared->nsteps / 2);
}

/*
 * Seconds to predict the validation images, with the candidate or with both models.  The first time includes the
 * preparation of the models.
 */
static double
measure_predictions(Workers *workers, bool both)
{
	const uint32 validation = TRAINING_SET_BIT(TRAINING_SET_VALIDATION);
	double best = INFINITY;

	for (int i = 0; i < 2; i++)
	{
		TrainingComparison comparison[TRAINING_NSETS];
		TrainingOutcome outcome;
		instr_time started;

		INSTR_TIME_SET_CURRENT(started);
		if (both)
			gate_compare(workers, validation, comparison, &outcome);
		else
			(void) gate_evaluate(workers, TRAINING_AVERAGE, validation);
		best = Min(best, seconds_since(started));
	}
	return best;
}

/* Measure how long the epochs of a fit and the gate take. */
static Pace
measure(TrainingFit *fit)
{
	Workers *workers = fit->run->workers;
	int64 steps_per_epoch = training_fit_begin(fit);
	double step = measure_step(workers);
	double predict = measure_predictions(workers, false);
	double compare = measure_predictions(workers, true);
	int64 totals[TRAINING_NSETS];
	double images;
	Pace pace;

	workers_totals(workers, totals);
	images = (double) totals[TRAINING_SET_VALIDATION];
	pace.epoch = (double) steps_per_epoch * step + predict;
	pace.gate = compare * (1.0 + (double) (totals[TRAINING_SET_HELD_OUT] + totals[TRAINING_SET_TEST]) / images);
	if (fit->hyper->strategy == TRAINING_FINE_TUNE)
		pace.gate += predict * (1.0 + GATE_BLENDS * (1.0 + (double) totals[TRAINING_SET_FEEDBACK] / images));
	if (!fit->hyper->frozen_stats && workers->net.nvalues > workers->net.nparams)
		pace.gate += CALIBRATION * step * STEPS_CALIBRATE_IMAGES / fit->hyper->batch_size;
	return pace;
}

/* A fit's go_on, after each epoch. */
static bool
go_on(TrainingFit *fit, void *context)
{
	BudgetedFit *budgeted = context;
	Hyperparameters *hyper = budgeted->hyper;
	double seconds = seconds_since(budgeted->started);
	int done = (int) rint(fit->epochs);

	if (done >= hyper->epochs)
		return true;
	if (hyper->stop_epoch == 0 && seconds + seconds / done + budgeted->gate > STOP_FRACTION * budgeted->seconds)
		hyper->stop_epoch = done;
	return hyper->stop_epoch == 0 || done < hyper->stop_epoch;
}

TrainingFitEnd
budget_fit(TrainingFit *fit, Hyperparameters *hyper, double seconds)
{
	BudgetedFit budgeted = {.hyper = hyper, .seconds = seconds};

	if (isfinite(seconds))
	{
		instr_time started;
		Pace pace;
		double epochs;

		INSTR_TIME_SET_CURRENT(started);
		pace = measure(fit);
		budgeted.seconds -= seconds_since(started);
		budgeted.gate = pace.gate;
		ereport(DEBUG1, (errmsg_internal("%.2f s left, %.4f s for an epoch, %.2f s for the gate", budgeted.seconds,
										 pace.epoch, pace.gate)));
		epochs = floor((PLANNED_FRACTION * budgeted.seconds - pace.gate) / pace.epoch);
		hyper->epochs = (int) Max(1.0, Min(epochs, (double) hyper->epochs));
	}
	if (fit->trial == 0)
	{
		fit->run->work = fit->run->work_done + training_fit_images(fit);
		budget_record(fit->run);
	}
	INSTR_TIME_SET_CURRENT(budgeted.started);
	fit->go_on = go_on;
	fit->context = &budgeted;
	return training_fit(fit);
}

void
budget_record(TrainingRun *run)
{
	const Hyperparameters *hyper = &run->hyper;
	int epochs = hyper->stop_epoch > 0 ? hyper->stop_epoch : hyper->epochs;
	char trained[64] = "";
	char tried[64] = "";

	if (run->orders.time_budget == 0)
		return;
	if (run->trials < run->all_trials)
		snprintf(tried, sizeof(tried), "%d of %d trials", run->trials, run->all_trials);
	if (epochs < run->all_epochs)
		snprintf(trained, sizeof(trained), "%d of %d epochs", epochs, run->all_epochs);
	if (tried[0] == '\0' && trained[0] == '\0')
		return;
	snprintf(run->shortened, sizeof(run->shortened), "%s%s%s", tried,
			 tried[0] != '\0' && trained[0] != '\0' ? ", " : "", trained);
	record_shortened(run->id, hyper, run->shortened);
}
