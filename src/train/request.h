/*
 * request.h: what the caller of a run and its trainer pass to each other.
 */
#ifndef TRAIN_REQUEST_H
#define TRAIN_REQUEST_H

#include "postgres.h"

#include "pg/worker.h"
#include "train/options.h"
#include "train/sets.h"

#define TRAINING_MAX_REASONS 4096

/* What becomes of a run's model. */
typedef enum TrainingDecision
{
	TRAINING_REJECTED,
	TRAINING_NOT_PROMOTED, /* it passed, but was not to go live */
	TRAINING_AWAITING_APPROVAL,
	TRAINING_PROMOTION_PENDING, /* it passed; the switch could not be made yet */
	TRAINING_PROMOTED,
	TRAINING_APPROVED /* somebody has made it live */
} TrainingDecision;

/* The result of a run. */
typedef struct TrainingOutcome
{
	int model_version;
	TrainingDecision decision;
	char verdict[WORKER_MAX_MESSAGE];
	TrainingScores candidate;
	TrainingScores live;
	float seconds;
} TrainingOutcome;

/* Why a run was started; only recorded. */
typedef struct TrainingCause
{
	bool by_check;						/* mnist_check started it; if not, the rest is unset */
	int attempt;						/* 1, 2, ... of the same decision */
	int64 retry_of;						/* the run that failed before; 0: none */
	char reasons[TRAINING_MAX_REASONS]; /* a text[] in its text form */
} TrainingCause;

/* See pg/worker.h.  The caller writes the members above run_id, the trainer the rest. */
typedef struct RetrainRequest
{
	WorkerRequest worker;
	WorkerHome home;
	NameData requested_by;
	TrainingCause cause;
	Hyperparameters hyper;
	TrainingOrders orders;
	TrainingStudy study;

	int64 run_id;			 /* from WORKER_BEGUN on */
	TrainingOutcome outcome; /* from WORKER_DONE on */
} RetrainRequest;

/* The name of a decision in mnist_run.decision, and back.  A name that no trainer writes is an error. */
extern const char *training_decision_name(TrainingDecision decision);
extern TrainingDecision training_decision_parse(const char *name);

#endif /* TRAIN_REQUEST_H */
