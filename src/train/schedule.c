/*
 * schedule.c: mnist_schedule() and mnist_unschedule(), which make and remove the pg_cron job that calls
 * mnist_housekeep.
 *
 * pg_cron lives in one database of the server.  If it is this one, its functions are called here, as the caller, in
 * the caller's transaction.  If it is another one, a background worker connects to it as the caller, calls them in a
 * transaction of its own, and brings back the job's id or the error.  The schedule then takes effect at once, even if
 * the caller's transaction aborts.  The worker can do nothing that the caller could not do over a connection of their
 * own: the caller must be allowed to connect there and to use pg_cron.
 *
 * A job runs as the role that scheduled it.  Each role has one job at most for a database, found by its name.  A
 * superuser's calls also remove the jobs of other roles, which only superusers see.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "pg/arguments.h"
#include "pg/schema.h"
#include "pg/worker.h"

#define MAX_SCHEDULE 256
#define MAX_COMMAND (2 * NAMEDATALEN + 64)

/* A change of the job, and its result; see pg/worker.h. */
typedef struct JobRequest
{
	WorkerRequest worker;
	char name[NAMEDATALEN]; /* of the job */
	char database[NAMEDATALEN];
	char command[MAX_COMMAND];
	char schedule[MAX_SCHEDULE]; /* empty: to unschedule */
	Oid cron_database;
	Oid role;

	int64 result; /* from WORKER_DONE on: the job's id, or how many jobs were removed */
} JobRequest;

PG_FUNCTION_INFO_V1(mnist_schedule);
PG_FUNCTION_INFO_V1(mnist_unschedule);
PG_FUNCTION_INFO_V1(mnist_hil_check_job_name);

extern PGDLLEXPORT void mnist_hil_scheduler_main(Datum main_arg);

/* Execute a statement and return the first column of its only row.  The parameters are text. */
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

/* Throw ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE: pg_cron is not in the database where it belongs. */
static void not_installed(const char *database) pg_attribute_noreturn();

static void
not_installed(const char *database)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("pg_cron is not installed in database \"%s\"", database),
					errdetail("The setting cron.database_name says that it belongs there."),
					errhint("Have an administrator run CREATE EXTENSION pg_cron there.")));
}

/* Change the job, in the database where pg_cron is; SPI is connected. */
static int64
change_job(const JobRequest *request)
{
	const char *name[] = {request->name};
	const char *job[] = {request->name, request->schedule, request->command, request->database};

	if (request->schedule[0] == '\0')
		return query(
			"SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job WHERE jobname OPERATOR(pg_catalog.=) $1",
			1, name);
	query("SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job"
		  " WHERE jobname OPERATOR(pg_catalog.=) $1 AND username OPERATOR(pg_catalog.<>) CURRENT_USER",
		  1, name);
	if (request->cron_database == MyDatabaseId && strcmp(get_database_name(MyDatabaseId), request->database) == 0)
		return query("SELECT cron.schedule($1, $2, $3)", 3, job);
	return query("SELECT cron.schedule_in_database($1, $2, $3, $4)", 4, job);
}

/* Within the worker: change the job, in a transaction of its own. */
static void
serve(JobRequest *request)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	pgstat_report_activity(STATE_RUNNING, "scheduling mnist_check");
	if (!OidIsValid(get_extension_oid("pg_cron", true)))
		not_installed(get_database_name(MyDatabaseId));
	request->result = change_job(request);
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Entry point of the worker; main_arg is the handle of the JobRequest. */
void
mnist_hil_scheduler_main(Datum main_arg)
{
	JobRequest *request = (JobRequest *) worker_attach(main_arg);
	WorkerState state = WORKER_DONE;

	if (request == NULL)
		return; /* the caller has gone */
	worker_connect(request->cron_database, request->role);

	PG_TRY();
	{
		serve(request);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		worker_error_copy(&request->worker.error, edata);
		state = WORKER_FAILED;
	}
	PG_END_TRY();
	worker_announce(&request->worker, state);
}

/* A hint: the statement that an administrator can run in pg_cron's database if the caller cannot get there. */
static char *
by_hand(const JobRequest *request, const char *cron_database)
{
	StringInfoData statement;

	initStringInfo(&statement);
	if (request->schedule[0] == '\0')
		appendStringInfo(&statement, "SELECT cron.unschedule(%s);", quote_literal_cstr(request->name));
	else
		appendStringInfo(&statement, "SELECT cron.schedule_in_database(%s, %s, %s, %s);",
						 quote_literal_cstr(request->name), quote_literal_cstr(request->schedule),
						 quote_literal_cstr(request->command), quote_literal_cstr(request->database));
	return psprintf("In database \"%s\", where pg_cron is, this does it: %s", cron_database, statement.data);
}

/* Check that the role can log in: the worker connects as the caller, and pg_cron does so for the job. */
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

/* Throw the worker's error.  If the caller lacks a privilege, the hint says what an administrator can run. */
static void
throw_worker_error(const WorkerCall *call, const char *hint)
{
	WorkerError error = call->request->error;

	if (error.sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE || error.sqlerrcode == ERRCODE_UNDEFINED_FUNCTION)
		strlcpy(error.hint, hint, sizeof(error.hint));
	worker_error_throw(&error);
}

/* Have a worker change the job in another database. */
static int64
change_job_elsewhere(const JobRequest *request, const char *cron_database)
{
	char *hint = by_hand(request, cron_database);
	WorkerCall call;
	WorkerState state;
	int64 result;

	check_login(request->role, hint);
	if (!worker_call_start(&call, "mnist_hil scheduler", "mnist_hil_scheduler_main", &request->worker,
						   sizeof(JobRequest)))
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("no background worker slot is free to reach the database where pg_cron is"),
						errhint("%s", hint)));
	if (!worker_call_wait(&call, WORKER_DONE, &state))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("could not connect to the database where pg_cron is"),
						errdetail("The server log says why."), errhint("%s", hint)));
	if (state == WORKER_FAILED)
		throw_worker_error(&call, hint);
	result = ((JobRequest *) call.request)->result;
	worker_call_end(&call);
	return result;
}

/*
 * The name of this database's job.  Since pg_cron keeps NAMEDATALEN - 1 bytes of it, a long name of a database gives
 * way to its OID.
 */
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
describe_job(JobRequest *request)
{
	strlcpy(request->name, job_name(), sizeof(request->name));
	strlcpy(request->database, get_database_name(MyDatabaseId), sizeof(request->database));
	if (snprintf(request->command, sizeof(request->command), "CALL %s.mnist_housekeep()", schema_name()) >=
		(int) sizeof(request->command))
		elog(ERROR, "schema name is too long");
}

/* Find out where pg_cron is, and change the job there; an empty schedule removes it. */
static int64
dispatch(const char *schedule)
{
	JobRequest request = {0};
	const char *cron_database;
	int64 result;

	strlcpy(request.schedule, schedule, sizeof(request.schedule));
	SPI_connect();
	describe_job(&request);
	request.role = GetUserId();
	request.cron_database = MyDatabaseId;
	if (OidIsValid(get_extension_oid("pg_cron", true)))
		result = change_job(&request);
	else
	{
		cron_database = GetConfigOption("cron.database_name", true, false);
		if (cron_database == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_cron is not installed"),
					 errdetail("Checks are scheduled by the extension pg_cron."),
					 errhint("Install it, add pg_cron to shared_preload_libraries, restart the server, and run"
							 " CREATE EXTENSION pg_cron; or have any other scheduler CALL mnist_housekeep().")));
		request.cron_database = get_database_oid(cron_database, true);
		if (!OidIsValid(request.cron_database) || request.cron_database == MyDatabaseId)
			not_installed(cron_database);
		result = change_job_elsewhere(&request, cron_database);
	}
	SPI_finish();
	return result;
}

/* Check that the caller may call mnist_housekeep: the job runs as the caller, and would fail each time. */
static void
check_may_housekeep(void)
{
	char *routine = psprintf("%s.mnist_housekeep()", schema_name());
	bool isnull;

	SPI_connect();
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

/* mnist_unschedule() RETURNS boolean: remove the job that calls mnist_housekeep; false if there was none. */
Datum
mnist_unschedule(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PreventCommandIfReadOnly("mnist_unschedule()");
	PreventCommandDuringRecovery("mnist_unschedule()");
	PG_RETURN_BOOL(dispatch("") > 0);
}
