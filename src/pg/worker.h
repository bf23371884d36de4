/*
 * worker.h: background workers of this library: how they start, and how a backend has one do something.
 *
 * A request is a struct in a segment of dynamic shared memory that begins with a WorkerRequest.  The backend that
 * calls makes it, and writes what the worker is to know before the worker starts.  From then on the worker alone
 * writes: what it has to say, then the state that announces it.  Both sides put a memory barrier between.  The caller
 * sleeps on its latch.
 *
 * Whatever ends the call early (an error, a cancel, statement_timeout, termination) detaches the segment, in the
 * abort of the transaction or at exit, and that terminates the worker.
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

/* Write an error down for another process. */
extern void worker_error_copy(WorkerError *error, const ErrorData *edata);

/* Throw what another process wrote down. */
extern void worker_error_throw(const WorkerError *error) pg_attribute_noreturn();

/* ---- starting ---- */

/* Register a worker of this library, to be started with a segment's handle; NULL if no slot is free. */
extern BackgroundWorkerHandle *worker_start(const char *type, const char *function, dsm_segment *segment,
											const void *extra, Size extra_size);

/* Where workers that act for the extension work, and as whom. */
typedef struct WorkerHome
{
	Oid database;
	Oid owner; /* of the extension */
	bool connect_as_bootstrap;
} WorkerHome;

/*
 * In a worker: signal handlers, the connection as a role, settings of its own.  From here on SIGTERM, like SIGINT,
 * makes CHECK_FOR_INTERRUPTS throw ERRCODE_QUERY_CANCELED.
 */
extern void worker_connect(Oid database, Oid role);

/* The same as the extension's owner. */
extern void worker_connect_home(const WorkerHome *home);

/*
 * Find out how to connect as home->owner.  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if that cannot be done because
 * the role may not log in.
 */
extern void worker_check_owner(WorkerHome *home);

/* ---- requests ---- */

typedef enum WorkerState
{
	WORKER_STARTING,
	WORKER_BEGUN, /* the request says what was begun */
	WORKER_DONE,  /* and what came of it */
	WORKER_FAILED /* error is set */
} WorkerState;

/* The head of every request; the rest is between caller and worker. */
typedef struct WorkerRequest
{
	int caller;				/* the caller's number among ProcGlobal->allProcs, to set its latch */
	pg_atomic_uint32 state; /* WorkerState */
	WorkerError error;
} WorkerRequest;

/* A request under way, for the caller. */
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
 * Sleep until the request has reached a state, and return true and the state that it is in; false if the worker has
 * gone without reaching it.  FATAL if the postmaster has ended.
 */
extern bool worker_call_wait(WorkerCall *call, WorkerState awaited, WorkerState *state);

/* Let go of the request; the worker, if it is still at work, goes on. */
extern void worker_call_end(WorkerCall *call);

/* In the worker: the request, or NULL if the caller has gone. */
extern WorkerRequest *worker_attach(Datum main_arg);

/* In the worker: announce what has been written into the request. */
extern void worker_announce(WorkerRequest *request, WorkerState state);

#endif /* PG_WORKER_H */
