/*
 * fit.h: one training of a network.
 */
#ifndef TRAIN_FIT_H
#define TRAIN_FIT_H

#include "postgres.h"

#include "pg/clock.h"
#include "train/request.h"
#include "train/workers.h"

/* A run, as its trainer sees it. */
typedef struct TrainingRun
{
	RetrainRequest *request;
	int64 id;			   /* 0: no row yet */
	Hyperparameters hyper; /* of the model to be made */
	TrainingOrders orders;
	TrainingStudy *study;
	TrainingParent parent;
	Workers *workers;
	char *data; /* what it trains on, as JSON */
	instr_time started;

	/* progress, in images to train on */
	double work;	  /* of the whole run, repeats included */
	double work_done; /* before the current fit */

	/* what the run left out for lack of time */
	int all_epochs; /* of the model's training */
	int all_trials; /* planned */
	int trials;		/* made or taken over */
	char shortened[128];
} TrainingRun;

typedef enum TrainingFitEnd
{
	TRAINING_FIT_DONE,
	TRAINING_FIT_STOPPED, /* by go_on */
	TRAINING_FIT_DIVERGED
} TrainingFitEnd;

/* One training of a network. */
typedef struct TrainingFit
{
	TrainingRun *run;
	const Hyperparameters *hyper;
	int trial;											   /* 0: none */
	bool is_trial;										   /* it is validated with part of the feedback */
	int max_images;										   /* of an epoch; 0: no limit */
	int parts;											   /* of an epoch: the number of reports on it */
	bool (*go_on)(struct TrainingFit *fit, void *context); /* after each report; NULL: always */
	void *context;

	/* results so far */
	TrainingReport report;
	double epochs;
} TrainingFit;

/* Make everything ready to train a fit from its first step on; returns the number of steps of an epoch. */
extern int64 training_fit_begin(TrainingFit *fit);

/* Train.  TRAINING_AVERAGE then has the average of the weights. */
extern TrainingFitEnd training_fit(TrainingFit *fit);

/* Images that a fit will train on, repeats included.  The data must be loaded. */
extern double training_fit_images(const TrainingFit *fit);

/* Throw ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE: training diverged. */
extern void training_diverged(double loss) pg_attribute_noreturn();

#endif /* TRAIN_FIT_H */
