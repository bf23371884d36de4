/*
 * training_process.c: what starting a training process takes, and errors that cross from one process to another.
 */
#include "training.h"

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/*
 * Termination takes the way of a query cancel: the error unwinds to the one place that records it, where die() would
 * end the process on the spot.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
set_option(const char *name, const char *value)
{
	SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
training_process_connect(Oid database, Oid owner)
{
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, owner, 0);

	/* not as the owner's or the database's settings may have it */
	set_option("search_path", "pg_catalog, pg_temp");
	set_option("default_transaction_isolation", "read committed");
	set_option("default_transaction_read_only", "off");
	set_option("lock_timeout", "30s");
	set_option("application_name", MyBgworkerEntry->bgw_type);
}

BackgroundWorkerHandle *
training_process_start(const char *type, const char *function, dsm_segment *segment, const void *extra,
					   Size extra_size)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	MemoryContext oldcontext;
	bool started;

	Assert(extra_size <= BGW_EXTRALEN);
	strlcpy(worker.bgw_name, type, BGW_MAXLEN);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "mnist_hil", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	if (extra_size > 0)
		memcpy(worker.bgw_extra, extra, extra_size);

	/* the handle must be at hand while a transaction aborts */
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(oldcontext);
	return started ? handle : NULL;
}

static void
copy_message(char *to, const char *from)
{
	strlcpy(to, from != NULL ? from : "", TRAINING_MAX_MESSAGE);
}

void
training_error_copy(TrainingError *error, const ErrorData *edata)
{
	error->sqlerrcode = edata->sqlerrcode;
	copy_message(error->message, edata->message);
	copy_message(error->detail, edata->detail);
	copy_message(error->hint, edata->hint);
}

void
training_error_throw(const TrainingError *error)
{
	ereport(ERROR, (errcode(error->sqlerrcode), errmsg("%s", error->message),
					error->detail[0] != '\0' ? errdetail("%s", error->detail) : 0,
					error->hint[0] != '\0' ? errhint("%s", error->hint) : 0));
}
