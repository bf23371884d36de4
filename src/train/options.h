/*
 * options.h: the options of a run.
 *
 * Hyperparameters are recorded, and differ from trial to trial.  Orders are what else the processes of a run need to
 * know, and do not change while they are at work.  A study says which trials a run makes.
 */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include "postgres.h"

#include "nn/nn.h"
#include "nn/train/augment.h"
#include "pg/json.h"
#include "pg/spi.h"

#define TRAINING_MAX_PROCESSES 64	  /* of one run */
#define TRAINING_MAX_DATASETS 256	  /* that a call can name */
#define TRAINING_MAX_ARCHITECTURES 16 /* that a call can name */
#define TRAINING_MAX_TRIALS 1000	  /* of a search; the same as SEARCH_MAX_TRIALS */
#define TRAINING_MAX_TRIAL_EPOCHS 100

typedef enum TrainingStrategy
{
	TRAINING_FINE_TUNE, /* from the live model's weights */
	TRAINING_FROM_SCRATCH
} TrainingStrategy;

/* Together with the data and the number of processes, these determine the weights that a training gives. */
typedef struct Hyperparameters
{
	TrainingStrategy strategy;
	char architecture[NAMEDATALEN]; /* a preset's name, or "custom" */
	char network[2 * NN_MAX_TEXT];	/* canonical description; empty until known (fine-tuning) */
	int64 seed;
	int epochs;
	int batch_size;		 /* images of a step, over all processes */
	int epoch_images;	 /* images of an epoch at least; 0: as many as there are to train on */
	float learning_rate; /* at its peak */
	float warmup;		 /* fraction of the steps until the peak */
	float beta1;		 /* of Adam */
	float beta2;
	float weight_decay;
	bool frozen_stats;	  /* batch norm uses the live model's statistics, and keeps them */
	float stats_momentum; /* of batch norm's running statistics */
	float average_decay;  /* of the moving average of the weights, of which the candidate is made */
	float label_smoothing;
	float distillation;	  /* weight of the live model's own prediction in a base image's target */
	float plain_share;	  /* of a batch's base images: the fraction that is not augmented */
	float feedback_share; /* of each batch: the fraction that is feedback; see plan_steps */
	int feedback_repeats; /* how often an epoch may show the same feedback image */
	float augmentation;	  /* augment is that many times the strategy's default */
	NnAugment augment;
	int stop_epoch; /* training ended after that many epochs, for lack of time; 0: it did not */
	bool promote;	/* go live after passing the gate; no hyperparameter, but recorded with them */
} Hyperparameters;

/* What the processes of a run need to know besides the hyperparameters. */
typedef struct TrainingOrders
{
	int64 run_id;		/* whose feedback to load; set once the run has its row */
	int64 reproduces;	/* the run to repeat, or 0 */
	int parent_version; /* the model to start from and to compare with; 0: the live one */
	int processes;		/* asked for, the trainer included */
	int memory_kb;		/* over all processes */
	uint32 sets;		/* which sets to load, as TRAINING_SET_BITs */
	int base_limit;		/* about how many base images to load of training and of validation each; 0: all */
	int64 evidence;		/* of the label-noise filter: feedback images to weigh, at most; else 0 */
	int references;		/* of the label-noise filter: validation images to predict, at most */
	double annotator_share;
	int annotator_labels;
	bool require_approval; /* a model that passes the gate waits for approval */
	double time_budget;	   /* seconds from the start to the end of the run; 0: no limit */
	int64 recipe_id;	   /* the recipe that the run follows; 0: none */
	bool prune;			   /* remove the weights of old models after the run */
	int keep_models;	   /* of how many */
	bool report;		   /* store a report after the run */
	int ndatasets;		   /* 0: all data sets */
	int dataset_ids[TRAINING_MAX_DATASETS];
} TrainingOrders;

/* A network, and its name in records: a preset's name, or else the canonical description. */
typedef struct TrainingArchitecture
{
	char name[2 * NN_MAX_TEXT];
	char network[2 * NN_MAX_TEXT]; /* canonical description */
} TrainingArchitecture;

/*
 * The trials of a run.  A search makes a number of short trials, and the best one is then trained in full.  Without a
 * search, each of several architectures is a trial, trained in full, and the best is kept.  With one architecture and
 * no search there are no trials.
 */
typedef struct TrainingStudy
{
	int trials;				  /* of a search; 0: there is none */
	int trial_epochs;		  /* of a search's trial */
	int trial_images;		  /* of an epoch of such a trial, at most */
	int64 resume_run;		  /* the run whose trials are taken over; 0: none */
	bool fixed_learning_rate; /* given by the caller, so not searched */
	bool fixed_batch_size;
	bool fixed_augmentation;
	int narchitectures; /* 0 in fine-tuning, until the live model is known */
	TrainingArchitecture architectures[TRAINING_MAX_ARCHITECTURES];
} TrainingStudy;

/* Set a strategy's default hyperparameters; the network is left empty. */
extern void hyperparameters_init(Hyperparameters *hyper, TrainingStrategy strategy);

extern const char *training_strategy_name(TrainingStrategy strategy);

/* Parse a strategy's name: ERRCODE_INVALID_PARAMETER_VALUE with a hint if there is none of that name. */
extern TrainingStrategy training_strategy_parse(const char *name);

/* Multiply the augmentation by a strength. */
extern void hyperparameters_augment(Hyperparameters *hyper, float strength);

/* The hyperparameters as JSON, for mnist_run.parameters. */
extern char *hyperparameters_json(const Hyperparameters *hyper);

/* Set one of them from its name and text in that JSON; false if there is none of that name. */
extern bool hyperparameters_set(Hyperparameters *hyper, const char *name, const char *value);

/* The chosen data sets as a parameter of type int4[], null for all. */
extern void orders_add_datasets(SpiParameters *parameters, const TrainingOrders *orders);

/* Make an empty study, with the default size of a search's trials. */
extern void training_study_init(TrainingStudy *study);

/* Add an architecture by a preset's name or a description; throws if it is no network. */
extern void training_study_add(TrainingStudy *study, const char *text);

/* Does the run have trials? */
static inline bool
training_has_trials(const TrainingStudy *study)
{
	return study->trials > 0 || study->narchitectures > 1;
}

/* The study, and the hyperparameters it begins with, as JSON, for mnist_run.search; NULL if there are no trials. */
extern char *training_study_json(const TrainingStudy *study, const Hyperparameters *hyper);

#endif /* TRAIN_OPTIONS_H */
