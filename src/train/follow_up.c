/*
 * follow_up.c: what comes after a run: pruning and a report.
 *
 * The trainer does it when the result is stored and announced, in transactions of its own.  No transaction is open
 * between them, and each waits a limited time for locks.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "train/follow_up.h"
#include "train/record.h"

/* A caller of mnist_retrain waits until the trainer has ended. */
#define LOCK_TIMEOUT "10s"

/* Execute a statement in a transaction.  Returns NULL, or the error's message, palloc'd. */
static char *
attempt(const char *statement, const SpiParameters *parameters)
{
	MemoryContext context = CurrentMemoryContext;
	char *volatile message = NULL;

	PG_TRY();
	{
		record_begin();
		spi_set_local("lock_timeout", LOCK_TIMEOUT);
		spi_execute(statement, parameters);
		record_commit();
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

/* Do one thing; what: its name in the event and the log. */
static void
do_one(int64 run_id, const char *what, const char *statement, const SpiParameters *parameters)
{
	char *message = attempt(statement, parameters);
	SpiParameters failure = {0};

	if (message == NULL)
		return;
	ereport(LOG, (errmsg("%s after retraining run %lld failed: %s", what, (long long) run_id, message)));
	spi_add_int8(&failure, run_id);
	spi_add_text(&failure, what);
	spi_add_text(&failure, message);
	(void) attempt("SELECT mnist_internal.follow_up_failed($1, $2, $3)", &failure);
}

void
follow_up(const TrainingOrders *orders)
{
	SpiParameters keep = {0};

	spi_add_int4(&keep, orders->keep_models);
	if (orders->prune)
		do_one(orders->run_id, "pruning", "SELECT %s.mnist_prune($1)", &keep);
	if (orders->report)
		do_one(orders->run_id, "the report", "SELECT %s.mnist_report()", NULL);
}
