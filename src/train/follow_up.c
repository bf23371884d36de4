/*
 * follow_up.c: what comes after a run: pruning and a report.
 *
 * The trainer does it when the result is stored and announced, in transactions of its own.  No transaction is open
 * between them, and each waits a limited time for locks.
 */
#include "postgres.h"

#include "train/follow_up.h"
#include "train/record.h"

/* A caller of mnist_retrain waits until the trainer has ended. */
#define LOCK_TIMEOUT "10s"

/* A statement and its parameters. */
typedef struct Statement
{
	const char *sql;
	SpiParameters parameters;
} Statement;

/* Execute a Statement in a transaction. */
static void
execute(void *argument)
{
	const Statement *statement = argument;

	record_begin();
	spi_set_local("lock_timeout", LOCK_TIMEOUT);
	spi_execute(statement->sql, &statement->parameters);
	record_commit();
}

/* Do one thing; what: its name in the event and the log. */
static void
do_one(int64 run_id, const char *what, Statement *statement)
{
	char *message = record_try(execute, statement);
	Statement failure = {.sql = "SELECT mnist_internal.follow_up_failed($1, $2, $3)"};

	if (message == NULL)
		return;
	ereport(LOG, (errmsg("%s after retraining run %lld failed: %s", what, (long long) run_id, message)));
	spi_add_int8(&failure.parameters, run_id);
	spi_add_text(&failure.parameters, what);
	spi_add_text(&failure.parameters, message);
	(void) record_try(execute, &failure);
}

void
follow_up(const TrainingOrders *orders)
{
	Statement prune = {.sql = "SELECT %s.mnist_prune($1)"};
	Statement report = {.sql = "SELECT %s.mnist_report()"};

	spi_add_int4(&prune.parameters, orders->keep_models);
	if (orders->prune)
		do_one(orders->run_id, "pruning", &prune);
	if (orders->report)
		do_one(orders->run_id, "the report", &report);
}
