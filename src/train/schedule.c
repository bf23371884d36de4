/*
 * schedule.c: mnist_schedule() and mnist_schedule_report(), which make the pg_cron jobs that call mnist_housekeep and
 * mnist_report, and the functions that remove them.
 *
 * pg_cron lives in one database of the server.  If it is this one, its functions are called here, in the transaction
 * of the caller.  If it is another one, a background worker connects to it as the caller, calls them in a transaction
 * of its own, and brings back the job's id or the error.  The schedule then takes effect at once, even if the caller
 * rolls back.  The caller must be allowed to connect there and to use pg_cron.
 *
 * A job runs as the role that scheduled it, and is made as that role.  A database has one job of each kind, found by
 * its name, whoever scheduled it.  Row security hides the jobs of other roles.  So such a job is removed as the owner
 * of the extension, if that is a superuser; only jobs of exactly this name are.
 *
 * pg_cron keeps the host, the port and the state of a job that is scheduled again under its name.  So a job that
 * differs in these is removed and made anew; otherwise it keeps its id.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/username.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/postmaster.h"
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

/* A kind of job. */
typedef struct JobKind
{
	const char *name;	  /* the prefix of the job's name is mnist_NAME */
	const char *function; /* that makes the schedule, for messages */
	const char *routine;  /* that the job calls, with the types of its arguments */
	const char *type;	  /* of the routine, in GRANT */
} JobKind;

static const JobKind check_job = {"check", "mnist_schedule()", "mnist_housekeep()", "PROCEDURE"};
static const JobKind report_job = {"report", "mnist_schedule_report()", "mnist_report(text)", "FUNCTION"};

/* A change of a job, and its result; see pg/worker.h. */
typedef struct JobRequest
{
	WorkerRequest worker;
	char name[NAMEDATALEN]; /* of the job */
	char database[NAMEDATALEN];
	char command[MAX_COMMAND];
	char schedule[MAX_SCHEDULE]; /* empty: to unschedule */
	Oid cron_database;
	Oid role;
	Oid owner; /* of the extension */

	int64 result; /* from WORKER_DONE on: the job's id, or how many jobs were removed */
} JobRequest;

PG_FUNCTION_INFO_V1(mnist_schedule);
PG_FUNCTION_INFO_V1(mnist_unschedule);
PG_FUNCTION_INFO_V1(mnist_schedule_report);
PG_FUNCTION_INFO_V1(mnist_unschedule_report);
PG_FUNCTION_INFO_V1(mnist_hil_check_job_name);

extern PGDLLEXPORT void mnist_hil_scheduler_main(Datum main_arg);

#define MAX_PARAMETERS 6

/* Execute a statement as a role; it must return one row.  The parameters are text; NULL: null. */
static void
execute_as(Oid role, const char *statement, int n, const char *const *parameters)
{
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS] = {0};
	char nulls[MAX_PARAMETERS];
	Oid user;
	int security;
	int code;

	for (int i = 0; i < n; i++)
	{
		types[i] = TEXTOID;
		nulls[i] = parameters[i] == NULL ? 'n' : ' ';
		if (parameters[i] != NULL)
			values[i] = CStringGetTextDatum(parameters[i]);
	}
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(role, security | SECURITY_LOCAL_USERID_CHANGE);
	code = SPI_execute_with_args(statement, n, types, values, nulls, false, 1);
	SetUserIdAndSecContext(user, security);
	if (code < 0 || SPI_processed != 1)
		elog(ERROR, "unexpected result of \"%s\"", statement);
}

/* The first column of the row as a number. */
static int64
result_number(void)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* The first column of the row as text; NULL if it is null. */
static char *
result_text(void)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
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

/* Throw ERRCODE_FEATURE_NOT_SUPPORTED if the schedule is "N seconds" and pg_cron is older than 1.5. */
static void
check_seconds(const JobRequest *request)
{
	int seconds;
	char unit[8] = "";
	int major = 0;
	int minor = 0;
	char *version;

	if (sscanf(request->schedule, " %d %7[a-zA-Z]", &seconds, unit) != 2 || pg_strncasecmp(unit, "second", 6) != 0)
		return;
	execute_as(request->role,
			   "SELECT extversion FROM pg_catalog.pg_extension"
			   " WHERE extname OPERATOR(pg_catalog.=) 'pg_cron'::pg_catalog.name",
			   0, NULL);
	version = result_text();
	if (sscanf(version, "%d.%d", &major, &minor) < 1 || major > 1 || (major == 1 && minor >= 5))
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("pg_cron of version %s has no schedules of seconds", version),
					errdetail("Schedules such as \"%s\" came with pg_cron 1.5.", request->schedule),
					errhint("Schedule every minute with '* * * * *', or install pg_cron 1.5 or later and run"
							" ALTER EXTENSION pg_cron UPDATE.")));
}

/*
 * Remove the jobs of this name: all of them, or if a schedule will be made those that cannot be changed into it.
 * Returns how many.  ERRCODE_INSUFFICIENT_PRIVILEGE if a job of another role must go and the owner is no superuser.
 */
static int64
remove_jobs(const JobRequest *request)
{
	const char *role = GetUserNameFromId(request->role, false);
	const char *keep_role = request->schedule[0] == '\0' ? NULL : role;
	char *port = psprintf("%d", PostPortNumber);
	const char *parameters[] = {request->name, keep_role, GetConfigOption("cron.host", true, false), port,
								request->database};
	int64 removed;
	char *other;

	execute_as(superuser_arg(request->owner) ? request->owner : request->role,
			   "SELECT pg_catalog.count(cron.unschedule(jobid)) FROM cron.job"
			   " WHERE jobname OPERATOR(pg_catalog.=) $1::pg_catalog.name AND NOT COALESCE("
			   " username OPERATOR(pg_catalog.=) $2 AND nodename OPERATOR(pg_catalog.=) $3"
			   " AND nodeport OPERATOR(pg_catalog.=) $4::pg_catalog.int4 AND database OPERATOR(pg_catalog.=) $5"
			   " AND active, false)",
			   5, parameters);
	removed = result_number();

	/* the bootstrap superuser only looks: row security would hide the job from others */
	parameters[1] = role;
	execute_as(BOOTSTRAP_SUPERUSERID,
			   "SELECT pg_catalog.min(username) FROM cron.job"
			   " WHERE jobname OPERATOR(pg_catalog.=) $1::pg_catalog.name AND username OPERATOR(pg_catalog.<>) $2",
			   2, parameters);
	other = result_text();
	if (other != NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("job \"%s\" belongs to role \"%s\"", request->name, other),
						errdetail("The owner of extension mnist_hil is no superuser and cannot remove it."),
						errhint("Have role \"%s\" or a superuser remove the job with mnist_unschedule or"
								" mnist_unschedule_report.",
								other)));
	return removed;
}

/* Change the job, in the database where pg_cron is; SPI is connected. */
static int64
change_job(const JobRequest *request)
{
	const char *job[] = {request->name, request->schedule, request->command, request->database};
	int64 removed;

	if (request->schedule[0] != '\0')
		check_seconds(request);
	removed = remove_jobs(request);
	if (request->schedule[0] == '\0')
		return removed;
	if (request->cron_database == MyDatabaseId && strcmp(get_database_name(MyDatabaseId), request->database) == 0)
		execute_as(request->role, "SELECT cron.schedule($1, $2, $3)", 3, job);
	else
		execute_as(request->role, "SELECT cron.schedule_in_database($1, $2, $3, $4)", 4, job);
	return result_number();
}

/* Within the worker: change the job, in a transaction of its own. */
static void
serve(JobRequest *request)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	pgstat_report_activity(STATE_RUNNING, "scheduling a job");
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

/* Check that the role may log in: pg_cron connects as it for the job, and the worker connects as it. */
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
job_name(const JobKind *kind)
{
	char *name = psprintf("mnist_%s %s", kind->name, get_database_name(MyDatabaseId));

	return strlen(name) < NAMEDATALEN ? name : psprintf("mnist_%s %u", kind->name, MyDatabaseId);
}

/* mnist_hil_check_job_name() RETURNS text */
Datum
mnist_hil_check_job_name(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_TEXT_P(cstring_to_text(job_name(&check_job)));
}

/* Find out where pg_cron is, and change the job there. */
static void
dispatch(JobRequest *request)
{
	const char *role = quote_identifier(GetUserNameFromId(request->role, false));
	const char *cron_database;

	request->cron_database = MyDatabaseId;
	if (OidIsValid(get_extension_oid("pg_cron", true)))
	{
		if (request->schedule[0] != '\0')
			check_login(request->role,
						psprintf("ALTER ROLE %s LOGIN, or let a role that can log in schedule it.", role));
		request->result = change_job(request);
		return;
	}
	cron_database = GetConfigOption("cron.database_name", true, false);
	if (cron_database == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_cron is not installed"),
						errdetail("Jobs are scheduled by the extension pg_cron."),
						errhint("Install it, add pg_cron to shared_preload_libraries, restart the server, and run"
								" CREATE EXTENSION pg_cron; or have any other scheduler CALL mnist_housekeep().")));
	request->cron_database = get_database_oid(cron_database, true);
	if (!OidIsValid(request->cron_database) || request->cron_database == MyDatabaseId)
		not_installed(cron_database);
	request->result = change_job_elsewhere(request, cron_database);
}

/* Warn if something is known that keeps the job from logging in; the schedule is made all the same. */
static void
warn_of_login(const JobRequest *request)
{
	const char *workers = GetConfigOption("cron.use_background_workers", true, false);
	const char *host = GetConfigOption("cron.host", true, false);
	char *error = NULL;
	const char *user = get_user_name(&error);
	char *job = psprintf(INT64_FORMAT, request->result);
	const char *parameters[] = {GetUserNameFromId(request->role, false), job, host != NULL ? host : "localhost",
								workers != NULL ? workers : "off", user};
	char *problem;
	bool in_workers = strcmp(parameters[3], "on") == 0;

	execute_as(request->owner,
			   "SELECT mnist_internal.login_problem($1::pg_catalog.name, $2::bigint, $3, $4::boolean, $5)", 5,
			   parameters);
	problem = result_text();
	if (problem == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING), errmsg("the job may not be able to run as role \"%s\"", parameters[0]),
			 errdetail("%s", problem),
			 in_workers
				 ? errhint("Give the role the privilege, or set max_worker_processes higher and restart the server.")
				 : errhint("Set cron.use_background_workers = on and restart the server: then jobs need no"
						   " connection.  Or let the role in by the .pgpass file of operating system user"
						   " \"%s\", or by a line of pg_hba.conf.  mnist_status.last_check_status shows"
						   " whether checks succeed.",
						   user != NULL ? user : "?")));
}

/* Store the event of the change. */
static void
note(const JobRequest *request, const JobKind *kind)
{
	char *job = request->schedule[0] == '\0' ? NULL : psprintf(INT64_FORMAT, request->result);
	const char *parameters[] = {kind->name, job, request->schedule, GetUserNameFromId(request->role, false)};

	execute_as(request->owner, "SELECT mnist_internal.note_schedule($1, $2::bigint, $3, $4)", 4, parameters);
}

/* Schedule or, with an empty schedule, unschedule a job with this command; returns the job's id or how many went. */
static int64
change(const JobKind *kind, const char *schedule, const char *command)
{
	JobRequest request = {0};

	strlcpy(request.schedule, schedule, sizeof(request.schedule));
	SPI_connect();
	strlcpy(request.name, job_name(kind), sizeof(request.name));
	strlcpy(request.database, get_database_name(MyDatabaseId), sizeof(request.database));
	if (strlcpy(request.command, command, sizeof(request.command)) >= sizeof(request.command))
		elog(ERROR, "command of a job is too long");
	request.role = GetUserId();
	request.owner = schema_owner();
	dispatch(&request);
	if (request.schedule[0] != '\0')
		warn_of_login(&request);
	if (request.schedule[0] != '\0' || request.result > 0)
		note(&request, kind);
	SPI_finish();
	return request.result;
}

/* Check that the caller may call the routine: the job runs as the caller, and would fail each time. */
static void
check_may_call(const JobKind *kind)
{
	char *routine = psprintf("%s.%s", schema_name(), kind->routine);
	const char *parameters[] = {routine};

	SPI_connect();
	execute_as(GetUserId(), "SELECT pg_catalog.has_function_privilege($1, 'EXECUTE'::pg_catalog.text)", 1,
			   parameters);
	if (strcmp(result_text(), "t") != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("permission denied for %s %.*s", kind == &check_job ? "procedure" : "function",
							   (int) strcspn(kind->routine, "("), kind->routine),
						errdetail("The job would call it as the role that schedules it."),
						errhint("Have the extension's owner run: GRANT EXECUTE ON %s %s TO %s", kind->type, routine,
								quote_identifier(GetUserNameFromId(GetUserId(), false)))));
	SPI_finish();
}

static void
check_writes(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
}

/* An argument "schedule", checked. */
static char *
schedule_argument(FunctionCallInfo fcinfo)
{
	char *schedule;

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("schedule must not be null")));
	schedule = text_argument(PG_GETARG_DATUM(0), MAX_SCHEDULE - 1, "schedule");
	if (schedule[strspn(schedule, " ")] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("schedule must not be empty"),
						errhint("Every five minutes is '*/5 * * * *'.")));
	return schedule;
}

/*
 * mnist_schedule(schedule text) RETURNS bigint
 *
 * Have pg_cron call mnist_housekeep; returns the job's id.  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE without pg_cron
 * or if the caller cannot log in, ERRCODE_INSUFFICIENT_PRIVILEGE if the caller may not call mnist_housekeep,
 * ERRCODE_FEATURE_NOT_SUPPORTED for a schedule of seconds if pg_cron is older than 1.5.
 */
Datum
mnist_schedule(PG_FUNCTION_ARGS)
{
	char *schedule = schedule_argument(fcinfo);

	check_writes(check_job.function);
	check_may_call(&check_job);
	PG_RETURN_INT64(change(&check_job, schedule, psprintf("CALL %s.mnist_housekeep()", schema_name())));
}

/* mnist_unschedule() RETURNS boolean: remove the job that calls mnist_housekeep; false if there was none. */
Datum
mnist_unschedule(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	check_writes("mnist_unschedule()");
	PG_RETURN_BOOL(change(&check_job, "", "") > 0);
}

/*
 * mnist_schedule_report(schedule text, kind text) RETURNS bigint
 *
 * Have pg_cron call mnist_report(kind); returns the job's id.  The errors of mnist_schedule and of mnist_report.
 */
Datum
mnist_schedule_report(PG_FUNCTION_ARGS)
{
	char *schedule = schedule_argument(fcinfo);
	const char *kind[] = {PG_ARGISNULL(1) ? NULL : text_argument(PG_GETARG_DATUM(1), NAMEDATALEN, "kind")};

	check_writes(report_job.function);
	check_may_call(&report_job);
	SPI_connect();
	execute_as(schema_owner(), "SELECT mnist_internal.check_report_kind($1)", 1, kind);
	SPI_finish();
	PG_RETURN_INT64(change(&report_job, schedule,
						   psprintf("SELECT %s.mnist_report(%s)", schema_name(), quote_literal_cstr(kind[0]))));
}

/* mnist_unschedule_report() RETURNS boolean: remove the job that calls mnist_report; false if there was none. */
Datum
mnist_unschedule_report(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	check_writes("mnist_unschedule_report()");
	PG_RETURN_BOOL(change(&report_job, "", "") > 0);
}
