/*
 * schedule.c: mnist_schedule() and mnist_unschedule(), the way to pg_cron, which is to call mnist_housekeep.
 *
 * pg_cron lives in one database of the server.  Where that is this one, its functions are called here, as the
 * caller, in the caller's transaction.  Where it is another one, a background worker is sent there, which
 * connects as the caller, does the same in a transaction of its own, and brings back the job's id or the error;
 * so there the schedule takes effect at once, whatever becomes of the caller's transaction.  The worker can do
 * nothing that the caller could not do over a connection of their own: the caller must be allowed to connect
 * there and to use pg_cron.
 *
 * Jobs run as who scheduled them.  There is one a database and role, by its name; a superuser's replaces those of
 * others, which only superusers see.
 */
#include "training.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define MAX_SCHEDULE 256
#define MAX_COMMAND (2 * NAMEDATALEN + 64)

typedef enum ErrandState
{
	ERRAND_STARTING,
	ERRAND_DONE,
	ERRAND_FAILED
} ErrandState;

/*
 * What is to be done with the job, and what came of it.  The worker writes from state on, the caller what is
 * above.
 */
typedef struct Errand
{
	char name[NAMEDATALEN]; /* of the job */
	char database[NAMEDATALEN];
	char command[MAX_COMMAND];
	char schedule[MAX_SCHEDULE]; /* empty: to unschedule */
	Oid cron_database;
	Oid role;
	int caller; /* its number among ProcGlobal->allProcs, to set its latch */

	pg_atomic_uint32 state; /* ErrandState */
	int64 result;			/* the job's id, or how many there were */
	TrainingError error;
} Errand;

PG_FUNCTION_INFO_V1(mnist_schedule);
PG_FUNCTION_INFO_V1(mnist_unschedule);
PG_FUNCTION_INFO_V1(mnist_hil_check_job_name);

extern PGDLLEXPORT void mnist_hil_scheduler_main(Datum main_arg);

/* The first column of a statement's only row; the parameters are text. */
static int64
query(const char *statement, int n, const char *const *parameters)
{
	Oid types[4];
	Datum values[4];
	bool isnull;

	for (int i = 0; i < n; i++)
	{
		types[i] = TEXTOID;
		values[i] = CStringGetTextDatum(parameters[i]);
	}
	if (SPI_execute_with_args(statement, n, types, values, NULL, false, 1) < 0 || SPI_processed != 1)
		elog(ERROR, "unexpected result of \"%s\"", statement);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Do it, in the database where pg_cron is; SPI is connected. */
static int64
run_errand(const Errand *errand)
{
	const char *name[] = {errand->name};
	const char *job[] = {errand->name, errand->schedule, errand->command, errand->database};

	if (errand->schedule[0] == '\0')
		return query(
			"SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job WHERE jobname OPERATOR(pg_catalog.=) $1",
			1, name);
	query("SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job"
		  " WHERE jobname OPERATOR(pg_catalog.=) $1 AND username OPERATOR(pg_catalog.<>) CURRENT_USER",
		  1, name);
	if (errand->cron_database == MyDatabaseId && strcmp(get_database_name(MyDatabaseId), errand->database) == 0)
		return query("SELECT cron.schedule($1, $2, $3)", 3, job);
	return query("SELECT cron.schedule_in_database($1, $2, $3, $4)", 4, job);
}

/* Entry point of the worker; main_arg is the handle of the Errand. */
void
mnist_hil_scheduler_main(Datum main_arg)
{
	dsm_segment *segment = dsm_attach(DatumGetUInt32(main_arg));
	Errand *errand;
	ErrandState state;

	if (segment == NULL)
		return; /* the caller has gone */
	errand = dsm_segment_address(segment);
	training_process_connect(errand->cron_database, errand->role);

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		pgstat_report_activity(STATE_RUNNING, "scheduling mnist_check");
		if (!OidIsValid(get_extension_oid("pg_cron", true)))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("pg_cron is not installed in database \"%s\"", get_database_name(MyDatabaseId)),
							errdetail("The setting cron.database_name says that it belongs there."),
							errhint("Have an administrator run CREATE EXTENSION pg_cron there.")));
		errand->result = run_errand(errand);
		SPI_finish();
		PopActiveSnapshot();
		CommitTransactionCommand();
		state = ERRAND_DONE;
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		training_error_copy(&errand->error, edata);
		state = ERRAND_FAILED;
	}
	PG_END_TRY();
	pg_write_barrier();
	pg_atomic_write_u32(&errand->state, state);
	SetLatch(&ProcGlobal->allProcs[errand->caller].procLatch);
}

/* On detaching the errand before its end. */
static void
terminate_worker(dsm_segment *segment, Datum handle)
{
	(void) segment;
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

/* What an administrator can run where pg_cron is, if the way there is barred. */
static char *
by_hand(const Errand *errand, const char *cron_database)
{
	StringInfoData statement;

	initStringInfo(&statement);
	if (errand->schedule[0] == '\0')
		appendStringInfo(&statement, "SELECT cron.unschedule(%s);", quote_literal_cstr(errand->name));
	else
		appendStringInfo(&statement, "SELECT cron.schedule_in_database(%s, %s, %s, %s);",
						 quote_literal_cstr(errand->name), quote_literal_cstr(errand->schedule),
						 quote_literal_cstr(errand->command), quote_literal_cstr(errand->database));
	return psprintf("In database \"%s\", where pg_cron is, this does it: %s", cron_database, statement.data);
}

/* Sleep until the worker has announced the end. */
static void
wait_for_worker(Errand *errand, BackgroundWorkerHandle *handle, const char *hint)
{
	for (;;)
	{
		pid_t pid;
		BgwHandleStatus status = GetBackgroundWorkerPid(handle, &pid);
		ErrandState state = (ErrandState) pg_atomic_read_u32(&errand->state);

		pg_read_barrier();
		if (state == ERRAND_DONE)
			return;
		if (state == ERRAND_FAILED)
		{
			TrainingError error = errand->error;
			bool barred =
				error.sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE || error.sqlerrcode == ERRCODE_UNDEFINED_FUNCTION;

			if (barred)
				strlcpy(error.hint, hint, sizeof(error.hint));
			training_error_throw(&error);
		}
		if (status == BGWH_STOPPED)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("could not connect to the database where pg_cron is"),
							errdetail("The server log says why."), errhint("%s", hint)));
		if (status == BGWH_POSTMASTER_DIED)
			ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("the postmaster has ended")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* The worker connects as the caller, and so does pg_cron for the job: the role must be one that may. */
static void
check_login(Oid role, const char *hint)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool can_log_in = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!can_log_in)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("role \"%s\" cannot log in", GetUserNameFromId(role, false)),
						errdetail("pg_cron runs a job over a connection of the role that scheduled it."),
						errhint("%s", hint)));
}

/* Send a worker to do it in another database. */
static int64
send_errand(const Errand *order, const char *cron_database)
{
	char *hint = by_hand(order, cron_database);
	dsm_segment *segment;
	Errand *errand;
	BackgroundWorkerHandle *handle;
	int64 result;

	check_login(order->role, hint);
	segment = dsm_create(sizeof(Errand), 0);
	errand = dsm_segment_address(segment);
	*errand = *order;
	pg_atomic_init_u32(&errand->state, ERRAND_STARTING);
	handle = training_process_start("mnist_hil scheduler", "mnist_hil_scheduler_main", segment, NULL, 0);
	if (handle == NULL)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no background worker slot is free to reach the database where pg_cron is"),
						errhint("%s", hint)));
	on_dsm_detach(segment, terminate_worker, PointerGetDatum(handle));
	wait_for_worker(errand, handle, hint);
	result = errand->result;
	cancel_on_dsm_detach(segment, terminate_worker, PointerGetDatum(handle));
	dsm_detach(segment);
	pfree(handle);
	return result;
}

/* The name of this database's job, of which pg_cron keeps NAMEDATALEN - 1 bytes. */
static char *
job_name(void)
{
	char *database = get_database_name(MyDatabaseId);
	char *name = psprintf("mnist_check %s", database);

	return strlen(name) < NAMEDATALEN ? name : psprintf("mnist_check %u", MyDatabaseId);
}

/* mnist_hil_check_job_name() RETURNS text */
Datum
mnist_hil_check_job_name(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_TEXT_P(cstring_to_text(job_name()));
}

static void
describe_job(Errand *errand)
{
	strlcpy(errand->name, job_name(), sizeof(errand->name));
	strlcpy(errand->database, get_database_name(MyDatabaseId), sizeof(errand->database));
	if (snprintf(errand->command, sizeof(errand->command), "CALL %s.mnist_housekeep()", schema_name()) >=
		(int) sizeof(errand->command))
		elog(ERROR, "schema name is too long");
}

/* Where is pg_cron?  Do it there. */
static int64
dispatch(const char *schedule)
{
	Errand errand = {0};
	const char *cron_database;
	int64 result;

	strlcpy(errand.schedule, schedule, sizeof(errand.schedule));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	describe_job(&errand);
	errand.role = GetUserId();
	errand.caller = (int) (MyProc - ProcGlobal->allProcs);
	errand.cron_database = MyDatabaseId;
	if (OidIsValid(get_extension_oid("pg_cron", true)))
		result = run_errand(&errand);
	else
	{
		cron_database = GetConfigOption("cron.database_name", true, false);
		if (cron_database == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_cron is not installed"),
					 errdetail("Checks are scheduled by the extension pg_cron."),
					 errhint("Install it, add pg_cron to shared_preload_libraries, restart the server, and run"
							 " CREATE EXTENSION pg_cron; or have any other scheduler CALL mnist_housekeep().")));
		errand.cron_database = get_database_oid(cron_database, true);
		if (!OidIsValid(errand.cron_database) || errand.cron_database == MyDatabaseId)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("pg_cron is not installed in database \"%s\"", cron_database),
							errdetail("The setting cron.database_name says that it belongs there."),
							errhint("Have an administrator run CREATE EXTENSION pg_cron there.")));
		result = send_errand(&errand, cron_database);
	}
	SPI_finish();
	return result;
}

/* The job runs as the caller: refuse one that would fail each time. */
static void
check_may_housekeep(void)
{
	char *routine = psprintf("%s.mnist_housekeep()", schema_name());
	bool isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(
			psprintf("SELECT pg_catalog.has_function_privilege(%s::pg_catalog.text, 'EXECUTE'::pg_catalog.text)",
					 quote_literal_cstr(routine)),
			true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "has_function_privilege returned no row");
	if (!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("permission denied for procedure mnist_housekeep"),
				 errdetail("The job would call it as the role that schedules it."),
				 errhint("Have the extension's owner run: GRANT EXECUTE ON PROCEDURE %s TO %s", routine,
						 quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	SPI_finish();
}

/*
 * mnist_schedule(schedule text) RETURNS bigint
 *
 * Have pg_cron call mnist_housekeep; returns the job's id.  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE without pg_cron,
 * ERRCODE_INSUFFICIENT_PRIVILEGE if the caller may not call mnist_housekeep.
 */
Datum
mnist_schedule(PG_FUNCTION_ARGS)
{
	char *schedule;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("schedule must not be null")));
	schedule = text_argument(PG_GETARG_DATUM(0), MAX_SCHEDULE - 1, "schedule");
	if (schedule[strspn(schedule, " ")] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("schedule must not be empty"),
						errhint("Every five minutes is '*/5 * * * *'.")));
	PreventCommandIfReadOnly("mnist_schedule()");
	PreventCommandDuringRecovery("mnist_schedule()");
	check_may_housekeep();
	PG_RETURN_INT64(dispatch(schedule));
}

/* mnist_unschedule() RETURNS boolean: have pg_cron call mnist_check no more; false if it did not. */
Datum
mnist_unschedule(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PreventCommandIfReadOnly("mnist_unschedule()");
	PreventCommandDuringRecovery("mnist_unschedule()");
	PG_RETURN_BOOL(dispatch("") > 0);
}
