/*
 * record.c: what a retraining run reads from the tables and writes into them.
 *
 * Each write is a transaction of its own, so that no transaction is open during training.  Progress is written with
 * synchronous_commit off: a crash may lose the last of it, which does no harm.
 *
 * DROP EXTENSION or a DELETE can remove the row of a run that is under way, and a new extension can have another run
 * with the same id.  So each transaction begins with record_begin_run, which looks for the row with this process's
 * pid and start time and locks it.  If there is none the error is ERRCODE_UNDEFINED_OBJECT.  The trainer then tells
 * its caller, but records nothing.
 *
 * A lock of another session delays a write, but does not fail the run: record_write tries again until it succeeds or
 * is cancelled.  Between two attempts it holds no lock and no snapshot.
 *
 * A run is under way if its row says 'running' and the process with the row's pid and start time exists.  If there is
 * no such process, a crash left the row, and the next run closes it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/store.h"
#include "nn/kernels/blas.h"
#include "nn/kernels/cpu.h"
#include "pg/compat.h"
#include "pg/schema.h"
#include "pg/spi.h"
#include "train/record.h"

PG_FUNCTION_INFO_V1(mnist_hil_process_alive);

/* How long an attempt to write waits for a lock. */
#define WRITE_LOCK_TIMEOUT "2s"
/* ... and to record a cancelled run, which must end within a second. */
#define CANCELLED_LOCK_TIMEOUT "500ms"

/* Milliseconds between two attempts: the first pause, doubled each time up to the last. */
#define FIRST_PAUSE 100
#define LAST_PAUSE 5000

/* Attempts after other errors that may be temporary, such as a full disk. */
#define MAX_ATTEMPTS 8

void
record_begin(void)
{
	pgstat_report_activity(STATE_RUNNING, "recording a retraining run");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (!OidIsValid(schema_relation("mnist_run")))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the extension mnist_hil has been dropped")));
}

void
record_begin_run(int64 run_id, const char *status, const char *lock_timeout)
{
	SpiParameters parameters = {0};

	record_begin();
	spi_set_local("lock_timeout", lock_timeout);
	spi_add_int8(&parameters, run_id);
	spi_add_text(&parameters, status);
	spi_add_int4(&parameters, MyProcPid);
	spi_add(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(MyStartTimestamp));
	if (spi_execute("SELECT FROM %s.mnist_run WHERE id = $1 AND status = $2 AND pid = $3 AND process_started_at = $4"
					" FOR NO KEY UPDATE",
					&parameters) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("the run's record has gone")));
}

void
record_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_RUNNING, "training");
}

/* Is another attempt worth it, after this error and this number of attempts? */
static bool
may_pass(int sqlerrcode, int attempts)
{
	switch (sqlerrcode)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
			return true;
		case ERRCODE_UNIQUE_VIOLATION: /* another session added a row with the same number */
		case ERRCODE_DISK_FULL:
		case ERRCODE_OUT_OF_MEMORY:
		case ERRCODE_INSUFFICIENT_RESOURCES:
			return attempts < MAX_ATTEMPTS;
		default:
			return false;
	}
}

/*
 * Make one attempt.  Returns NULL if it succeeded, or an error after which to try again, in a memory context.  Throws
 * other errors.
 */
static ErrorData *
attempt_write(int64 run_id, RecordWrite write, void *argument, int attempts, MemoryContext context)
{
	ErrorData *volatile edata = NULL;

	PG_TRY();
	{
		record_begin_run(run_id, "running", WRITE_LOCK_TIMEOUT);
		write(argument);
		record_commit();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (!may_pass(edata->sqlerrcode, attempts))
			PG_RE_THROW();
		FlushErrorState();
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return edata;
}

void
record_write(int64 run_id, RecordWrite write, void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	long pause = FIRST_PAUSE;
	ErrorData *edata;

	for (int attempts = 1; (edata = attempt_write(run_id, write, argument, attempts, context)) != NULL; attempts++)
	{
		if (attempts == 1)
			ereport(LOG, (errmsg("retraining run %lld waits to write its record: %s", (long long) run_id,
								 edata->message)));
		FreeErrorData(edata);
		pgstat_report_activity(STATE_RUNNING, "waiting to record a retraining run");
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		pause = Min(2 * pause, LAST_PAUSE);
	}
}

char *
record_try(void (*function)(void *argument), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile message = NULL;

	PG_TRY();
	{
		function(argument);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		QueryCancelPending = false;
		MemoryContextSwitchTo(context);
		message = pstrdup(edata->message);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return message;
}

/* Execute RecordStatements. */
static void
write_statements(void *argument)
{
	RecordStatements *statements = argument;

	if (statements->light)
		spi_set_local("synchronous_commit", "off");
	for (int i = 0; i < RECORD_MAX_STATEMENTS && statements->sql[i] != NULL; i++)
		spi_execute(statements->sql[i], &statements->parameters);
}

void
record_statements(int64 run_id, RecordStatements *statements)
{
	record_write(run_id, write_statements, statements);
}

/* Does a process with this pid and this start time exist?  Needs no privileges. */
static bool
process_alive(int pid, TimestampTz started)
{
	pgstat_clear_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		LocalPgBackendStatus *local = pgstat_fetch_stat_local_beentry(i);

		if (local != NULL && local->backendStatus.st_procpid == pid)
			return local->backendStatus.st_proc_start_timestamp == started;
	}
	return false;
}

/* mnist_hil_process_alive(pid int, started timestamptz) RETURNS boolean: for mnist_training_progress. */
Datum
mnist_hil_process_alive(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(process_alive(PG_GETARG_INT32(0), PG_GETARG_TIMESTAMPTZ(1)));
}

/* The id of the run under way, or 0.  *orphan: the id of a run whose process is gone, or 0.  SPI is connected. */
static int64
find_running(int64 *orphan)
{
	int64 id;

	*orphan = 0;
	if (spi_execute("SELECT id, pid, process_started_at FROM %s.mnist_run WHERE status = 'running'", NULL) == 0)
		return 0;
	id = DatumGetInt64(spi_result(1));
	if (process_alive(DatumGetInt32(spi_result(2)), DatumGetTimestampTz(spi_result(3))))
		return id;
	*orphan = id;
	return 0;
}

int64
record_running(void)
{
	int64 orphan;

	return find_running(&orphan);
}

void
record_refuse(int64 run_id)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a retraining run is already under way"),
					run_id != 0 ? errdetail("It is run %lld.", (long long) run_id) : 0,
					errhint("See mnist_training_progress; pg_terminate_backend with its pid ends it.")));
}

void
record_check_data(const TrainingOrders *orders)
{
	SpiParameters parameters = {0};
	int64 train;
	int64 validation;

	orders_add_datasets(&parameters, orders);
	/* counting no further than needed keeps this cheap */
	spi_add_int4(&parameters, TRAINING_MIN_TRAIN);
	spi_add_int4(&parameters, TRAINING_MIN_VALIDATION);
	spi_execute("SELECT (SELECT count(*) FROM (SELECT FROM %s.mnist_sample WHERE split = 'train'"
				"          AND ($1 IS NULL OR dataset_id = ANY ($1)) LIMIT $2) t),"
				"       (SELECT count(*) FROM (SELECT FROM %s.mnist_sample WHERE split = 'validation'"
				"          AND ($1 IS NULL OR dataset_id = ANY ($1)) LIMIT $3) v)",
				&parameters);
	train = DatumGetInt64(spi_result(1));
	validation = DatumGetInt64(spi_result(2));
	if (train == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("there is no base data to train on"),
				 errdetail("A model trained on feedback alone would forget everything else."),
				 errhint("Import MNIST with mnist_import_idx, your own images with mnist_import_images, or synthetic"
						 " digits with mnist_import_synthetic, and commit.")));
	if (train < TRAINING_MIN_TRAIN || validation < TRAINING_MIN_VALIDATION)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("there is too little base data to train on"),
			 errdetail("There are %lld images to train on and %lld to validate with; at least %d and %d are needed.",
					   (long long) train, (long long) validation, TRAINING_MIN_TRAIN, TRAINING_MIN_VALIDATION),
			 errhint("Import more with mnist_import_idx, mnist_import_images or mnist_import_synthetic.")));
}

void
record_read_parent(TrainingParent *parent, int version, MemoryContext context)
{
	SpiParameters parameters = {0};
	float *values;

	spi_add_int4(&parameters, version);
	if (spi_execute("SELECT m.version, m.architecture FROM %s.mnist_deployment d JOIN %s.mnist_model m"
					" ON m.version = CASE WHEN $1 = 0 THEN d.version ELSE $1 END ORDER BY d.id DESC LIMIT 1",
					&parameters) == 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no model is live"),
						errhint("Activate one with mnist_activate.")));
	parent->version = DatumGetInt32(spi_result(1));
	strlcpy(parent->architecture, TextDatumGetCString(spi_result(2)), sizeof(parent->architecture));
	values = model_store_read(parent->version, &parent->net);
	parent->values = MemoryContextAlloc(context, parent->net.nvalues * sizeof(float));
	memcpy(parent->values, values, parent->net.nvalues * sizeof(float));
}

/* What trains: extension, server, library for matrix products, kernels. */
static char *
software(void)
{
	return psprintf("mnist_hil %s, PostgreSQL %s, %s, %s kernels", schema_version(), PG_VERSION, nn_blas_name(),
					nn_isa_name(nn_isa()));
}

void
record_check_nothing_missing(int64 run_id, const char *missing)
{
	if (missing[0] != '\0')
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("run %lld cannot be reproduced", (long long) run_id), errdetail("%s", missing)));
}

void
record_check_software(const TrainingOrders *orders)
{
	SpiParameters parameters = {0};

	spi_add_int8(&parameters, orders->reproduces);
	spi_add_text(&parameters, software());
	spi_execute("SELECT pg_catalog.array_to_string(mnist_internal.reproduce_missing($1, $2), ' ')", &parameters);
	record_check_nothing_missing(orders->reproduces, TextDatumGetCString(spi_result(1)));
}

/* The processor's name, as the kernel has it, or NULL: the exact bits of the weights depend on the processor, too. */
static char *
cpu_model(void)
{
	FILE *file = AllocateFile("/proc/cpuinfo", "r");
	char line[256];
	char *cpu = NULL;

	while (file != NULL && cpu == NULL && fgets(line, sizeof(line), file) != NULL)
	{
		char *colon = strchr(line, ':');

		if (colon == NULL || (strncmp(line, "model name", 10) != 0 && strncmp(line, "cpu\t", 4) != 0))
			continue;
		colon += strspn(colon, ": ");
		colon[strcspn(colon, "\n")] = '\0';
		cpu = pg_any_to_server(colon, (int) strlen(colon), PG_SQL_ASCII);
		cpu = pstrdup(cpu);
	}
	if (file != NULL)
		FreeFile(file);
	return cpu;
}

/*
 * Close the row that a crashed run left, and add this run's row.  If two runs start at once, the unique index on
 * running runs makes the second wait for the first one's commit and then refuses it.  SPI is connected.
 */
int64
record_start(const Hyperparameters *hyper, const TrainingOrders *orders, const TrainingStudy *study,
			 const TrainingParent *parent, const char *requested_by, const TrainingCause *cause)
{
	SpiParameters parameters = {0};
	int64 orphan;
	int64 running = find_running(&orphan);

	if (running != 0)
		record_refuse(running);
	if (orphan != 0)
		spi_execute_int8("SELECT mnist_internal.close_orphan($1)", orphan);

	spi_add_text(&parameters, training_strategy_name(hyper->strategy));
	spi_add_text(&parameters, hyper->architecture);
	spi_add_int8(&parameters, hyper->seed);
	spi_add_text(&parameters, hyperparameters_json(hyper));
	spi_add_int4(&parameters, parent->version);
	spi_add_int4(&parameters, hyper->epochs);
	spi_add_text(&parameters, requested_by);
	spi_add_int4(&parameters, MyProcPid);
	spi_add(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(MyStartTimestamp));
	spi_add_text(&parameters, software());
	spi_add_text(&parameters, cause->by_check ? "check" : "by hand");
	spi_add_text(&parameters, cause->reasons);
	spi_add_int4(&parameters, cause->by_check ? cause->attempt : 1);
	spi_add_int8(&parameters, cause->retry_of);
	spi_add_int8(&parameters, orders->reproduces);
	spi_add_text(&parameters, cpu_model());
	spi_add_text(&parameters, training_study_json(study, hyper));
	spi_add_int8(&parameters, study->resume_run);
	spi_add_int8(&parameters, orders->recipe_id);
	spi_add(&parameters, FLOAT8OID, Float8GetDatum(orders->time_budget));
	if (spi_execute(
			"INSERT INTO %s.mnist_run (status, strategy, architecture, seed, parameters, parent_version, epochs,"
			" requested_by, pid, process_started_at, software, trigger, reasons, attempt, retry_of, reproduces, cpu,"
			" search, resumes, recipe_id, time_budget, phase, epoch, progress, updated_at)"
			" VALUES ('running', $1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, $11, nullif($12, '')::text[], $13,"
			" nullif($14, 0), nullif($15, 0), $16, $17::jsonb, nullif($18, 0), nullif($19, 0),"
			" CASE WHEN $20 > 0 THEN make_interval(secs => $20) END, 'loading', 0, 0, clock_timestamp())"
			" ON CONFLICT DO NOTHING RETURNING id",
			&parameters) == 0)
		record_refuse(record_running());
	return DatumGetInt64(spi_result(1));
}

void
record_data(int64 run_id, const TrainingOrders *orders, const int64 totals[TRAINING_NSETS], int nprocesses,
			const char *data)
{
	RecordStatements write = {
		.light = true,
		.sql = {"UPDATE %s.mnist_run SET phase = 'training', updated_at = clock_timestamp(),"
				" training_started_at = clock_timestamp(),"
				" datasets = (SELECT array_agg(name ORDER BY id) FROM %s.mnist_dataset"
				"  WHERE $2 IS NULL OR id = ANY ($2)),"
				" train_images = $3, feedback_train_images = $4, validation_images = $5,"
				" feedback_held_out_images = $6, test_images = $7, processes = $8, data = $9::jsonb,"
				" data_sha256 = mnist_internal.data_sha256($9::jsonb) WHERE id = $1"}};

	spi_add_int8(&write.parameters, run_id);
	orders_add_datasets(&write.parameters, orders);
	for (int i = 0; i < TRAINING_NSETS; i++)
		spi_add_int8(&write.parameters, totals[i]);
	spi_add_int4(&write.parameters, nprocesses);
	spi_add_text(&write.parameters, data);
	record_statements(run_id, &write);
}

void
record_shortened(int64 run_id, const Hyperparameters *hyper, const char *shortened)
{
	RecordStatements write = {.sql = {"UPDATE %s.mnist_run SET parameters = $2::jsonb, epochs = $3, shortened = $4,"
									  " updated_at = clock_timestamp() WHERE id = $1"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_text(&write.parameters, hyperparameters_json(hyper));
	spi_add_int4(&write.parameters, hyper->epochs);
	spi_add_text(&write.parameters, shortened);
	record_statements(run_id, &write);
}

void
record_phase(int64 run_id, const char *phase)
{
	RecordStatements write = {
		.light = true, .sql = {"UPDATE %s.mnist_run SET phase = $2, updated_at = clock_timestamp() WHERE id = $1"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_text(&write.parameters, phase);
	record_statements(run_id, &write);
}

void
record_progress(int64 run_id, int epoch, double progress, double loss, double images_per_second)
{
	RecordStatements write = {
		.light = true,
		.sql = {"UPDATE %s.mnist_run SET epoch = $2, progress = $3, loss = $4, images_per_second = $5,"
				" updated_at = clock_timestamp() WHERE id = $1"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_int4(&write.parameters, epoch);
	spi_add_float(&write.parameters, progress);
	spi_add_float(&write.parameters, loss);
	spi_add_float(&write.parameters, images_per_second);
	record_statements(run_id, &write);
}

void
record_present(int64 run_id)
{
	RecordStatements nothing = {.light = true};

	record_statements(run_id, &nothing);
}

/* Add a report's row to mnist_metric. */
void
record_report(int64 run_id, const TrainingReport *report)
{
	RecordStatements write = {
		.light = true,
		.sql = {"INSERT INTO %s.mnist_metric (run_id, trial, epoch, images, train_loss, train_accuracy,"
				" validation_loss, validation_accuracy, value, learning_rate, images_per_second)"
				" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_int4(&write.parameters, report->trial);
	spi_add_int4(&write.parameters, report->number);
	spi_add_int8(&write.parameters, report->images);
	spi_add_float(&write.parameters, training_mean_loss(&report->train));
	spi_add_float(&write.parameters, training_accuracy(&report->train));
	spi_add_float(&write.parameters, training_mean_loss(&report->validation));
	spi_add_float(&write.parameters, training_accuracy(&report->validation));
	spi_add_float(&write.parameters, report->value);
	spi_add_float(&write.parameters, report->learning_rate);
	spi_add_float(&write.parameters, report->images_per_second);
	record_statements(run_id, &write);
}

void
record_open_snapshot(const TrainingOrders *orders)
{
	SpiParameters parameters = {0};

	record_begin_run(orders->run_id, "running", WORKER_LOCK_TIMEOUT);
	spi_add_int8(&parameters, orders->run_id);
	if (orders->reproduces != 0)
	{
		spi_add_int8(&parameters, orders->reproduces);
		spi_execute("SELECT mnist_internal.copy_snapshot($1, $2)", &parameters);
	}
	else
	{
		spi_add(&parameters, FLOAT8OID, Float8GetDatum(orders->annotator_share));
		spi_add_int4(&parameters, orders->annotator_labels);
		spi_execute("SELECT mnist_internal.open_snapshot($1, $2, $3)", &parameters);
	}
	/* decode the PNGs of the feedback that no run has used before */
	spi_execute_int8("SELECT mnist_internal.keep_images($1)", orders->run_id);
	record_commit();
}

char *
record_read_data(const TrainingOrders *orders, MemoryContext context)
{
	SpiParameters parameters = {0};

	spi_add_int8(&parameters, orders->run_id);
	orders_add_datasets(&parameters, orders);
	spi_execute("SELECT mnist_internal.data($1, $2)::pg_catalog.text", &parameters);
	return MemoryContextStrdup(context, TextDatumGetCString(spi_result(1)));
}

bool
record_possible(void)
{
	bool possible;

	StartTransactionCommand();
	possible = OidIsValid(get_extension_oid("mnist_hil", true));
	CommitTransactionCommand();
	return possible;
}

/*
 * Close the run's row after an error, if it is still there and this run's.  Returns whether it was closed.  A
 * cancelled run has to end at once, so it makes one attempt only.  If the row is locked then, the next run closes it
 * as that of a crashed run.
 */
bool
record_failure(int64 run_id, const ErrorData *edata)
{
	bool cancelled = edata->sqlerrcode == ERRCODE_QUERY_CANCELED;
	MemoryContext context = CurrentMemoryContext;
	volatile bool closed = true;
	RecordStatements write = {
		.sql = {"UPDATE %s.mnist_run SET status = $2, error = $3, sqlstate = $4, finished_at = clock_timestamp(),"
				" updated_at = clock_timestamp() WHERE id = $1"}};

	spi_add_int8(&write.parameters, run_id);
	spi_add_text(&write.parameters, cancelled ? "cancelled" : "failed");
	spi_add_text(&write.parameters, edata->message);
	spi_add_text(&write.parameters, unpack_sql_state(edata->sqlerrcode));
	PG_TRY();
	{
		if (cancelled)
		{
			record_begin_run(run_id, "running", CANCELLED_LOCK_TIMEOUT);
			write_statements(&write);
			record_commit();
		}
		else
			record_statements(run_id, &write);
	}
	PG_CATCH();
	{
		ErrorData *why;

		MemoryContextSwitchTo(context);
		why = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		closed = false;
		if (why->sqlerrcode != ERRCODE_UNDEFINED_OBJECT)
			ereport(LOG, (errmsg("the record of retraining run %lld could not be closed: %s", (long long) run_id,
								 why->message)));
		FreeErrorData(why);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return closed;
}
