/*
 * worker.h: background workers of this library: how they start, and how a backend sends them a request.
 *
 * A request is a struct in a segment of dynamic shared memory; it begins with a WorkerRequest.  The caller, a
 * backend, creates the segment and writes the request before the worker starts.  From then on only the worker
 * writes: first results, then the state that announces them.  A memory barrier separates the two on both sides.  The
 * caller sleeps on its latch.
 *
 * If the call ends early (by an error, a cancel, statement_timeout or termination), the abort of the transaction or
 * the exit of the process detaches the segment, and this terminates the worker.
 */
#ifndef PG_WORKER_H
#define PG_WORKER_H

#include "postgres.h"

#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"

#include "pg/compat.h"

#define WORKER_MAX_MESSAGE 512

/* How long a worker waits for a lock by default. */
#define WORKER_LOCK_TIMEOUT "30s"

/* An error that crosses from one process to another. */
typedef struct WorkerError
{
	int sqlerrcode;
	char message[WORKER_MAX_MESSAGE];
	char detail[WORKER_MAX_MESSAGE];
	char hint[WORKER_MAX_MESSAGE];
} WorkerError;

/* Copy an error for another process. */
extern void worker_error_copy(WorkerError *error, const ErrorData *edata);

/* Throw the error of another process. */
extern void worker_error_throw(const WorkerError *error) pg_attribute_noreturn();

/* ---- starting ---- */

/* Register a worker of this library; its main function gets the segment's handle.  NULL if no slot is free. */
extern BackgroundWorkerHandle *worker_start(const char *type, const char *function, dsm_segment *segment,
											const void *extra, Size extra_size);

/* The database and the role of workers that act for the extension. */
typedef struct WorkerHome
{
	Oid database;
	Oid owner; /* of the extension */
	bool connect_as_bootstrap;
} WorkerHome;

/*
 * In a worker: install signal handlers, connect as a role, and override some settings.  From here on SIGTERM, like
 * SIGINT, makes CHECK_FOR_INTERRUPTS throw ERRCODE_QUERY_CANCELED.
 */
extern void worker_connect(Oid database, Oid role);

/* The same as the extension's owner. */
extern void worker_connect_home(const WorkerHome *home);

/*
 * Set home->connect_as_bootstrap: how to connect as home->owner.  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if that is
 * impossible because the role may not log in.
 */
extern void worker_check_owner(WorkerHome *home);

/* ---- requests ---- */

typedef enum WorkerState
{
	WORKER_STARTING,
	WORKER_BEGUN, /* the request describes the work that has begun */
	WORKER_DONE,  /* the request has the outcome, too */
	WORKER_FAILED /* error is set */
} WorkerState;

/* The head of every request; each kind of request defines the rest. */
typedef struct WorkerRequest
{
	int caller;				/* the caller's index in ProcGlobal->allProcs, to set its latch */
	pg_atomic_uint32 state; /* WorkerState */
	WorkerError error;
} WorkerRequest;

/* The caller's side of a request. */
typedef struct WorkerCall
{
	dsm_segment *segment;
	BackgroundWorkerHandle *handle;
	WorkerRequest *request; /* the shared one */
} WorkerCall;

/* Start a worker with a copy of the request, of size bytes; false if no slot is free. */
extern bool worker_call_start(WorkerCall *call, const char *type, const char *function, const WorkerRequest *request,
							  Size size);

/*
 * Sleep until the request has reached the awaited state or a later one; returns true then.  False if the worker has
 * ended before.  *state is the request's state.  FATAL if the postmaster has ended.
 */
extern bool worker_call_wait(WorkerCall *call, WorkerState awaited, WorkerState *state);

/* Release the request.  The worker is not terminated: if it still runs, it goes on. */
extern void worker_call_end(WorkerCall *call);

/* In the worker: the request, or NULL if the caller has detached. */
extern WorkerRequest *worker_attach(Datum main_arg);

/* In the worker: set the state that announces what was written into the request, and wake the caller. */
extern void worker_announce(WorkerRequest *request, WorkerState state);

#endif /* PG_WORKER_H */
