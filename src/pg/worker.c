/*
 * worker.c: background workers of this library: how they start, and how a backend sends them a request.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"

#include "pg/worker.h"

/* The same path as in CREATE FUNCTION; a bare name would be searched for along dynamic_library_path. */
#define LIBRARY "$libdir/mnist_hil"

/*
 * Handle termination like a query cancel: it throws an error, which the worker catches in one place and records.
 * die(), the usual handler, would end the process with a FATAL error that cannot be caught.
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

/* Override values that the role or the database may have for these settings. */
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
	set_option("lock_timeout", WORKER_LOCK_TIMEOUT);
	set_option("application_name", MyBgworkerEntry->bgw_type);
}

void
worker_connect(Oid database, Oid role)
{
	prepare();
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
	set_options();
}

/*
 * Before 17 a background worker cannot connect as a role that may not log in.  If such an owner is a superuser, the
 * worker connects as the bootstrap superuser and then becomes the owner, who gains no rights by this.  Any other
 * owner would gain rights (RESET SESSION AUTHORIZATION), so it must be allowed to log in.
 */
#if PG_VERSION_NUM >= 170000
#define OWNER_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#else
#define OWNER_FLAGS 0
#endif

void
worker_check_owner(WorkerHome *home)
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

/* Switch from the bootstrap superuser to the owner, who must still be a superuser. */
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
worker_connect_home(const WorkerHome *home)
{
	prepare();
	BackgroundWorkerInitializeConnectionByOid(home->database, home->connect_as_bootstrap ? InvalidOid : home->owner,
											  OWNER_FLAGS);
	if (home->connect_as_bootstrap)
		become(home->owner);
	set_options();
}

BackgroundWorkerHandle *
worker_start(const char *type, const char *function, dsm_segment *segment, const void *extra, Size extra_size)
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

	/* the handle is still needed when a transaction aborts */
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(oldcontext);
	return started ? handle : NULL;
}

static void
copy_message(char *to, const char *from)
{
	strlcpy(to, from != NULL ? from : "", WORKER_MAX_MESSAGE);
}

void
worker_error_copy(WorkerError *error, const ErrorData *edata)
{
	error->sqlerrcode = edata->sqlerrcode;
	copy_message(error->message, edata->message);
	copy_message(error->detail, edata->detail);
	copy_message(error->hint, edata->hint);
}

void
worker_error_throw(const WorkerError *error)
{
	ereport(ERROR, (errcode(error->sqlerrcode), errmsg("%s", error->message),
					error->detail[0] != '\0' ? errdetail("%s", error->detail) : 0,
					error->hint[0] != '\0' ? errhint("%s", error->hint) : 0));
}

/* Runs when the segment is detached before the request has ended: nobody waits for the worker any more. */
static void
terminate_worker(dsm_segment *segment, Datum handle)
{
	(void) segment;
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
	pfree(DatumGetPointer(handle));
}

bool
worker_call_start(WorkerCall *call, const char *type, const char *function, const WorkerRequest *request, Size size)
{
	call->segment = dsm_create(size, 0);
	call->request = dsm_segment_address(call->segment);
	memcpy(call->request, request, size);
	call->request->caller = (int) (MyProc - ProcGlobal->allProcs);
	pg_atomic_init_u32(&call->request->state, WORKER_STARTING);
	call->handle = worker_start(type, function, call->segment, NULL, 0);
	if (call->handle == NULL)
	{
		dsm_detach(call->segment);
		return false;
	}
	on_dsm_detach(call->segment, terminate_worker, PointerGetDatum(call->handle));
	return true;
}

bool
worker_call_wait(WorkerCall *call, WorkerState awaited, WorkerState *state)
{
	for (;;)
	{
		pid_t pid;
		/* read before the state, so that the last state that the worker announced is not missed */
		BgwHandleStatus status = GetBackgroundWorkerPid(call->handle, &pid);

		*state = (WorkerState) pg_atomic_read_u32(&call->request->state);
		pg_read_barrier();
		if (*state >= awaited)
			return true;
		if (status == BGWH_STOPPED)
			return false;
		if (status == BGWH_POSTMASTER_DIED)
			ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("the postmaster has ended")));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
worker_call_end(WorkerCall *call)
{
	cancel_on_dsm_detach(call->segment, terminate_worker, PointerGetDatum(call->handle));
	dsm_detach(call->segment);
	pfree(call->handle);
}

WorkerRequest *
worker_attach(Datum main_arg)
{
	dsm_segment *segment = dsm_attach(DatumGetUInt32(main_arg));

	return segment != NULL ? dsm_segment_address(segment) : NULL;
}

void
worker_announce(WorkerRequest *request, WorkerState state)
{
	pg_write_barrier();
	pg_atomic_write_u32(&request->state, state);
	SetLatch(&ProcGlobal->allProcs[request->caller].procLatch);
}
