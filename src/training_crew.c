/*
 * training_crew.c: the processes of a run, and how they meet.
 *
 * The trainer makes one segment of dynamic shared memory: TrainingShared, then the vectors (the live model's
 * values, the values, Adam's two moments, the average, a gradient a process), then, while feedback is screened, an
 * opinion a drawing, and what a model makes of some base images.  Samples never go there: /dev/shm may be small.
 *
 * A run may train several networks, one after the other: the vectors have room for the largest, and each training
 * begins with TRAINING_SETUP, at which every process makes itself ready for the options that the trainer has put
 * there.
 *
 * Helpers wait for a command of the trainer, all processes carry it out, and meet again (training_crew_wait).
 * Whoever reads what another process wrote does so after a meeting, which orders memory; no lock is needed.
 *
 * Who takes part is settled before the first command: the trainer waits for each helper to join or to be gone.
 * Ranks follow the order in which they were started.
 *
 * The end.  A process that leaves -- the trainer when the run is over, any of them on an error or a signal -- sets
 * "stopped" and wakes those who wait; every process looks at "stopped" when it wakes and after each meeting, and
 * leaves in turn.  A callback on the segment does the same at exit, whatever its reason.  So nobody waits for
 * somebody who has gone.  A process killed outright takes the whole server through crash recovery, as any other
 * would.
 *
 * PostgreSQL's Barrier would nearly do.  But a process that is interrupted while it waits there can leave only by
 * BarrierDetach, which takes its own arrival for that of everybody else; who has not yet woken up from the meeting
 * before then finds the phase two steps on, and sleeps for ever.  Here nobody is ever taken off the count.
 */
#include "training.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"

/* Images a process should have of each batch at least, for batch norm's statistics to mean something. */
#define MIN_SHARE 8

/* What a helper is told when it is started. */
typedef struct HelperStart
{
	TrainingHome home;
	int number; /* 1, 2, ... */
} HelperStart;

extern PGDLLEXPORT void mnist_hil_helper_main(Datum main_arg);

static Size
vectors_offset(void)
{
	return TYPEALIGN(NN_ALIGN, sizeof(TrainingShared));
}

float *
training_crew_vector(const TrainingCrew *crew, int vector)
{
	char *vectors = (char *) crew->shared + vectors_offset();

	if (vector == TRAINING_LIVE)
		return (float *) vectors;
	return (float *) (vectors + crew->shared->live_bytes + (Size) (vector - 1) * crew->shared->vector_bytes);
}

/* Where opinions begin: behind one gradient for each process that was asked for. */
static Size
opinions_offset(const TrainingShared *shared, int processes)
{
	return vectors_offset() + shared->live_bytes + (TRAINING_GRADIENTS - 1 + processes) * shared->vector_bytes;
}

/* Room for opinions and references of so many processes, in bytes; each has part of two sets, and of one. */
static Size
opinions_bytes(const TrainingOptions *options, int processes)
{
	Size opinions = add_size((Size) options->drawings, mul_size(2, processes));

	return add_size(mul_size(sizeof(TrainingOpinion), opinions),
					mul_size(sizeof(TrainingReference), (Size) (options->references + processes)));
}

TrainingOpinion *
training_crew_opinions(const TrainingCrew *crew, int rank)
{
	const TrainingShared *shared = crew->shared;
	Size each = (Size) (shared->options.drawings / shared->nprocesses + 2);

	return (TrainingOpinion *) ((char *) crew->shared + opinions_offset(shared, shared->max_processes)) + each * rank;
}

int64
training_crew_nopinions(const TrainingCrew *crew, int rank)
{
	const int64 *totals = crew->shared->slots[rank].totals;

	return totals[TRAINING_SET_FEEDBACK] + totals[TRAINING_SET_HELD_OUT];
}

int
training_crew_max_references(const TrainingCrew *crew)
{
	return crew->shared->options.references / crew->shared->nprocesses + 1;
}

TrainingReference *
training_crew_references(const TrainingCrew *crew, int rank)
{
	const TrainingShared *shared = crew->shared;

	/* behind the opinions of all processes */
	return (TrainingReference *) training_crew_opinions(crew, shared->nprocesses) +
		   (Size) training_crew_max_references(crew) * rank;
}

/* Leave, so that nobody waits for this process. */
static void
leave(TrainingCrew *crew)
{
	if (!crew->joined)
		return;
	crew->joined = false;
	ConditionVariableCancelSleep(); /* while the segment is still there */
	pg_atomic_write_u32(&crew->shared->stopped, 1);
	ConditionVariableBroadcast(&crew->shared->met);
}

static void
leave_on_detach(dsm_segment *segment, Datum crew)
{
	(void) segment;
	leave((TrainingCrew *) DatumGetPointer(crew));
}

/* Join the run of a segment. */
static TrainingCrew *
join(dsm_segment *segment)
{
	TrainingCrew *crew = MemoryContextAllocZero(TopMemoryContext, sizeof(TrainingCrew));
	NnError error;

	crew->segment = segment;
	crew->shared = dsm_segment_address(segment);
	crew->context = AllocSetContextCreate(TopMemoryContext, "mnist_hil training", ALLOCSET_DEFAULT_SIZES);
	crew->fit_context = AllocSetContextCreate(crew->context, "mnist_hil fit", ALLOCSET_DEFAULT_SIZES);
	if (nn_net_parse(&crew->live_net, crew->shared->live_network, strlen(crew->shared->live_network), &error) !=
		NN_OK)
		nn_throw(&error);
	on_dsm_detach(segment, leave_on_detach, PointerGetDatum(crew));
	crew->joined = true;
	return crew;
}

/* Wait until every helper has joined or is gone, and give ranks to those who are here. */
static void
muster(TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	int nprocesses = 1;

	for (;;)
	{
		bool all = true;

		for (int i = 0; i < crew->nhelpers; i++)
		{
			pid_t pid;

			if (pg_atomic_read_u32(&shared->ready[i]) == 0 &&
				GetBackgroundWorkerPid(crew->helpers[i], &pid) != BGWH_STOPPED)
				all = false;
		}
		if (all)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}

	for (int i = 0; i < crew->nhelpers; i++)
		shared->ranks[i] = pg_atomic_read_u32(&shared->ready[i]) != 0 ? nprocesses++ : -1;
	SpinLockAcquire(&shared->mutex);
	shared->nprocesses = nprocesses;
	SpinLockRelease(&shared->mutex);
}

static void
start_helpers(TrainingCrew *crew, int wanted, const TrainingHome *home)
{
	for (int i = 0; i < wanted; i++)
	{
		HelperStart start = {.home = *home, .number = i + 1};

		crew->helpers[i] =
			training_process_start("mnist_hil helper", "mnist_hil_helper_main", crew->segment, &start, sizeof(start));
		if (crew->helpers[i] == NULL)
			break; /* no slot is free: make do with those there are */
		crew->nhelpers++;
	}
	muster(crew);
}

int
training_crew_size(const TrainingOptions *options, int smallest_batch)
{
	return Max(1, Min(options->processes, smallest_batch / MIN_SHARE));
}

TrainingCrew *
training_crew_create(const TrainingOptions *options, const TrainingParent *parent, Size nvalues, int smallest_batch,
					 Size loop_bytes, const TrainingHome *home)
{
	int processes = training_crew_size(options, smallest_batch);
	Size vector_bytes = TYPEALIGN(NN_ALIGN, nvalues * sizeof(float));
	Size live_bytes = TYPEALIGN(NN_ALIGN, parent->net.nvalues * sizeof(float));
	Size size;
	dsm_segment *segment;
	TrainingShared *shared;
	TrainingCrew *crew;

	size =
		add_size(add_size(vectors_offset(), live_bytes), mul_size(vector_bytes, TRAINING_GRADIENTS - 1 + processes));
	if (options->drawings > 0)
		size = add_size(size, opinions_bytes(options, processes));
	record_begin_run(options->run_id, "running", READ_LOCK_TIMEOUT);
	training_data_check_memory(options, processes, add_size(size, mul_size(loop_bytes, processes)));
	record_commit();
	segment = dsm_create(size, 0);
	shared = dsm_segment_address(segment);
	memset(shared, 0, size);
	shared->trainer = (int) (MyProc - ProcGlobal->allProcs);
	shared->options = *options;
	nn_net_format(&parent->net, shared->live_network, sizeof(shared->live_network));
	shared->live_bytes = live_bytes;
	shared->vector_bytes = vector_bytes;
	shared->max_processes = processes;
	pg_atomic_init_u32(&shared->stopped, 0);
	ConditionVariableInit(&shared->met);
	SpinLockInit(&shared->mutex);
	for (int i = 0; i < TRAINING_MAX_PROCESSES; i++)
		pg_atomic_init_u32(&shared->ready[i], 0);

	crew = join(segment);
	memcpy(training_crew_vector(crew, TRAINING_LIVE), parent->values, parent->net.nvalues * sizeof(float));
	start_helpers(crew, processes - 1, home);
	return crew;
}

/* Arrive at a meeting; its number, and whether this process was the last. */
static uint64
arrive(TrainingShared *shared, bool *last)
{
	uint64 meeting;

	SpinLockAcquire(&shared->mutex);
	meeting = shared->meetings;
	*last = ++shared->arrived == shared->nprocesses;
	if (*last)
	{
		shared->arrived = 0;
		shared->meetings++;
	}
	SpinLockRelease(&shared->mutex);
	return meeting;
}

static bool
is_complete(TrainingShared *shared, uint64 meeting)
{
	bool complete;

	SpinLockAcquire(&shared->mutex);
	complete = shared->meetings != meeting;
	SpinLockRelease(&shared->mutex);
	return complete;
}

void
training_crew_wait(TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	TrainingError error;
	bool has_error;
	bool last;
	uint64 meeting = arrive(shared, &last);

	if (last)
		ConditionVariableBroadcast(&shared->met);
	else
	{
		ConditionVariablePrepareToSleep(&shared->met);
		while (!is_complete(shared, meeting) && pg_atomic_read_u32(&shared->stopped) == 0)
			ConditionVariableSleep(&shared->met, PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
	}
	if (pg_atomic_read_u32(&shared->stopped) == 0)
		return;

	SpinLockAcquire(&shared->mutex);
	has_error = shared->has_error;
	error = shared->error;
	SpinLockRelease(&shared->mutex);
	if (has_error)
		training_error_throw(&error);
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a training process ended unexpectedly")));
}

/*
 * Do TRAINING_LOAD.  The trainer is in the transaction that exported the snapshot; a helper opens its own
 * under it.
 */
static void
load(TrainingCrew *crew)
{
	TrainingShared *shared = crew->shared;
	Size other_bytes =
		add_size(dsm_segment_map_length(crew->segment), mul_size(shared->loop_bytes, shared->nprocesses));

	if (crew->rank > 0)
	{
		StartTransactionCommand();
		XactIsoLevel = XACT_REPEATABLE_READ;
		XactReadOnly = true;
		ImportSnapshot(shared->snapshot);
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	crew->data = training_data_load(&shared->options, crew->rank, shared->nprocesses, other_bytes, crew->context);
	SPI_finish();
	if (crew->rank > 0)
	{
		PopActiveSnapshot();
		CommitTransactionCommand();
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_RUNNING, "training");
	}
	for (int i = 0; i < TRAINING_NSETS; i++)
		shared->slots[crew->rank].totals[i] = crew->data->sets[i].n;
}

/* Do TRAINING_SETUP. */
static void
setup(TrainingCrew *crew)
{
	const char *network = crew->shared->options.network;
	NnError error;

	if (nn_net_parse(&crew->net, network, strlen(network), &error) != NN_OK)
		nn_throw(&error);
	MemoryContextReset(crew->fit_context);
	training_loop_init(crew);
}

/* Carry out the command at hand, between the meeting that announced it and one that says all are done. */
static void
carry_out(TrainingCrew *crew)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(crew->context);

	switch (crew->shared->command)
	{
		case TRAINING_LOAD:
			load(crew);
			break;
		case TRAINING_SETUP:
			setup(crew);
			break;
		case TRAINING_STEPS:
			training_loop_steps(crew);
			break;
		case TRAINING_CALIBRATE:
			training_loop_calibrate(crew);
			break;
		case TRAINING_EVALUATE:
			training_loop_evaluate(crew);
			break;
		case TRAINING_COMPARE:
			training_loop_compare(crew);
			break;
		case TRAINING_FOLD:
			training_loop_fold(crew);
			break;
		case TRAINING_OPINE:
			training_loop_opine(crew);
			break;
	}
	MemoryContextSwitchTo(oldcontext);
	training_crew_wait(crew);
}

void
training_crew_command(TrainingCrew *crew, TrainingCommand command)
{
	crew->shared->command = command;
	training_crew_wait(crew);
	carry_out(crew);
}

void
training_crew_setup(TrainingCrew *crew, const TrainingOptions *options, bool hold_back)
{
	crew->shared->options = *options;
	crew->shared->hold_back = hold_back;
	crew->shared->diverged = false;
	training_crew_command(crew, TRAINING_SETUP);
}

void
training_crew_load(TrainingCrew *crew)
{
	StartTransactionCommand();
	XactIsoLevel = XACT_REPEATABLE_READ;
	PushActiveSnapshot(GetTransactionSnapshot());
	strlcpy(crew->shared->snapshot, ExportSnapshot(GetActiveSnapshot()), sizeof(crew->shared->snapshot));
	training_crew_command(crew, TRAINING_LOAD);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

void
training_crew_totals(const TrainingCrew *crew, int64 totals[TRAINING_NSETS])
{
	memset(totals, 0, sizeof(int64) * TRAINING_NSETS);
	for (int rank = 0; rank < crew->shared->nprocesses; rank++)
		for (int i = 0; i < TRAINING_NSETS; i++)
			totals[i] += crew->shared->slots[rank].totals[i];
}

void
training_crew_end(TrainingCrew *crew)
{
	HOLD_INTERRUPTS(); /* they end soon, and their slots must be free for the next run */
	leave(crew);
	for (int i = 0; i < crew->nhelpers; i++)
	{
		TerminateBackgroundWorker(crew->helpers[i]);
		WaitForBackgroundWorkerShutdown(crew->helpers[i]);
	}
	crew->nhelpers = 0;
	RESUME_INTERRUPTS();
}

void
training_crew_free(TrainingCrew *crew)
{
	dsm_detach(crew->segment);
	MemoryContextDelete(crew->context);
	pfree(crew);
}

/* A helper's error becomes the run's, unless another came first. */
static void
report_error(TrainingCrew *crew, const ErrorData *edata)
{
	TrainingShared *shared = crew->shared;
	TrainingError error;

	training_error_copy(&error, edata);
	SpinLockAcquire(&shared->mutex);
	if (!shared->has_error)
	{
		shared->error = error;
		shared->has_error = true;
	}
	SpinLockRelease(&shared->mutex);
}

/* Obey the trainer until it has gone, which is an error that throws. */
static void
serve(TrainingCrew *crew, int number)
{
	TrainingShared *shared = crew->shared;

	pg_atomic_write_u32(&shared->ready[number - 1], 1);
	SetLatch(&ProcGlobal->allProcs[shared->trainer].procLatch);
	for (;;)
	{
		training_crew_wait(crew);
		crew->rank = shared->ranks[number - 1];
		carry_out(crew);
	}
}

/* Entry point of a helper; main_arg is the handle of the run's segment. */
void
mnist_hil_helper_main(Datum main_arg)
{
	HelperStart start;
	dsm_segment *segment;
	TrainingCrew *crew;
	NnError blas;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	(void) nn_blas_load(&blas); /* without it the built-in product serves */
	training_process_connect_home(&start.home);
	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		return; /* the run is over */
	crew = join(segment);

	PG_TRY();
	{
		serve(crew, start.number);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		ConditionVariableCancelSleep();
		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		report_error(crew, edata);
		leave(crew);
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
}
