/*
 * commands.c: the commands that all processes of a run carry out together, and the main loop of the helpers.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "nn/kernels/blas.h"
#include "pg/errors.h"
#include "train/commands.h"
#include "train/evaluate.h"
#include "train/steps.h"

extern PGDLLEXPORT void mnist_hil_helper_main(Datum main_arg);

/*
 * Do TRAINING_LOAD.  The trainer is in the transaction that exported the snapshot.  A helper starts a transaction of
 * its own and imports the snapshot.
 */
static void
load(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	Size other_bytes =
		add_size(dsm_segment_map_length(workers->segment), mul_size(shared->loop_bytes, shared->nprocesses));

	if (workers->rank > 0)
	{
		StartTransactionCommand();
		XactIsoLevel = XACT_REPEATABLE_READ;
		XactReadOnly = true;
		ImportSnapshot(shared->snapshot);
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	SPI_connect();
	workers->data = samples_load(&shared->orders, workers->rank, shared->nprocesses, other_bytes, workers->context);
	SPI_finish();
	if (workers->rank > 0)
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_RUNNING, "training");
	}
	for (int i = 0; i < TRAINING_NSETS; i++)
		shared->slots[workers->rank].totals[i] = workers->data->sets[i].n;
}

/* Do TRAINING_SETUP. */
static void
setup(Workers *workers)
{
	nn_parse(&workers->net, workers->shared->hyper.network);
	MemoryContextReset(workers->fit_context);
	steps_init(workers);
}

/*
 * Carry out the current command, in a memory context of its own, and wait at the barrier until all processes have
 * done so.  The callers have passed the barrier that announced the command.
 */
static void
carry_out(Workers *workers)
{
	MemoryContext context =
		AllocSetContextCreate(workers->context, "mnist_hil training command", ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);

	switch (workers->shared->command)
	{
		case TRAINING_LOAD:
			load(workers);
			break;
		case TRAINING_SETUP:
			setup(workers);
			break;
		case TRAINING_STEPS:
			steps_run(workers);
			break;
		case TRAINING_CALIBRATE:
			steps_calibrate(workers);
			break;
		case TRAINING_EVALUATE:
			evaluate_sets(workers);
			break;
		case TRAINING_COMPARE:
			evaluate_compare(workers);
			break;
		case TRAINING_FOLD:
			steps_fold(workers);
			break;
		case TRAINING_WEIGH:
			evaluate_feedback(workers);
			break;
	}
	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
	workers_barrier(workers);
}

void
workers_command(Workers *workers, TrainingCommand command)
{
	workers->shared->command = command;
	workers_barrier(workers);
	carry_out(workers);
}

void
workers_setup(Workers *workers, const Hyperparameters *hyper, bool is_trial)
{
	workers->shared->hyper = *hyper;
	workers->shared->is_trial = is_trial;
	workers->shared->diverged = false;
	workers_command(workers, TRAINING_SETUP);
}

void
workers_load(Workers *workers, void (*then)(void *argument), void *argument)
{
	StartTransactionCommand();
	XactIsoLevel = XACT_REPEATABLE_READ;
	PushActiveSnapshot(GetTransactionSnapshot());
	strlcpy(workers->shared->snapshot, ExportSnapshot(GetActiveSnapshot()), sizeof(workers->shared->snapshot));
	workers_command(workers, TRAINING_LOAD);
	if (then != NULL)
		then(argument);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Carry out the trainer's commands, until the end of the run makes workers_barrier throw an error. */
static void
serve(Workers *workers, int number)
{
	workers_ready(workers, number);
	for (;;)
	{
		workers_barrier(workers);
		workers->rank = workers->shared->ranks[number - 1];
		carry_out(workers);
	}
}

/* Entry point of a helper; main_arg is the handle of the run's segment. */
void
mnist_hil_helper_main(Datum main_arg)
{
	Workers *workers;
	NnError blas;
	int number;

	(void) nn_blas_load(&blas); /* if it cannot be loaded, the built-in matrix product is used */
	workers = workers_join(main_arg, &number);
	if (workers == NULL)
		return; /* the run is over */

	PG_TRY();
	{
		serve(workers, number);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		ConditionVariableCancelSleep();
		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		workers_fail(workers, edata);
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
}
