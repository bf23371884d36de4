/*
 * record.h: what a run reads from and writes into the tables.
 */
#ifndef TRAIN_RECORD_H
#define TRAIN_RECORD_H

#include "postgres.h"

#include "pg/spi.h"
#include "train/options.h"
#include "train/request.h"
#include "train/sets.h"

#define TRAINING_MIN_TRAIN 100	   /* base images to train on: fewer are no rehearsal */
#define TRAINING_MIN_VALIDATION 10 /* base images to validate with */

/* The model that the run starts from, and is compared with: the live one, as the run found it. */
typedef struct TrainingParent
{
	int version;
	char architecture[NAMEDATALEN];
	NnNet net;
	float *values; /* palloc'd */
} TrainingParent;

/* ---- transactions ---- */

/* Start a transaction to read or write tables in, connected to SPI. */
extern void record_begin(void);

/*
 * Start one for a run that has its row: the row is there, with this status, and this process's own, until the
 * transaction ends.  ERRCODE_UNDEFINED_OBJECT if not.  lock_timeout: of the whole transaction.
 */
extern void record_begin_run(int64 run_id, const char *status, const char *lock_timeout);

/* Commit it, and say what the process does from here. */
extern void record_commit(void);

/* What a transaction writes; it may be called again, after an abort. */
typedef void (*RecordWrite)(void *argument);

/* Do a write of the run's in a transaction of its own, as often as it takes. */
extern void record_write(int64 run_id, RecordWrite write, void *argument);

#define RECORD_MAX_STATEMENTS 2

/* A write of a run's: statements, up to the first NULL, which have the parameters in common. */
typedef struct RecordStatements
{
	const char *sql[RECORD_MAX_STATEMENTS];
	SpiParameters parameters;
	bool light; /* no harm if a crash loses it */
} RecordStatements;

/* Do it as record_write does. */
extern void record_statements(int64 run_id, RecordStatements *statements);

/* ---- before a run; SPI is connected ---- */

/* ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE unless there is enough base data to train on. */
extern void record_check_data(const TrainingOrders *orders);

/* The id of the run that is under way, or 0. */
extern int64 record_running(void);

/* ERRCODE_OBJECT_IN_USE: that run is under way. */
extern void record_refuse(int64 run_id) pg_attribute_noreturn();

/* Read a version, or for 0 the live one, its values into a memory context. */
extern void record_read_parent(TrainingParent *parent, int version, MemoryContext context);

/* ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE unless the software is that of the run that is repeated. */
extern void record_check_software(const TrainingOrders *orders);

/* ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE with what is missing for a run to be repeated, unless that is empty. */
extern void record_check_nothing_missing(int64 run_id, const char *missing);

/* Add the run's row, once the row of a run that crashed is closed; returns its id. */
extern int64 record_start(const Hyperparameters *hyper, const TrainingOrders *orders, const TrainingStudy *study,
						  const TrainingParent *parent, const char *requested_by, const TrainingCause *cause);

/* ---- a run that has its row; each a transaction of its own ---- */

/* Say which feedback the run has. */
extern void record_open_snapshot(const TrainingOrders *orders);

/* The run's data by number and hash, as JSON in a memory context, by the snapshot at hand.  SPI is connected. */
extern char *record_read_data(const TrainingOrders *orders, MemoryContext context);

/* Write down what the run trains on: totals over all processes, after duplicates were taken out. */
extern void record_data(int64 run_id, const TrainingOrders *orders, const int64 totals[TRAINING_NSETS],
						int nprocesses, const char *data);

extern void record_phase(int64 run_id, const char *phase);

/* ERRCODE_UNDEFINED_OBJECT unless the run is still on record. */
extern void record_present(int64 run_id);

/* progress: 0 .. 1 of the whole run. */
extern void record_progress(int64 run_id, int epoch, double progress, double loss, double images_per_second);

/* What a fit has come to at one of its reports. */
typedef struct TrainingReport
{
	int trial;	/* 0: none */
	int number; /* 1, 2, ...: the epoch, or, of a search's trial, the part */
	TrainingScore train;
	TrainingScore validation;
	TrainingScore trial_feedback; /* feedback that the trial was not trained on */
	double value;				  /* what trials are compared by; NaN: no trial */
	int64 images;				  /* trained on so far, repeats included */
	float learning_rate;
	double images_per_second;
} TrainingReport;

extern void record_report(int64 run_id, const TrainingReport *report);

/* ---- the end ---- */

/* Is the extension still in this database?  Opens a transaction of its own. */
extern bool record_possible(void);

/* Close the run's row after an error, if it is still there and the run's own; whether it was. */
extern bool record_failure(int64 run_id, const ErrorData *edata);

#endif /* TRAIN_RECORD_H */
