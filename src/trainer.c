/*
 * trainer.c: the trainer, a background worker that makes one retraining run.
 *
 * It writes the run's row, reads the live model, starts helpers, has all processes load their shares of the
 * samples, train, and read the sets, and records the outcome with the switch to the new model, if it passes
 * and nobody holds the lock for that, in one transaction.  While it trains no transaction is open; progress is
 * written at most once a second in transactions of its own.
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

/* All sets whose scores are recorded. */
#define JUDGING_SETS                                                                       \
	(TRAINING_SET_BIT(TRAINING_SET_VALIDATION) | TRAINING_SET_BIT(TRAINING_SET_HELD_OUT) | \
	 TRAINING_SET_BIT(TRAINING_SET_TEST))

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

/* Write the run's row, or be refused. */
static void
open_run(TrainingRun *run)
{
	record_begin();
	record_check_data(&run->options);
	if (run->options.reproduces != 0)
		record_check_software(&run->options);
	record_read_parent(&run->parent, run->options.parent_version, TopMemoryContext);
	if (run->options.strategy == TRAINING_FINE_TUNE && run->options.reproduces == 0)
	{
		nn_net_format(&run->parent.net, run->options.network, sizeof(run->options.network));
		strlcpy(run->options.architecture, run->parent.architecture, sizeof(run->options.architecture));
		run->study->narchitectures = 0;
	}
	if (run->study->narchitectures == 0)
	{
		training_study_add(run->study, run->options.network);
		if (nn_preset(run->options.architecture) != NULL)
			strlcpy(run->study->architectures[0].name, run->options.architecture, NAMEDATALEN);
	}
	run->id = record_start(&run->options, run->study, &run->parent, NameStr(run->request->requested_by),
						   &run->request->cause);
	if (run->study->resume_run != 0)
		record_take_over(run->id, run->study->resume_run);
	record_commit();

	run->request->run_id = run->options.run_id = run->id;
	announce(run->request, RETRAIN_RUNNING);
	record_open_snapshot(&run->options);
}

/* A run that is repeated needs as many processes as it had, for its sums depend on them. */
static void
check_processes(const TrainingRun *run)
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
load_data(TrainingRun *run)
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
			 errdetail("Without duplicates, contradictions and images that are also feedback there are %lld to train "
					   "on and %lld to"
					   " validate with; at least %d and %d are needed.",
					   (long long) totals[TRAINING_SET_TRAIN], (long long) totals[TRAINING_SET_VALIDATION],
					   TRAINING_MIN_TRAIN, TRAINING_MIN_VALIDATION),
			 errhint("View mnist_dataset_conflict lists equal images with different labels, which count in no set."
					 " Correct them, or import more.")));
	record_data(run->id, &run->options, totals, run->crew->shared->nprocesses, data);
	pfree(data);
}

/* The model's own training, trials apart: by the run's options, from beginning to end. */
static void
train(TrainingRun *run)
{
	TrainingFit fit = {.run = run, .options = &run->options, .parts = 1};

	if (!training_has_trials(run->study))
		run->work = training_fit_images(&fit);
	if (training_fit(&fit) == TRAINING_FIT_DIVERGED)
		training_diverged(run->crew->shared->diverged_loss);
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
	if (run->options.reproduces == 0)
		training_screen(&run->options, &run->parent, &run->request->home, &run->crew);
	training_limits(&run->options, run->study, &limits);
	bytes = training_search_bytes(&run->options, run->study, &limits, &run->parent.net,
								  training_crew_size(&run->options, limits.smallest_batch));
	run->crew = training_crew_create(&run->options, &run->parent, limits.nvalues, limits.smallest_batch, bytes,
									 &run->request->home);
	check_processes(run);
	run->crew->shared->loop_bytes =
		training_search_bytes(&run->options, run->study, &limits, &run->parent.net, run->crew->shared->nprocesses);
	load_data(run);
	if (!training_has_trials(run->study) || !training_search(run))
	{
		train(run);
		record_phase(run->id, "evaluating");
		if (!run->options.frozen_stats)
			training_crew_command(run->crew, TRAINING_CALIBRATE);
	}
	else
		record_phase(run->id, "evaluating");

	training_gate_choose(run->crew);
	training_gate_compare(run->crew, JUDGING_SETS, comparison, outcome);
	gate = training_gate_judge(&run->options, run->parent.version, comparison, outcome);
	training_crew_end(run->crew); /* storing may take long where locks are in the way */
	stored = (TrainingResult){
		.options = &run->options,
		.parent = &run->parent,
		.net = &run->crew->net,
		.values = training_crew_vector(run->crew, TRAINING_VALUES),
		.gate = gate,
		.requested_by = NameStr(run->request->requested_by),
		.outcome = outcome,
	};
	record_success(&stored);
	outcome->seconds = (float) seconds_since(run->started);
	announce(run->request, RETRAIN_DONE);
}

/* What the caller is told of a run's error. */
static void
answer_failure(TrainingRun *run, const ErrorData *edata)
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
fail_run(TrainingRun *run, ErrorData *edata)
{
	bool cancelled = edata->sqlerrcode == ERRCODE_QUERY_CANCELED;

	ConditionVariableCancelSleep();
	AbortOutOfAnyTransaction();
	if (run->crew != NULL)
		training_crew_end(run->crew);
	QueryCancelPending = false; /* once is enough */
	if (cancelled)
		edata->message = "cancelled by a signal to a training process";
	if (run->id != 0 && record_possible() && record_failure(run->id, edata))
		ereport(LOG, (errmsg("retraining run %lld %s: %s", (long long) run->id, cancelled ? "cancelled" : "failed",
							 edata->message)));
	answer_failure(run, edata);
}

/* Entry point; main_arg is the handle of the caller's RetrainRequest. */
void
mnist_hil_trainer_main(Datum main_arg)
{
	dsm_segment *segment;
	TrainingRun *run;
	NnError blas;

	(void) nn_blas_load(&blas); /* without it the built-in product serves */
	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		return; /* the caller has gone */
	run = MemoryContextAllocZero(TopMemoryContext, sizeof(TrainingRun));
	run->request = dsm_segment_address(segment);
	run->options = run->request->options;
	run->study = &run->request->study;
	INSTR_TIME_SET_CURRENT(run->started);
	training_process_connect_home(&run->request->home);

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
