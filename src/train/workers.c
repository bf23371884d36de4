/*
 * workers.c: the processes of a run, their shared segment and their barrier.
 *
 * The trainer makes one segment of dynamic shared memory.  It holds TrainingShared, then the vectors (the live
 * model's values, the values, Adam's two moments, the average, a gradient for each process), then, for the
 * label-noise filter only, its evidence and references.  Samples are not in it, because /dev/shm may be small.
 *
 * A run may train several networks, one after the other.  The vectors have room for the largest.  Each fit begins
 * with TRAINING_SETUP, by which every process prepares for the hyperparameters that the trainer has put into the
 * segment.
 *
 * Helpers wait at the barrier for a command of the trainer.  All processes carry it out and wait for each other again
 * (commands.c).  A process reads what another one wrote only after a barrier.  The barrier orders memory, so no lock
 * is needed.
 *
 * Before the first command the trainer waits until each helper has joined or has exited.  From then on the number of
 * participants is fixed.  Their ranks follow the order in which they were started.
 *
 * The end.  A process that leaves (the trainer when the run is over, any of them on an error or a signal) sets
 * "stopped" and wakes those that wait.  Every process checks "stopped" when it wakes and after each barrier, and then
 * leaves, too.  A callback on the segment does the same whenever a process exits.  So no process waits for one that
 * is gone.  A process that is killed outright takes the server through crash recovery, as any backend does.
 *
 * Why not PostgreSQL's Barrier: a process that is interrupted while it waits there can leave only by BarrierDetach.
 * That lowers the number of participants, but still counts the arrival of the process that left.  So the barrier can
 * open before everybody has arrived.  A process that has not yet woken up from the phase before then finds the phase
 * two steps on, and sleeps for ever.  Here the number of participants never changes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "pg/errors.h"
#include "train/workers.h"

/* Images of each batch that a process has at least, so that batch norm's statistics mean something. */
#define MIN_SHARE 8

/* What a helper gets when it is started. */
typedef struct HelperStart
{
	WorkerHome home;
	int number; /* 1, 2, ... */
} HelperStart;

static Size
vectors_offset(void)
{
	return TYPEALIGN(NN_ALIGN, sizeof(TrainingShared));
}

float *
workers_vector(const Workers *workers, int vector)
{
	char *vectors = (char *) workers->shared + vectors_offset();

	if (vector == TRAINING_LIVE)
		return (float *) vectors;
	return (float *) (vectors + workers->shared->live_bytes + (Size) (vector - 1) * workers->shared->vector_bytes);
}

/* The offset of the evidence: after one gradient for each process that there is room for. */
static Size
evidence_offset(const TrainingShared *shared, int processes)
{
	return vectors_offset() + shared->live_bytes + (TRAINING_GRADIENTS - 1 + processes) * shared->vector_bytes;
}

/*
 * Bytes for the evidence and the references of a number of processes.  Each process has a part of two sets of
 * feedback and of one set of references, and each part may be one image more than average.
 */
static Size
evidence_bytes(const TrainingOrders *orders, int processes)
{
	Size evidence = add_size((Size) orders->evidence, mul_size(2, processes));

	return add_size(mul_size(sizeof(LabelEvidence), evidence),
					mul_size(sizeof(TrainingReference), (Size) (orders->references + processes)));
}

LabelEvidence *
workers_evidence(const Workers *workers, int rank)
{
	const TrainingShared *shared = workers->shared;
	Size each = (Size) (shared->orders.evidence / shared->nprocesses + 2);

	return (LabelEvidence *) ((char *) workers->shared + evidence_offset(shared, shared->max_processes)) +
		   each * rank;
}

int64
workers_nevidence(const Workers *workers, int rank)
{
	const int64 *totals = workers->shared->slots[rank].totals;

	return totals[TRAINING_SET_FEEDBACK] + totals[TRAINING_SET_HELD_OUT];
}

int
workers_max_references(const Workers *workers)
{
	return workers->shared->orders.references / workers->shared->nprocesses + 1;
}

TrainingReference *
workers_references(const Workers *workers, int rank)
{
	const TrainingShared *shared = workers->shared;

	/* behind the evidence of all processes */
	return (TrainingReference *) workers_evidence(workers, shared->nprocesses) +
		   (Size) workers_max_references(workers) * rank;
}

/* Leave, so that nobody waits for this process. */
static void
leave(Workers *workers)
{
	if (!workers->joined)
		return;
	workers->joined = false;
	ConditionVariableCancelSleep(); /* while the segment is still there */
	pg_atomic_write_u32(&workers->shared->stopped, 1);
	ConditionVariableBroadcast(&workers->shared->passed);
}

static void
leave_on_detach(dsm_segment *segment, Datum workers)
{
	(void) segment;
	leave((Workers *) DatumGetPointer(workers));
}

/* Join the run of a segment. */
static Workers *
join(dsm_segment *segment)
{
	Workers *workers = MemoryContextAllocZero(TopMemoryContext, sizeof(Workers));

	workers->segment = segment;
	workers->shared = dsm_segment_address(segment);
	workers->context = AllocSetContextCreate(TopMemoryContext, "mnist_hil training", ALLOCSET_DEFAULT_SIZES);
	workers->fit_context = AllocSetContextCreate(workers->context, "mnist_hil fit", ALLOCSET_DEFAULT_SIZES);
	nn_parse(&workers->live_net, workers->shared->live_network);
	on_dsm_detach(segment, leave_on_detach, PointerGetDatum(workers));
	workers->joined = true;
	return workers;
}

/* Wait until every helper has joined or has exited, and give ranks to those that joined. */
static void
wait_for_helpers(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	int nprocesses = 1;

	for (;;)
	{
		bool all = true;

		for (int i = 0; i < workers->nhelpers; i++)
		{
			pid_t pid;

			if (pg_atomic_read_u32(&shared->ready[i]) == 0 &&
				GetBackgroundWorkerPid(workers->helpers[i], &pid) != BGWH_STOPPED)
				all = false;
		}
		if (all)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}

	for (int i = 0; i < workers->nhelpers; i++)
		shared->ranks[i] = pg_atomic_read_u32(&shared->ready[i]) != 0 ? nprocesses++ : -1;
	SpinLockAcquire(&shared->mutex);
	shared->nprocesses = nprocesses;
	SpinLockRelease(&shared->mutex);
}

static void
start_helpers(Workers *workers, int wanted, const WorkerHome *home, const char *function)
{
	for (int i = 0; i < wanted; i++)
	{
		HelperStart start = {.home = *home, .number = i + 1};

		workers->helpers[i] = worker_start("mnist_hil helper", function, workers->segment, &start, sizeof(start));
		if (workers->helpers[i] == NULL)
			break; /* no slot is free: train with fewer processes */
		workers->nhelpers++;
	}
	wait_for_helpers(workers);
}

int
workers_count(const TrainingOrders *orders, int smallest_batch)
{
	return Max(1, Min(orders->processes, smallest_batch / MIN_SHARE));
}

Workers *
workers_create(const TrainingOrders *orders, const TrainingParent *parent, Size nvalues, int smallest_batch,
			   Size loop_bytes, const WorkerHome *home, const char *function)
{
	int processes = workers_count(orders, smallest_batch);
	Size vector_bytes = TYPEALIGN(NN_ALIGN, nvalues * sizeof(float));
	Size live_bytes = TYPEALIGN(NN_ALIGN, parent->net.nvalues * sizeof(float));
	Size size;
	dsm_segment *segment;
	TrainingShared *shared;
	Workers *workers;

	size =
		add_size(add_size(vectors_offset(), live_bytes), mul_size(vector_bytes, TRAINING_GRADIENTS - 1 + processes));
	if (orders->evidence > 0)
		size = add_size(size, evidence_bytes(orders, processes));
	record_begin_run(orders->run_id, "running", WORKER_LOCK_TIMEOUT);
	samples_check_memory(orders, processes, add_size(size, mul_size(loop_bytes, processes)));
	record_commit();
	segment = dsm_create(size, 0);
	shared = dsm_segment_address(segment);
	memset(shared, 0, size);
	shared->trainer = (int) (MyProc - ProcGlobal->allProcs);
	shared->orders = *orders;
	nn_net_format(&parent->net, shared->live_network, sizeof(shared->live_network));
	shared->live_bytes = live_bytes;
	shared->vector_bytes = vector_bytes;
	shared->max_processes = processes;
	pg_atomic_init_u32(&shared->stopped, 0);
	ConditionVariableInit(&shared->passed);
	SpinLockInit(&shared->mutex);
	for (int i = 0; i < TRAINING_MAX_PROCESSES; i++)
		pg_atomic_init_u32(&shared->ready[i], 0);

	workers = join(segment);
	memcpy(workers_vector(workers, TRAINING_LIVE), parent->values, parent->net.nvalues * sizeof(float));
	start_helpers(workers, processes - 1, home, function);
	return workers;
}

/* Arrive at the barrier.  Returns its phase.  *last: all others had arrived already. */
static uint64
arrive(TrainingShared *shared, bool *last)
{
	uint64 phase;

	SpinLockAcquire(&shared->mutex);
	phase = shared->phase;
	*last = ++shared->arrived == shared->nprocesses;
	if (*last)
	{
		shared->arrived = 0;
		shared->phase++;
	}
	SpinLockRelease(&shared->mutex);
	return phase;
}

static bool
is_complete(TrainingShared *shared, uint64 phase)
{
	bool complete;

	SpinLockAcquire(&shared->mutex);
	complete = shared->phase != phase;
	SpinLockRelease(&shared->mutex);
	return complete;
}

void
workers_barrier(Workers *workers)
{
	TrainingShared *shared = workers->shared;
	WorkerError error;
	bool has_error;
	bool last;
	uint64 phase = arrive(shared, &last);

	if (last)
		ConditionVariableBroadcast(&shared->passed);
	else
	{
		ConditionVariablePrepareToSleep(&shared->passed);
		while (!is_complete(shared, phase) && pg_atomic_read_u32(&shared->stopped) == 0)
			ConditionVariableSleep(&shared->passed, PG_WAIT_EXTENSION);
		ConditionVariableCancelSleep();
	}
	if (pg_atomic_read_u32(&shared->stopped) == 0)
		return;

	SpinLockAcquire(&shared->mutex);
	has_error = shared->has_error;
	error = shared->error;
	SpinLockRelease(&shared->mutex);
	if (has_error)
		worker_error_throw(&error);
	ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a training process ended unexpectedly")));
}

void
workers_totals(const Workers *workers, int64 totals[TRAINING_NSETS])
{
	memset(totals, 0, sizeof(int64) * TRAINING_NSETS);
	for (int rank = 0; rank < workers->shared->nprocesses; rank++)
		for (int i = 0; i < TRAINING_NSETS; i++)
			totals[i] += workers->shared->slots[rank].totals[i];
}

void
workers_end(Workers *workers)
{
	HOLD_INTERRUPTS(); /* the helpers end soon, and their slots must be free for the next run */
	leave(workers);
	for (int i = 0; i < workers->nhelpers; i++)
	{
		TerminateBackgroundWorker(workers->helpers[i]);
		WaitForBackgroundWorkerShutdown(workers->helpers[i]);
	}
	workers->nhelpers = 0;
	RESUME_INTERRUPTS();
}

void
workers_free(Workers *workers)
{
	dsm_detach(workers->segment);
	MemoryContextDelete(workers->context);
	pfree(workers);
}

Workers *
workers_join(Datum main_arg, int *number)
{
	HelperStart start;
	dsm_segment *segment;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	*number = start.number;
	worker_connect_home(&start.home);
	segment = dsm_attach(DatumGetUInt32(main_arg));
	return segment != NULL ? join(segment) : NULL;
}

void
workers_ready(Workers *workers, int number)
{
	TrainingShared *shared = workers->shared;

	pg_atomic_write_u32(&shared->ready[number - 1], 1);
	SetLatch(&ProcGlobal->allProcs[shared->trainer].procLatch);
}

void
workers_fail(Workers *workers, const ErrorData *edata)
{
	TrainingShared *shared = workers->shared;
	WorkerError error;

	worker_error_copy(&error, edata);
	SpinLockAcquire(&shared->mutex);
	if (!shared->has_error)
	{
		shared->error = error;
		shared->has_error = true;
	}
	SpinLockRelease(&shared->mutex);
	leave(workers);
}
