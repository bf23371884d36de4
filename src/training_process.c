/*
 * training_process.c: what starting a training process takes, and errors that cross from one process to another.
 */
#include "training.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* As the functions' own: a bare name would be looked for along dynamic_library_path. */
#define LIBRARY "$libdir/mnist_hil"

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

static void
prepare(void)
{
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
}

/* Settings that are not to be as the role's or the database's own have them. */
static void
set_options(void)
{
	set_option("search_path", "pg_catalog, pg_temp");
	set_option("default_transaction_isolation", "read committed");
	set_option("default_transaction_read_only", "off");
	set_option("default_transaction_deferrable", "off");
	set_option("statement_timeout", "0");
	set_option("idle_in_transaction_session_timeout", "0");
#if PG_VERSION_NUM >= 170000
	set_option("transaction_timeout", "0");
#endif
	set_option("lock_timeout", READ_LOCK_TIMEOUT);
	set_option("application_name", MyBgworkerEntry->bgw_type);
}

void
training_process_connect(Oid database, Oid role)
{
	prepare();
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
	set_options();
}

/*
 * Before 17 a background worker cannot connect as a role that may not log in.  A superuser's rights are those of the
 * bootstrap superuser, so where the owner is one, the worker connects as that and then becomes the owner.  Any other
 * role would get more rights than it has that way, with RESET SESSION AUTHORIZATION; so for those there is none.
 */
#if PG_VERSION_NUM >= 170000
#define OWNER_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define OWNER_FLAGS 0
#endif

void
training_process_check_owner(TrainingHome *home)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(home->owner));
	Form_pg_authid role;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for role %u", home->owner);
	role = (Form_pg_authid) GETSTRUCT(tuple);
	home->connect_as_bootstrap = PG_VERSION_NUM < 170000 && !role->rolcanlogin;
	if (home->connect_as_bootstrap && !role->rolsuper)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the owner of extension mnist_hil cannot log in"),
						errdetail("Training processes connect as the owner, role \"%s\".", NameStr(role->rolname)),
						errhint("ALTER ROLE %s LOGIN; without a password and an entry in pg_hba.conf nobody else can"
								" connect as it.",
								quote_identifier(NameStr(role->rolname)))));
	ReleaseSysCache(tuple);
}

/* From the bootstrap superuser to the owner, who must be a superuser still. */
static void
become(Oid owner)
{
	StartTransactionCommand();
	if (!superuser_arg(owner))
		ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("the owner of extension mnist_hil can neither log in nor is a superuser")));
	CommitTransactionCommand();
	SetSessionAuthorization(owner, true);
}

void
training_process_connect_home(const TrainingHome *home)
{
	prepare();
	BackgroundWorkerInitializeConnectionByOid(home->database, home->connect_as_bootstrap ? InvalidOid : home->owner,
											  OWNER_FLAGS);
	if (home->connect_as_bootstrap)
		become(home->owner);
	set_options();
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
	strlcpy(worker.bgw_library_name, LIBRARY, sizeof(worker.bgw_library_name));
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
