/*
 * database.c: the connection to the database, by libpq.
 *
 * Queries are asynchronous, so that they end when the process is asked to end.  Connecting is not, because only then
 * libpq's connect_timeout applies to each of several hosts; the timer of stop.c ends it.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "notify/database.h"
#include "notify/log.h"
#include "notify/stop.h"

#define QUERY_TIMEOUT_MS 30000
#define LOCK_WAIT_MS 2000

struct Database
{
	PGconn *connection;
	const Options *options;
	char *next; /* the statements */
	char *done;
	PGresult *events;
};

/* Run a statement.  Returns its result, or NULL; a message was written, unless the process is to end. */
static PGresult *
run(Database *database, const char *sql, int n, const char *const *values)
{
	PGconn *connection = database->connection;
	int64_t deadline = now_ms() + QUERY_TIMEOUT_MS;
	PGresult *result = NULL;
	PGresult *extra;
	ExecStatusType status;

	if (!PQsendQueryParams(connection, sql, n, NULL, values, NULL, NULL, 0))
	{
		note("database: %s", PQerrorMessage(connection));
		return NULL;
	}
	while (PQisBusy(connection))
	{
		if (!stop_poll(PQsocket(connection), POLLIN, deadline, STOP_RECORDING_MS))
		{
			if (!stop_wanted())
				note("database: no answer within %d s", QUERY_TIMEOUT_MS / 1000);
			return NULL;
		}
		if (!PQconsumeInput(connection))
		{
			note("database: %s", PQerrorMessage(connection));
			return NULL;
		}
	}
	result = PQgetResult(connection);
	while ((extra = PQgetResult(connection)) != NULL)
		PQclear(extra);
	status = PQresultStatus(result);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	note("database: %s", result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(connection));
	PQclear(result);
	return NULL;
}

/* Run a statement that returns one text.  Returns a copy of it, empty for NULL or no row; or NULL, as run does. */
static char *
run_text(Database *database, const char *sql, const char *value)
{
	PGresult *result = run(database, sql, value != NULL ? 1 : 0, &value);
	char *text;

	if (result == NULL)
		return NULL;
	text = strdup(PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return text;
}

static bool
connect_to(Database *database)
{
	const Options *options = database->options;
	char application[100];
	const char *keywords[] = {"connect_timeout", "dbname", "client_encoding", "fallback_application_name", NULL};
	const char *values[] = {"5", options->conninfo, "UTF8", application, NULL};

	/* A parameter that the connection string sets replaces the one before it, here the time limit. */
	snprintf(application, sizeof(application), "mnist_hil_notify %s", options->name);
	database->connection = PQconnectdbParams(keywords, values, 1);
	if (PQstatus(database->connection) == CONNECTION_OK)
		return true;
	note("database: %s", PQerrorMessage(database->connection));
	return false;
}

/* Write the statements with the names of the extension's schema.  false: it is not in this database. */
static bool
prepare(Database *database)
{
	char *schema = run_text(database,
							"SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e"
							" JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'mnist_hil'",
							NULL);
	bool good = false;

	if (schema != NULL && *schema == '\0')
		note("database: extension mnist_hil is not in database \"%s\"", PQdb(database->connection));
	else if (schema != NULL)
		good = asprintf(&database->next,
						"SELECT event_id, payload OPERATOR(pg_catalog.->>) 'kind', attempts, refusals, key, payload,"
						" slack, subject, body FROM %s.mnist_notify_next($1, 20,"
						" pg_catalog.string_to_array($2, ','), pg_catalog.string_to_array($3, ','), $4)",
						schema) > 0 &&
			   asprintf(&database->done, "SELECT %s.mnist_notify_done($1, $2, $3, $4)", schema) > 0;
	free(schema);
	return good;
}

/* Take the lock of the name. */
static DatabaseState
lock_name(Database *database)
{
	bool said = false;

	while (!stop_wanted())
	{
		char *locked = run_text(database,
								"SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext('mnist_hil_notify'),"
								" pg_catalog.hashtext($1))",
								database->options->name);
		bool mine = locked != NULL && *locked == 't';

		if (locked == NULL)
			return DATABASE_FAILED;
		free(locked);
		if (mine)
			return DATABASE_OPEN;
		if (!said)
			note("another process with the name %s is at work%s", database->options->name,
				 database->options->once ? "" : "; waiting for its end");
		if (database->options->once)
			return DATABASE_BUSY;
		said = true;
		stop_sleep(LOCK_WAIT_MS);
	}
	return DATABASE_FAILED;
}

DatabaseState
database_open(const Options *options, Database **database)
{
	DatabaseState state = DATABASE_FAILED;
	char *listening = NULL;

	*database = calloc(1, sizeof(**database));
	if (*database == NULL)
		return DATABASE_FAILED;
	(*database)->options = options;
	if (connect_to(*database) && prepare(*database))
		state = lock_name(*database);
	if (state != DATABASE_OPEN)
		return state;
	/* Listen before looking, so that no event comes between. */
	listening = run_text(*database, "LISTEN mnist_hil", NULL);
	state = listening != NULL ? DATABASE_OPEN : DATABASE_FAILED;
	free(listening);
	return state;
}

int
database_next(Database *database)
{
	const Options *options = database->options;
	const char *values[] = {options->name, options->kinds, options->except, options->all ? "true" : "false"};

	PQclear(database->events);
	database->events = run(database, database->next, 4, values);
	return database->events != NULL ? PQntuples(database->events) : -1;
}

Event
database_event(const Database *database, int i)
{
	const PGresult *events = database->events;

	return (Event){
		.id = PQgetvalue(events, i, 0),
		.kind = PQgetvalue(events, i, 1),
		.attempts = atoi(PQgetvalue(events, i, 2)),
		.refusals = atoi(PQgetvalue(events, i, 3)),
		.key = PQgetvalue(events, i, 4),
		.payload = PQgetvalue(events, i, 5),
		.slack = PQgetvalue(events, i, 6),
		.subject = PQgetvalue(events, i, 7),
		.body = PQgetvalue(events, i, 8),
	};
}

bool
database_done(Database *database, const char *id, const char *state, const char *error)
{
	const char *values[] = {database->options->name, id, state, *error != '\0' ? error : NULL};
	PGresult *result = run(database, database->done, 4, values);

	PQclear(result);
	return result != NULL;
}

/* Take the notifications that have arrived.  Returns whether there were any. */
static bool
take_notifications(PGconn *connection)
{
	PGnotify *notification;
	bool any = false;

	while ((notification = PQnotifies(connection)) != NULL)
	{
		PQfreemem(notification);
		any = true;
	}
	return any;
}

bool
database_wait(Database *database, int64_t ms)
{
	PGconn *connection = database->connection;
	int64_t deadline = now_ms() + ms;

	while (!take_notifications(connection))
	{
		if (!stop_poll(PQsocket(connection), POLLIN, deadline, 0))
			return true;
		if (!PQconsumeInput(connection))
		{
			note("database: %s", PQerrorMessage(connection));
			return false;
		}
	}
	return true;
}

void
database_close(Database *database)
{
	if (database == NULL)
		return;
	PQclear(database->events);
	PQfinish(database->connection);
	free(database->next);
	free(database->done);
	free(database);
}
