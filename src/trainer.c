/*
 * trainer.c: the trainer, a background worker that makes one retraining run.
 *
 * It writes the run's row, reads the live model, starts helpers, has all processes load their shares of the
 * samples, train, and read the sets, and records the outcome with the switch to the new model, if it passes,
 * in one transaction.  While it trains no transaction is open; progress is written at most once a second in
 * transactions of its own.
 *
 * Loading happens under one snapshot, which the trainer exports and the helpers import, so that all processes
 * see the same rows.
 *
 * An error anywhere -- its own, a helper's, a cancel, a termination -- unwinds to mnist_hil_trainer_main, once
 * around the whole run: there the helpers are ended, the row is closed as failed or cancelled in a new
 * transaction, and the caller is told. Where the extension has been dropped meanwhile there is nothing to
 * close.
 */
#include "training.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define REPORT_SECONDS 1.0 /* between two reports of progress */

/* All sets whose scores are recorded. */
#define JUDGING_SETS                                                                       \
	(TRAINING_SET_BIT(TRAINING_SET_VALIDATION) | TRAINING_SET_BIT(TRAINING_SET_HELD_OUT) | \
	 TRAINING_SET_BIT(TRAINING_SET_TEST))

typedef struct Run
{
	RetrainRequest *request;
	int64 id; /* 0: no row yet */
	TrainingOptions options;
	TrainingParent parent;
	TrainingCrew *crew;
	instr_time started;

	/* progress */
	int epoch; /* 1, 2, ... */
	int64 steps_per_epoch;
	int64 all_steps;
	TrainingScore epoch_score;	/* of the epoch so far */
	TrainingScore report_score; /* since the last report */
	instr_time epoch_started;
	instr_time reported;
} Run;

extern PGDLLEXPORT void mnist_hil_trainer_main(Datum main_arg);

static double
seconds_since(instr_time start)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_DOUBLE(now);
}

/* Tell the caller what has been written into the request. */
static void
announce(RetrainRequest *request, RetrainState state)
{
	pg_write_barrier();
	pg_atomic_write_u32(&request->state, state);
	SetLatch(&ProcGlobal->allProcs[request->caller].procLatch);
}

static void
add_score(TrainingScore *sum, const TrainingScore *score)
{
	sum->images += score->images;
	sum->correct += score->correct;
	sum->loss += score->loss;
}

/* Write the run's row, or be refused. */
static void
open_run(Run *run)
{
	record_begin();
	record_check_data(&run->options);
	if (run->options.reproduces != 0)
		record_check_software(&run->options);
	record_read_parent(&run->parent, run->options.parent_version, TopMemoryContext);
	if (run->options.strategy == TRAINING_FINE_TUNE)
	{
		nn_net_format(&run->parent.net, run->options.network, sizeof(run->options.network));
		strlcpy(run->options.architecture, run->parent.architecture, sizeof(run->options.architecture));
	}
	run->id = record_start(&run->options, &run->parent, NameStr(run->request->requested_by), &run->request->cause);
	record_commit();

	run->request->run_id = run->options.run_id = run->id;
	announce(run->request, RETRAIN_RUNNING);
	record_open_snapshot(&run->options);
}

/* A run that is repeated needs as many processes as it had, for its sums depend on them. */
static void
check_processes(const Run *run)
{
	if (run->options.reproduces != 0 && run->crew->shared->nprocesses != run->options.processes)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld cannot be reproduced", (long long) run->options.reproduces),
						errdetail("It was trained by %d processes; now there are %d.", run->options.processes,
								  run->crew->shared->nprocesses),
						errhint("Increase max_worker_processes.")));
}

/* Load the samples in all processes under one snapshot. */
static void
load_data(Run *run)
{
	int64 totals[TRAINING_NSETS];
	char *snapshot;
	char *data;

	StartTransactionCommand();
	XactIsoLevel = XACT_REPEATABLE_READ;
	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = ExportSnapshot(GetActiveSnapshot());
	strlcpy(run->crew->shared->snapshot, snapshot, sizeof(run->crew->shared->snapshot));
	training_crew_command(run->crew, TRAINING_LOAD);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	data = record_read_data(&run->options, TopMemoryContext);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();

	training_crew_totals(run->crew, totals);
	if (totals[TRAINING_SET_TRAIN] < TRAINING_MIN_TRAIN || totals[TRAINING_SET_VALIDATION] < TRAINING_MIN_VALIDATION)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("there is too little base data to train on"),
			 errdetail("Without duplicates and images that are also feedback there are %lld to train on and %lld to"
					   " validate with; at least %d and %d are needed.",
					   (long long) totals[TRAINING_SET_TRAIN], (long long) totals[TRAINING_SET_VALIDATION],
					   TRAINING_MIN_TRAIN, TRAINING_MIN_VALIDATION)));
	record_data(run->id, &run->options, totals, run->crew->shared->nprocesses, data);
	pfree(data);
}

/*
 * How long an epoch is and how much of it is feedback.
 *
 * Feedback has the share of each batch that the options give it, unless it would take more repeats than they
 * allow, and at least the share that it has of all images.  An epoch has the images that they ask for, or as
 * many as there are, and shows all feedback at least once.
 */
static void
plan_steps(Run *run)
{
	const TrainingOptions *options = &run->options;
	TrainingShared *shared = run->crew->shared;
	int64 totals[TRAINING_NSETS];
	double base;
	double feedback;
	double images;

	training_crew_totals(run->crew, totals);
	base = (double) totals[TRAINING_SET_TRAIN];
	feedback = (double) totals[TRAINING_SET_FEEDBACK];
	images = options->epoch_images == 0 ? base + feedback
										: Max((double) options->epoch_images, feedback / options->feedback_share);
	shared->feedback_share = Max(feedback / (base + feedback),
								 Min(options->feedback_share, options->feedback_repeats * feedback / images));
	run->steps_per_epoch = Max(1, (int64) (images / options->batch_size));
	run->all_steps = shared->all_steps = run->steps_per_epoch * options->epochs;
}

/* Where training starts. */
static void
init_values(Run *run)
{
	TrainingCrew *crew = run->crew;
	float *values = training_crew_vector(crew, TRAINING_VALUES);
	Size bytes = crew->net.nvalues * sizeof(float);

	if (run->options.strategy == TRAINING_FINE_TUNE)
		memcpy(values, training_crew_vector(crew, TRAINING_LIVE), bytes);
	else
		nn_net_init(&crew->net, values, (uint64) run->options.seed);
	memcpy(training_crew_vector(crew, TRAINING_AVERAGE), values, bytes);
}

/* After each step: report once in a while. */
static void
after_step(void *context, int64 step, const TrainingScore *score)
{
	Run *run = context;
	double seconds = seconds_since(run->reported);

	add_score(&run->epoch_score, score);
	add_score(&run->report_score, score);
	if (seconds < REPORT_SECONDS)
		return;
	if (!PostmasterIsAlive())
		proc_exit(1);
	record_progress(run->id, run->epoch, (double) (step + 1) / (double) run->all_steps,
					run->report_score.loss / (double) run->report_score.images,
					(double) run->report_score.images / seconds);
	memset(&run->report_score, 0, sizeof(run->report_score));
	INSTR_TIME_SET_CURRENT(run->reported);
}

static void
train_epoch(Run *run)
{
	TrainingShared *shared = run->crew->shared;
	TrainingScores scores;
	double seconds;
	int64 last;

	memset(&run->epoch_score, 0, sizeof(run->epoch_score));
	memset(&run->report_score, 0, sizeof(run->report_score));
	INSTR_TIME_SET_CURRENT(run->epoch_started);
	run->reported = run->epoch_started;
	shared->first_step = (run->epoch - 1) * run->steps_per_epoch;
	shared->nsteps = run->steps_per_epoch;
	training_crew_command(run->crew, TRAINING_STEPS);
	seconds = seconds_since(run->epoch_started);

	last = shared->first_step + shared->nsteps - 1;
	scores = training_gate_read(run->crew, TRAINING_AVERAGE, TRAINING_SET_BIT(TRAINING_SET_VALIDATION));
	record_epoch(run->id, run->epoch, &run->epoch_score, &scores.sets[TRAINING_SET_VALIDATION],
				 training_loop_learning_rate(&run->options, last, run->all_steps),
				 (double) run->epoch_score.images / seconds);
	record_progress(run->id, run->epoch, (double) (last + 1) / (double) run->all_steps,
					run->epoch_score.loss / (double) run->epoch_score.images,
					(double) run->epoch_score.images / seconds);
}

static void
make_run(Run *run)
{
	TrainingOutcome *outcome = &run->request->outcome;
	TrainingComparison comparison[TRAINING_NSETS];
	char *gate;

	open_run(run);
	run->crew = training_crew_create(&run->options, &run->parent, run->request->database, run->request->owner);
	run->crew->hook = after_step;
	run->crew->hook_context = run;
	check_processes(run);
	load_data(run);
	plan_steps(run);
	init_values(run);
	for (run->epoch = 1; run->epoch <= run->options.epochs; run->epoch++)
		train_epoch(run);

	record_phase(run->id, "evaluating");
	if (!run->options.frozen_stats)
		training_crew_command(run->crew, TRAINING_CALIBRATE);
	training_gate_choose(run->crew);
	training_gate_compare(run->crew, JUDGING_SETS, comparison, outcome);
	gate = training_gate_judge(&run->options, run->parent.version, comparison, outcome);
	record_success(run->id, &run->options, &run->parent, &run->crew->net,
				   training_crew_vector(run->crew, TRAINING_VALUES), gate, NameStr(run->request->requested_by),
				   outcome);
	training_crew_end(run->crew);
	outcome->seconds = (float) seconds_since(run->started);
	announce(run->request, RETRAIN_DONE);
}

/* What the caller is told of a run's error. */
static void
answer_failure(Run *run, const ErrorData *edata)
{
	TrainingError *error = &run->request->error;

	training_error_copy(error, edata);
	if (run->id != 0 && edata->sqlerrcode == ERRCODE_QUERY_CANCELED)
		snprintf(error->message, TRAINING_MAX_MESSAGE, "retraining run %lld was cancelled", (long long) run->id);
	else if (run->id != 0)
		snprintf(error->message, TRAINING_MAX_MESSAGE, "retraining run %lld failed: %s", (long long) run->id,
				 edata->message);
	announce(run->request, RETRAIN_FAILED);
}

/* After an error: end the helpers, close the run's row, tell the caller. */
static void
fail_run(Run *run, ErrorData *edata)
{
	bool cancelled = edata->sqlerrcode == ERRCODE_QUERY_CANCELED;

	ConditionVariableCancelSleep();
	AbortOutOfAnyTransaction();
	if (run->crew != NULL)
		training_crew_end(run->crew);
	QueryCancelPending = false; /* once is enough */
	if (cancelled)
		edata->message = "cancelled by a signal to a training process";
	if (run->id != 0 && record_possible())
	{
		record_failure(run->id, edata);
		ereport(LOG, (errmsg("retraining run %lld %s: %s", (long long) run->id, cancelled ? "cancelled" : "failed",
							 edata->message)));
	}
	answer_failure(run, edata);
}

/* Entry point; main_arg is the handle of the caller's RetrainRequest. */
void
mnist_hil_trainer_main(Datum main_arg)
{
	dsm_segment *segment;
	Run *run;
	NnError blas;

	(void) nn_blas_load(&blas); /* without it the built-in product serves */
	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		return; /* the caller has gone */
	run = MemoryContextAllocZero(TopMemoryContext, sizeof(Run));
	run->request = dsm_segment_address(segment);
	run->options = run->request->options;
	INSTR_TIME_SET_CURRENT(run->started);
	training_process_connect(run->request->database, run->request->owner);

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
