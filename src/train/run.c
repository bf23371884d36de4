/*
 * run.c: the trainer, a background worker that makes one retraining run.
 *
 * It writes the run's row, reads the live model, filters labels and starts helpers.  All processes load their
 * samples, train, and predict the sets.  Then the trainer records the outcome.  If the model passes the gate and the
 * lock for the switch is free, the same transaction makes it live.  No transaction is open while it trains.  Progress
 * is written about once a second, in transactions of its own.
 *
 * Loading happens under one snapshot, which the trainer exports and the helpers import, so that all processes see
 * the same rows.
 *
 * An error anywhere (its own, a helper's, a cancel, a termination) unwinds to mnist_hil_trainer_main.  That ends the
 * helpers, closes the row as failed or cancelled in a new transaction, and tells the caller.  If the extension has
 * been dropped meanwhile, there is no row to close.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "utils/memutils.h"

#include "nn/kernels/blas.h"
#include "pg/clock.h"
#include "train/budget.h"
#include "train/commands.h"
#include "train/filter.h"
#include "train/fit.h"
#include "train/follow_up.h"
#include "train/gate.h"
#include "train/search.h"
#include "train/store.h"
#include "train/trials.h"

/* All sets whose scores are recorded. */
#define EVALUATED_SETS                                                                     \
	(TRAINING_SET_BIT(TRAINING_SET_VALIDATION) | TRAINING_SET_BIT(TRAINING_SET_HELD_OUT) | \
	 TRAINING_SET_BIT(TRAINING_SET_TEST))

extern PGDLLEXPORT void mnist_hil_trainer_main(Datum main_arg);

/* Write the run's row and its snapshot of the feedback.  Throws an error if the run is refused. */
static void
open_run(TrainingRun *run)
{
	record_begin();
	record_check_data(&run->orders);
	if (run->orders.reproduces != 0)
		record_check_software(&run->orders);
	record_read_parent(&run->parent, run->orders.parent_version, TopMemoryContext);
	if (run->hyper.strategy == TRAINING_FINE_TUNE && run->orders.reproduces == 0)
	{
		nn_net_format(&run->parent.net, run->hyper.network, sizeof(run->hyper.network));
		strlcpy(run->hyper.architecture, run->parent.architecture, sizeof(run->hyper.architecture));
		run->study->narchitectures = 0;
	}
	if (run->study->narchitectures == 0)
	{
		training_study_add(run->study, run->hyper.network);
		if (nn_preset(run->hyper.architecture) != NULL)
			strlcpy(run->study->architectures[0].name, run->hyper.architecture, NAMEDATALEN);
	}
	run->id = record_start(&run->hyper, &run->orders, run->study, &run->parent, NameStr(run->request->requested_by),
						   &run->request->cause);
	if (run->study->resume_run != 0)
		trials_take_over(run->id, run->study->resume_run);
	record_commit();

	run->request->run_id = run->orders.run_id = run->id;
	worker_announce(&run->request->worker, WORKER_BEGUN);
	record_open_snapshot(&run->orders);
}

/* Check that a repeated run has as many processes as the original: the order of its sums depends on their number. */
static void
check_processes(const TrainingRun *run)
{
	if (run->orders.reproduces != 0 && run->workers->shared->nprocesses != run->orders.processes)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld cannot be reproduced", (long long) run->orders.reproduces),
						errdetail("It was trained by %d processes; now there are %d.", run->orders.processes,
								  run->workers->shared->nprocesses),
						errhint("Increase max_worker_processes.")));
}

/* Read what the run trains on, as JSON, in the transaction that loads the samples. */
static void
read_data(void *argument)
{
	TrainingRun *run = argument;

	SPI_connect();
	run->data = record_read_data(&run->orders, TopMemoryContext);
	SPI_finish();
}

/* Load the samples in all processes, check that there are enough, and record their numbers. */
static void
load_data(TrainingRun *run)
{
	int64 totals[TRAINING_NSETS];

	workers_load(run->workers, read_data, run);
	workers_totals(run->workers, totals);
	if (totals[TRAINING_SET_TRAIN] < TRAINING_MIN_TRAIN || totals[TRAINING_SET_VALIDATION] < TRAINING_MIN_VALIDATION)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("there is too little base data to train on"),
			 errdetail("Without duplicates, contradictions and images that are also feedback there are %lld to train "
					   "on and %lld to"
					   " validate with; at least %d and %d are needed.",
					   (long long) totals[TRAINING_SET_TRAIN], (long long) totals[TRAINING_SET_VALIDATION],
					   TRAINING_MIN_TRAIN, TRAINING_MIN_VALIDATION),
			 errhint("View mnist_dataset_conflict lists equal images with different labels, which count in no set."
					 " Correct them, or import more.")));
	record_data(run->id, &run->orders, totals, run->workers->shared->nprocesses, run->data);
}

/* Train the run's model with its own hyperparameters; search.c trains the trials. */
static void
train(TrainingRun *run)
{
	TrainingFit fit = {.run = run, .hyper = &run->hyper, .parts = 1};

	if (budget_fit(&fit, &run->hyper, budget_left(run)) == TRAINING_FIT_DIVERGED)
		training_diverged(run->workers->shared->diverged_loss);
}

static void
add_to_verdict(TrainingOutcome *outcome, const char *before, const char *text)
{
	strlcat(outcome->verdict, before, sizeof(outcome->verdict));
	strlcat(outcome->verdict, text, sizeof(outcome->verdict));
}

static void
make_run(TrainingRun *run)
{
	TrainingOutcome *outcome = &run->request->outcome;
	TrainingComparison comparison[TRAINING_NSETS];
	TrainingLimits limits;
	TrainingResult stored;
	Size bytes;
	char *gate;

	open_run(run);
	if (run->orders.reproduces == 0)
		filter_labels(&run->orders, &run->parent, &run->request->home, &run->workers);
	training_limits(&run->hyper, run->study, &limits);
	bytes = training_search_bytes(&run->hyper, run->study, &limits, &run->parent.net,
								  workers_count(&run->orders, limits.smallest_batch));
	run->workers = workers_create(&run->orders, &run->parent, limits.nvalues, limits.smallest_batch, bytes,
								  &run->request->home, COMMANDS_HELPER_MAIN);
	check_processes(run);
	run->workers->shared->loop_bytes =
		training_search_bytes(&run->hyper, run->study, &limits, &run->parent.net, run->workers->shared->nprocesses);
	load_data(run);
	run->all_epochs = run->hyper.epochs;
	if (!training_has_trials(run->study) || !training_search(run))
	{
		train(run);
		record_phase(run->id, "evaluating");
		if (!run->hyper.frozen_stats)
			workers_command(run->workers, TRAINING_CALIBRATE);
	}
	else
		record_phase(run->id, "evaluating");

	budget_record(run);
	gate_choose(run->workers);
	gate_compare(run->workers, EVALUATED_SETS, comparison, outcome);
	gate = gate_decide(&run->hyper, &run->orders, run->parent.version, comparison, outcome);
	if (run->shortened[0] != '\0')
		add_to_verdict(outcome, "; within the time budget: ", run->shortened);
	workers_end(run->workers); /* storing may wait long for locks */
	stored = (TrainingResult){
		.hyper = &run->hyper,
		.orders = &run->orders,
		.parent = &run->parent,
		.net = &run->workers->net,
		.values = workers_vector(run->workers, TRAINING_VALUES),
		.gate = gate,
		.requested_by = NameStr(run->request->requested_by),
		.outcome = outcome,
	};
	store_result(&stored);
	outcome->seconds = (float) seconds_since(run->started);
	worker_announce(&run->request->worker, WORKER_DONE);
	follow_up(&run->orders);
}

/* Tell the caller the run's error. */
static void
answer_failure(TrainingRun *run, const ErrorData *edata)
{
	WorkerError *error = &run->request->worker.error;

	worker_error_copy(error, edata);
	if (run->id != 0 && edata->sqlerrcode == ERRCODE_QUERY_CANCELED)
		snprintf(error->message, WORKER_MAX_MESSAGE, "retraining run %lld was cancelled", (long long) run->id);
	else if (run->id != 0)
		snprintf(error->message, WORKER_MAX_MESSAGE, "retraining run %lld failed: %s", (long long) run->id,
				 edata->message);
	worker_announce(&run->request->worker, WORKER_FAILED);
}

/* After an error: end the helpers, close the run's row, tell the caller. */
static void
fail_run(TrainingRun *run, ErrorData *edata)
{
	bool cancelled = edata->sqlerrcode == ERRCODE_QUERY_CANCELED;
	bool closed;

	ConditionVariableCancelSleep();
	AbortOutOfAnyTransaction();
	if (run->workers != NULL)
		workers_end(run->workers);
	QueryCancelPending = false; /* this cancel has been handled */
	if (cancelled)
		edata->message = "cancelled by a signal to a training process";
	closed = run->id != 0 && record_possible() && record_failure(run->id, edata);
	if (closed)
		ereport(LOG, (errmsg("retraining run %lld %s: %s", (long long) run->id, cancelled ? "cancelled" : "failed",
							 edata->message)));
	answer_failure(run, edata);
	if (closed && !cancelled)
		follow_up(&run->orders);
}

/* Entry point; main_arg is the handle of the caller's RetrainRequest. */
void
mnist_hil_trainer_main(Datum main_arg)
{
	RetrainRequest *request;
	TrainingRun *run;
	NnError blas;

	(void) nn_blas_load(&blas); /* if it cannot be loaded, the built-in matrix product is used */
	request = (RetrainRequest *) worker_attach(main_arg);
	if (request == NULL)
		return; /* the caller has gone */
	run = MemoryContextAllocZero(TopMemoryContext, sizeof(TrainingRun));
	run->request = request;
	run->hyper = request->hyper;
	run->orders = request->orders;
	run->study = &run->request->study;
	INSTR_TIME_SET_CURRENT(run->started);
	worker_connect_home(&run->request->home);

	PG_TRY();
	{
		make_run(run);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		fail_run(run, edata);
	}
	PG_END_TRY();
}
