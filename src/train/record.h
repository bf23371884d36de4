/*
 * record.h: what a run reads from the tables and writes into them.
 */
#ifndef TRAIN_RECORD_H
#define TRAIN_RECORD_H

#include "postgres.h"

#include "pg/spi.h"
#include "train/options.h"
#include "train/request.h"
#include "train/sets.h"

#define TRAINING_MIN_TRAIN 100	   /* base images to train on: with fewer a model would forget */
#define TRAINING_MIN_VALIDATION 10 /* base images to validate with */

/*
 * The model that the run starts from and is compared with: the live one when the run began, or the one that a
 * repeated run started from.
 */
typedef struct TrainingParent
{
	int version;
	char architecture[NAMEDATALEN];
	NnNet net;
	float *values; /* palloc'd */
} TrainingParent;

/* ---- transactions ---- */

/* Start a transaction, connected to SPI.  ERRCODE_UNDEFINED_OBJECT if the extension has been dropped. */
extern void record_begin(void);

/*
 * Start a transaction for a run that has its row, and lock the row.  ERRCODE_UNDEFINED_OBJECT unless the row is
 * there, has this status and was written by this process.  lock_timeout: of the whole transaction.
 */
extern void record_begin_run(int64 run_id, const char *status, const char *lock_timeout);

/* Commit it, and report statistics and activity. */
extern void record_commit(void);

/* Writes within a transaction; may be called again after an abort. */
typedef void (*RecordWrite)(void *argument);

/* Call write in a transaction of its own, as often as it takes; see record.c. */
extern void record_write(int64 run_id, RecordWrite write, void *argument);

/*
 * Call a function once that starts a transaction and commits it.  An error, a cancellation included, aborts the
 * transaction.  Returns the error's message, palloc'd, or NULL.
 */
extern char *record_try(void (*function)(void *argument), void *argument);

#define RECORD_MAX_STATEMENTS 2

/* Statements that write, up to the first NULL; all have the same parameters. */
typedef struct RecordStatements
{
	const char *sql[RECORD_MAX_STATEMENTS];
	SpiParameters parameters;
	bool light; /* no harm if a crash loses it */
} RecordStatements;

/* Execute them as record_write does. */
extern void record_statements(int64 run_id, RecordStatements *statements);

/* ---- before a run; SPI is connected ---- */

/* ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE unless there is enough base data to train on. */
extern void record_check_data(const TrainingOrders *orders);

/* The id of the run that is under way, or 0. */
extern int64 record_running(void);

/* Throw ERRCODE_OBJECT_IN_USE: this run is under way. */
extern void record_refuse(int64 run_id) pg_attribute_noreturn();

/* Read a model version, or for 0 the live one.  Its values are allocated in a memory context. */
extern void record_read_parent(TrainingParent *parent, int version, MemoryContext context);

/* ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE unless the software is that of the run to be repeated. */
extern void record_check_software(const TrainingOrders *orders);

/*
 * Throw ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE with what is missing to repeat the run.  Does nothing if that is
 * empty.
 */
extern void record_check_nothing_missing(int64 run_id, const char *missing);

/* Close the row that a crashed run left, and add this run's row.  Returns its id. */
extern int64 record_start(const Hyperparameters *hyper, const TrainingOrders *orders, const TrainingStudy *study,
						  const TrainingParent *parent, const char *requested_by, const TrainingCause *cause);

/* ---- a run that has its row; each is a transaction of its own, except record_read_data ---- */

/* Record which feedback the run uses. */
extern void record_open_snapshot(const TrainingOrders *orders);

/* The run's data as JSON, data sets and feedback with their hashes, in a memory context.  SPI is connected. */
extern char *record_read_data(const TrainingOrders *orders, MemoryContext context);

/* Record what the run trains on.  totals: images over all processes, without duplicates. */
extern void record_data(int64 run_id, const TrainingOrders *orders, const int64 totals[TRAINING_NSETS],
						int nprocesses, const char *data);

/* Record the hyperparameters, and what a run left out for lack of time. */
extern void record_shortened(int64 run_id, const Hyperparameters *hyper, const char *shortened);

extern void record_phase(int64 run_id, const char *phase);

/* ERRCODE_UNDEFINED_OBJECT unless the run is still on record. */
extern void record_present(int64 run_id);

/* progress: 0 .. 1 of the whole run. */
extern void record_progress(int64 run_id, int epoch, double progress, double loss, double images_per_second);

/* The figures of a fit at one of its reports. */
typedef struct TrainingReport
{
	int trial;	/* 0: none */
	int number; /* 1, 2, ...: the epoch, or the part of a search's trial */
	TrainingScore train;
	TrainingScore validation;
	TrainingScore trial_feedback; /* feedback that the trial was not trained on */
	double value;				  /* by which trials are compared; NaN: no trial */
	int64 images;				  /* trained on so far, repeats included */
	float learning_rate;
	double images_per_second;
} TrainingReport;

extern void record_report(int64 run_id, const TrainingReport *report);

/* ---- the end ---- */

/* Is the extension still in this database?  Opens a transaction of its own. */
extern bool record_possible(void);

/* Close the run's row after an error, if it is still there and this run's.  Returns whether it was closed. */
extern bool record_failure(int64 run_id, const ErrorData *edata);

#endif /* TRAIN_RECORD_H */
