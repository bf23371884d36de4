/*
 * training.h: what the files of a retraining run share.
 *
 * A run is one background worker, the trainer, with helpers beside it:
 *
 *	retrain.c			the SQL function: checks its arguments, starts the trainer, waits for its reply
 *	trainer.c			the trainer: the run from its row to its verdict
 *	reproduce.c			the SQL function that has a run done again from its record
 *	training_options.c	every hyperparameter, per strategy
 *	training_process.c	what starting a process takes, and errors that cross from one to another
 *	training_record.c	what a run writes into the tables
 *	training_store.c	what it has come to, and the switch to its model
 *	training_trials.c	what it writes there of its trials
 *	training_crew.c		the processes of a run: their shared segment, how they start, meet and end
 *	training_data.c		each process's share of the samples
 *	training_loop.c		the steps, and reading whole sets
 *	training_screen.c	the label-noise filter: labels that deserve a second opinion
 *	training_gate.c		is the candidate to go live?
 */
#ifndef MNIST_HIL_TRAINING_H
#define MNIST_HIL_TRAINING_H

#include <math.h>

#include "mnist_hil.h"

#include "port/atomics.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define TRAINING_MAX_PROCESSES 64  /* of one run */
#define TRAINING_MAX_DATASETS 256  /* that a call can name */
#define TRAINING_MIN_TRAIN 100	   /* base images to train on: fewer are no rehearsal */
#define TRAINING_MIN_VALIDATION 10 /* base images to judge by */
#define TRAINING_MAX_MESSAGE 512
#define TRAINING_MAX_REASONS 4096
#define TRAINING_MAX_ARCHITECTURES 16 /* that a call can name */
#define TRAINING_MAX_TRIALS 1000	  /* of a search; as SEARCH_MAX_TRIALS */
#define TRAINING_MAX_TRIAL_EPOCHS 100
#define TRAINING_FOLDS 2 /* of the label-noise filter */

/* ---- training_options.c ---- */

typedef enum TrainingStrategy
{
	TRAINING_FINE_TUNE, /* from the live model's weights */
	TRAINING_FROM_SCRATCH
} TrainingStrategy;

/* Everything that decides what a run does; the same bytes lie in the segments of caller and run. */
typedef struct TrainingOptions
{
	TrainingStrategy strategy;
	char architecture[NAMEDATALEN]; /* a preset's name, or "custom" */
	char network[2 * NN_MAX_TEXT];	/* canonical description; empty until known (fine-tuning) */
	int64 seed;
	int epochs;
	int batch_size;		 /* images of a step, over all processes */
	int epoch_images;	 /* images of an epoch at least; 0: as many as there are to train on */
	float learning_rate; /* at its peak */
	float warmup;		 /* share of the steps that it takes to get there */
	float beta1;		 /* of Adam */
	float beta2;
	float weight_decay;
	bool frozen_stats;	  /* batch norm goes by the live model's statistics, and keeps them */
	float stats_momentum; /* of batch norm's running statistics */
	float average_decay;  /* of the moving average of the weights, which is what is kept */
	float label_smoothing;
	float distillation;	  /* weight of the live model's own reading in a base image's target */
	float plain_share;	  /* of the base images that a batch shows as they are, not distorted */
	float feedback_share; /* of each batch that is feedback, at most */
	int feedback_repeats; /* how often an epoch may show the same feedback image */
	NnAugment augment;
	bool promote;		/* go live if the gate lets it pass */
	int processes;		/* asked for, the trainer included */
	int memory_kb;		/* over all processes */
	uint32 sets;		/* which sets to load, as TRAINING_SET_BITs */
	int base_limit;		/* images of the base data's training and of its validation split to load, about; 0: all */
	int64 drawings;		/* of feedback, at most, if opinions on them are wanted; else 0 */
	int references;		/* validation images that models read beside them, at most */
	int64 run_id;		/* whose feedback to load; set once the run has its row */
	int64 reproduces;	/* the run to repeat, or 0 */
	int parent_version; /* where to start from, and what to compare with; 0: the live model */
	double annotator_share;
	int annotator_labels;
	bool require_approval; /* what passes the gate waits for a person */
	int ndatasets;		   /* 0: all data sets */
	int dataset_ids[TRAINING_MAX_DATASETS];
} TrainingOptions;

/* A network by the name it goes under in records: a preset's, or else its canonical description. */
typedef struct TrainingArchitecture
{
	char name[2 * NN_MAX_TEXT];
	char network[2 * NN_MAX_TEXT]; /* canonical description */
} TrainingArchitecture;

/*
 * The trials of a run.  A search has "trials" of them, short ones, whose best is then trained in full.  Without one,
 * each of several architectures is a trial, in full, and the best is kept.  With one architecture and no search there
 * are none.
 */
typedef struct TrainingStudy
{
	int trials;				  /* of a search; 0: there is none */
	int trial_epochs;		  /* that a search's trial is trained */
	int trial_images;		  /* of such an epoch, at most */
	int64 resume_run;		  /* the run whose trials are taken over; 0: none */
	bool fixed_learning_rate; /* not searched: the caller has named it */
	bool fixed_batch_size;
	int narchitectures; /* 0 in fine-tuning, until the live model is known */
	TrainingArchitecture architectures[TRAINING_MAX_ARCHITECTURES];
} TrainingStudy;

/* A strategy's hyperparameters; the network and the data sets are left empty. */
extern void training_options_init(TrainingOptions *options, TrainingStrategy strategy);

/* The size of a search's trials, where the caller does not name it. */
extern void training_study_init(TrainingStudy *study);

/* Add an architecture by a preset's name or a description; throws if it is no network. */
extern void training_study_add(TrainingStudy *study, const char *text);

extern const char *training_strategy_name(TrainingStrategy strategy);

/* Parse a strategy's name: ERRCODE_INVALID_PARAMETER_VALUE with a hint if there is none of that name. */
extern TrainingStrategy training_strategy_parse(const char *name);

/* The hyperparameters as JSON, for mnist_run.parameters. */
extern char *training_options_json(const TrainingOptions *options);

/* Set one of them from its name and text in that JSON; false if there is none of that name. */
extern bool training_options_set(TrainingOptions *options, const char *name, const char *value);

/* The chosen data sets as an int4[] Datum, or NULL for all. */
extern Datum training_options_datasets(const TrainingOptions *options, bool *isnull);

/* ---- sets of images, and how well they are read ---- */

typedef enum TrainingSetKind
{
	TRAINING_SET_TRAIN,		 /* base images to train on */
	TRAINING_SET_FEEDBACK,	 /* feedback to train on */
	TRAINING_SET_VALIDATION, /* base images that choose and judge */
	TRAINING_SET_HELD_OUT,	 /* feedback that judges */
	TRAINING_SET_TEST,		 /* base images that are reported, and choose nothing */
	TRAINING_NSETS
} TrainingSetKind;

#define TRAINING_SET_BIT(kind) (1u << (kind))
#define TRAINING_ALL_SETS ((1u << TRAINING_NSETS) - 1)

typedef struct TrainingScore
{
	int64 images;
	int64 correct;
	double loss; /* sum of cross-entropies */
} TrainingScore;

typedef struct TrainingScores
{
	TrainingScore sets[TRAINING_NSETS];
} TrainingScores;

/* Two models on the same images of a set, by the digit that each shows. */
typedef struct TrainingComparison
{
	int64 images[NN_CLASSES];
	int64 candidate[NN_CLASSES];	  /* that the candidate reads correctly */
	int64 live[NN_CLASSES];			  /* that the live model does */
	int64 candidate_only[NN_CLASSES]; /* that only the candidate does */
	int64 live_only[NN_CLASSES];	  /* that only the live model does */
} TrainingComparison;

/* Share of images read correctly; NaN if there are none. */
static inline float
training_accuracy(const TrainingScore *score)
{
	return score->images > 0 ? (float) ((double) score->correct / (double) score->images) : NAN;
}

/* ---- caller and trainer: the request segment ---- */

typedef enum RetrainState
{
	RETRAIN_STARTING,
	RETRAIN_RUNNING, /* run_id is set */
	RETRAIN_DONE,	 /* so is everything else */
	RETRAIN_FAILED	 /* so is error */
} RetrainState;

typedef struct TrainingError
{
	int sqlerrcode;
	char message[TRAINING_MAX_MESSAGE];
	char detail[TRAINING_MAX_MESSAGE];
	char hint[TRAINING_MAX_MESSAGE];
} TrainingError;

/* What becomes of a run's model. */
typedef enum TrainingDecision
{
	TRAINING_REJECTED,
	TRAINING_NOT_PROMOTED, /* nobody wants it live */
	TRAINING_AWAITING_APPROVAL,
	TRAINING_PROMOTION_PENDING, /* it passed; the switch could not be made yet */
	TRAINING_PROMOTED
} TrainingDecision;

/* What a run came to; NaN stands for a figure that there is none of. */
typedef struct TrainingOutcome
{
	int model_version;
	TrainingDecision decision;
	char verdict[TRAINING_MAX_MESSAGE];
	TrainingScores candidate;
	TrainingScores live;
	float seconds;
} TrainingOutcome;

/* Why there is a run, beside who asked for it: for its record alone. */
typedef struct TrainingCause
{
	bool by_check;						/* mnist_check decided it; else a person, and the rest is unset */
	int attempt;						/* 1, 2, ... of the same decision */
	int64 retry_of;						/* the run that failed before; 0: none */
	char reasons[TRAINING_MAX_REASONS]; /* a text[] in its text form */
} TrainingCause;

/* Where a run's processes work, and as whom. */
typedef struct TrainingHome
{
	Oid database;
	Oid owner; /* of the extension */
	bool connect_as_bootstrap;
} TrainingHome;

/*
 * Made by the caller, who writes everything above state before the trainer starts.  The trainer alone writes what
 * is below, each part before the state that announces it; both sides put a memory barrier between.
 */
typedef struct RetrainRequest
{
	TrainingHome home;
	NameData requested_by;
	TrainingCause cause;
	int caller; /* the caller's number among ProcGlobal->allProcs, to set its latch */
	TrainingOptions options;
	TrainingStudy study;

	pg_atomic_uint32 state; /* RetrainState */
	int64 run_id;
	TrainingOutcome outcome;
	TrainingError error;
} RetrainRequest;

/* ---- retrain.c ---- */

/*
 * Have a trainer do a run, as the SQL function at hand was called to, and return its row.  Without wait it holds only
 * the run.  Throws what is in the way, and the run's own errors.
 */
extern Datum retrain_request(FunctionCallInfo fcinfo, const TrainingOptions *options, const TrainingStudy *study,
							 bool wait);

/* ---- reproduce.c ---- */

/* ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE with what is missing for a run to be repeated, unless that is empty. */
extern void training_check_nothing_missing(int64 run_id, const char *missing);

/* ---- training_record.c ---- */

/* The model that the run starts from, and is compared with: the live one, as the run found it. */
typedef struct TrainingParent
{
	int version;
	char architecture[NAMEDATALEN];
	NnNet net;
	float *values; /* palloc'd */
} TrainingParent;

extern void record_begin(void);

/* How long a process waits for a lock where nothing is lost yet if it is not to be had. */
#define READ_LOCK_TIMEOUT "30s"

extern void record_begin_run(int64 run_id, const char *status, const char *lock_timeout);
extern void record_commit(void);

/* What a transaction writes; it may be called again, after an abort. */
typedef void (*RecordWrite)(void *argument);

extern void record_write(int64 run_id, RecordWrite write, void *argument);
extern void record_check_data(const TrainingOptions *options);
extern int64 record_running(void);
extern void record_refuse(int64 run_id) pg_attribute_noreturn();
extern void record_read_parent(TrainingParent *parent, int version, MemoryContext context);
extern void record_check_software(const TrainingOptions *options);
extern int64 record_start(const TrainingOptions *options, const TrainingStudy *study, const TrainingParent *parent,
						  const char *requested_by, const TrainingCause *cause);
extern void record_data(int64 run_id, const TrainingOptions *options, const int64 totals[TRAINING_NSETS],
						int nprocesses, const char *data);
extern void record_phase(int64 run_id, const char *phase);
extern void record_present(int64 run_id);
extern void record_progress(int64 run_id, int epoch, double progress, double loss, double images_per_second);

/* What a fit has come to at one of its reports. */
typedef struct TrainingReport
{
	int trial;	/* 0: none */
	int number; /* 1, 2, ...: the epoch, or, of a search's trial, the part */
	TrainingScore train;
	TrainingScore validation;
	TrainingScore held_back; /* feedback that the trial was not trained on */
	double value;			 /* what trials are compared by; NaN: no trial */
	int64 images;			 /* trained on so far, repeats included */
	float learning_rate;
	double images_per_second;
} TrainingReport;

extern void record_report(int64 run_id, const TrainingReport *report);
extern bool record_possible(void);
extern bool record_failure(int64 run_id, const ErrorData *edata);

extern void record_open_snapshot(const TrainingOptions *options);
extern char *record_read_data(const TrainingOptions *options, MemoryContext context);

/* ---- training_store.c ---- */

/* What a run has come to, to be stored. */
typedef struct TrainingResult
{
	const TrainingOptions *options;
	const TrainingParent *parent;
	const NnNet *net;
	const float *values;
	const char *gate; /* as JSON */
	const char *requested_by;
	TrainingOutcome *outcome;
} TrainingResult;

extern void record_success(TrainingResult *stored);

/* ---- training_trials.c ---- */

/* How a trial ended. */
typedef enum TrainingTrialEnd
{
	TRAINING_TRIAL_SUCCEEDED,
	TRAINING_TRIAL_PRUNED,
	TRAINING_TRIAL_FAILED /* it diverged */
} TrainingTrialEnd;

/* A trial as it is on record. */
typedef struct TrainingTrial
{
	TrainingTrialEnd end;
	char **parameters; /* by the names asked for; NULL if there is none of that name */
	double value;
	int nreports;
	double *reports;
} TrainingTrial;

/* The study as JSON, for mnist_run.search; NULL if the run has no trials. */
extern char *record_study_json(const TrainingOptions *options, const TrainingStudy *study);

/* Read the study of an earlier run, and the options it began with; SPI is connected.  Errors for the caller. */
extern void record_read_study(int64 run_id, TrainingOptions *options, TrainingStudy *study);

extern void record_take_over(int64 run_id, int64 from_run);
extern int record_read_trials(int64 run_id, const char *const *names, int nnames, TrainingTrial **trials,
							  MemoryContext context);
extern void record_trial_start(int64 run_id, int trial, const char *architecture, const char *parameters);
extern void record_trial_end(int64 run_id, TrainingTrialEnd end, const TrainingReport *report, double epochs,
							 const char *error, int sqlerrcode);
extern void record_chosen(int64 run_id, int trial, const TrainingOptions *options, bool kept);

/* ---- training_data.c ---- */

typedef struct TrainingSet
{
	int n;
	uint8 *pixels; /* (n, 784) */
	uint8 *labels; /* (n) */
	/* of feedback to train on, else NULL */
	float *weights; /* (n): how much each counts, above 0, at most 1 */
	/* of all feedback, else NULL */
	int64 *ids; /* (n): a row of mnist_feedback that it rests on */
} TrainingSet;

/* One process's share of every set. */
typedef struct TrainingData
{
	TrainingSet sets[TRAINING_NSETS];
} TrainingData;

/* Check that a run of so many processes, which needs other_bytes besides its samples, may have the memory. */
extern void training_data_check_memory(const TrainingOptions *options, int nprocesses, Size other_bytes);

/*
 * Load share rank of nprocesses into a memory context, under the snapshot at hand; SPI is connected.
 * other_bytes: what the run needs besides, over all processes; ERRCODE_OUT_OF_MEMORY if all of it is more than
 * mnist_hil.training_memory.
 */
extern TrainingData *training_data_load(const TrainingOptions *options, int rank, int nprocesses, Size other_bytes,
										MemoryContext context);

/* ---- training_process.c ---- */

/*
 * How trainer and helpers start: signal handlers, the connection as a role, settings of their own.  From here on
 * SIGTERM, like SIGINT, makes CHECK_FOR_INTERRUPTS throw ERRCODE_QUERY_CANCELED.
 */
extern void training_process_connect(Oid database, Oid role);

/* The same for the run's own processes, as the extension's owner. */
extern void training_process_connect_home(const TrainingHome *home);

/*
 * Find out how to connect as home->owner.  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if that cannot be done because
 * the role may not log in.
 */
extern void training_process_check_owner(TrainingHome *home);

/* Register a worker of this library, to be started with a segment's handle; NULL if no slot is free. */
extern BackgroundWorkerHandle *training_process_start(const char *type, const char *function, dsm_segment *segment,
													  const void *extra, Size extra_size);

/* Write an error down for another process. */
extern void training_error_copy(TrainingError *error, const ErrorData *edata);

/* Throw what another process wrote down. */
extern void training_error_throw(const TrainingError *error) pg_attribute_noreturn();

/* ---- training_crew.c ---- */

/* The vectors of a run, one after the other in its segment. */
typedef enum TrainingVector
{
	TRAINING_LIVE,	 /* the live model's values */
	TRAINING_VALUES, /* being trained; the candidate at the end */
	TRAINING_MOMENT1,
	TRAINING_MOMENT2,
	TRAINING_AVERAGE,  /* moving average of the values */
	TRAINING_GRADIENTS /* first of one a process */
} TrainingVector;

typedef enum TrainingCommand
{
	TRAINING_LOAD,		/* the samples */
	TRAINING_SETUP,		/* make ready for a fit by the options at hand */
	TRAINING_STEPS,		/* steps of training */
	TRAINING_CALIBRATE, /* batch norm on images as they are */
	TRAINING_EVALUATE,	/* read sets with a vector's weights */
	TRAINING_COMPARE,	/* read sets with TRAINING_VALUES and with TRAINING_LIVE */
	TRAINING_FOLD,		/* from here on train on what the feedback outside a fold corrects */
	TRAINING_OPINE		/* read the feedback in a fold, and the references */
} TrainingCommand;

/* What models make of a drawing that is feedback. */
typedef struct TrainingOpinion
{
	int64 feedback_id;
	uint8 label;	   /* the one that it was given */
	uint8 live_label;  /* the one that the live model reads */
	uint8 other_label; /* that a model tuned on the other fold reads, leaving out the one that was given */
	uint8 fold;		   /* that it is in */
	float live_own;	   /* probability that the live model gives the label */
	float fit_own;	   /* that the tuned model gives it */
	float fit_other;   /* that it gives the other one */
	float live_share;  /* p-values that the trainer writes: see training_screen.c */
	float fit_share;
} TrainingOpinion;

/* What the model that reads makes of a base image of the validation split. */
typedef struct TrainingReference
{
	uint8 label;
	float probabilities[NN_CLASSES];
} TrainingReference;

/* What one process tells the others; written by it alone, read after the next meeting. */
typedef struct TrainingSlot
{
	int64 totals[TRAINING_NSETS];				   /* images of its shares */
	TrainingScore step;							   /* of the last step */
	TrainingScores scores;						   /* of the last TRAINING_EVALUATE */
	TrainingComparison comparison[TRAINING_NSETS]; /* of the last TRAINING_COMPARE */
	int references;								   /* that the last TRAINING_OPINE read */
} TrainingSlot;

/* The run's segment; the vectors follow it, the opinions them, and the references these. */
typedef struct TrainingShared
{
	/* written by the trainer before it starts helpers, never changed */
	int trainer; /* its number among ProcGlobal->allProcs, to set its latch */
	char live_network[2 * NN_MAX_TEXT];
	Size live_bytes;   /* of the live model's vector */
	Size vector_bytes; /* of each other one: of the largest network that is to be trained */
	int max_processes; /* that there is room for */

	/* how the processes meet and how they learn of the end */
	pg_atomic_uint32 stopped; /* nobody trains on: an error, or the trainer has gone */
	ConditionVariable met;	  /* a meeting is complete, or "stopped" is set */
	slock_t mutex;			  /* guards the five below */
	int nprocesses;			  /* who takes part; 0 until the trainer has settled it */
	int arrived;			  /* at the present meeting */
	uint64 meetings;		  /* that were complete */
	bool has_error;
	TrainingError error; /* the first one */

	/* set by each helper when it has joined; by the order in which they were started */
	pg_atomic_uint32 ready[TRAINING_MAX_PROCESSES];

	/* written by the trainer before a meeting, read by the others after it */
	int ranks[TRAINING_MAX_PROCESSES]; /* like ready */
	TrainingCommand command;
	TrainingOptions options; /* of the fit at hand; changed only before TRAINING_SETUP */
	bool hold_back;			 /* part of the feedback, to judge a trial by; likewise */
	char snapshot[64];		 /* TRAINING_LOAD */
	Size loop_bytes;		 /* that each process will need for steps and evaluation, at most */
	int64 first_step;		 /* TRAINING_STEPS */
	int64 nsteps;
	int64 all_steps;
	double feedback_share; /* of each batch */
	int fold;			   /* TRAINING_FOLD, TRAINING_OPINE; -1: all, by the live model alone */
	TrainingVector vector; /* TRAINING_EVALUATE */
	uint32 sets;		   /* and TRAINING_COMPARE */

	/* written by the trainer within a step, read by all after the step's second meeting */
	bool diverged; /* the fit is over */
	double diverged_loss;

	TrainingSlot slots[TRAINING_MAX_PROCESSES]; /* by rank */
} TrainingShared;

/* Called in the trainer after each step, while the helpers wait. */
typedef void (*TrainingStepHook)(void *context, int64 step, const TrainingScore *score);

/* One process's view of a run. */
typedef struct TrainingCrew
{
	dsm_segment *segment;
	TrainingShared *shared;
	int rank;	 /* 0: the trainer */
	bool joined; /* and not left */
	NnNet net;
	NnNet live_net;
	MemoryContext context; /* of everything the process needs for the run */
	TrainingData *data;
	MemoryContext fit_context; /* of what a fit needs besides the data */
	struct TrainingLoop *loop; /* training_loop.c's own */

	/* trainer only */
	int nhelpers;
	BackgroundWorkerHandle *helpers[TRAINING_MAX_PROCESSES];
	TrainingStepHook hook;
	void *hook_context;
} TrainingCrew;

/* How many processes a run is made for: those asked for, as far as the smallest batch keeps them busy. */
extern int training_crew_size(const TrainingOptions *options, int smallest_batch);

/*
 * Trainer: make the run's segment, with the live model's values in it, and start helpers, as many as there are
 * worker slots for.  nvalues: of the largest network to be trained; loop_bytes: what each of training_crew_size
 * processes will need for steps and evaluation.  ERRCODE_OUT_OF_MEMORY before anything is made if the run needs more
 * than mnist_hil.training_memory.
 */
extern TrainingCrew *training_crew_create(const TrainingOptions *options, const TrainingParent *parent, Size nvalues,
										  int smallest_batch, Size loop_bytes, const TrainingHome *home);

/* Trainer: make all processes ready for a fit by these options. */
extern void training_crew_setup(TrainingCrew *crew, const TrainingOptions *options, bool hold_back);

/* Trainer: have all processes do something, itself included, and return when all have. */
extern void training_crew_command(TrainingCrew *crew, TrainingCommand command);

/* Trainer: have all processes load their shares, under one snapshot. */
extern void training_crew_load(TrainingCrew *crew);

/* A process's opinions: on its feedback images to train on, then on its held-out ones. */
extern TrainingOpinion *training_crew_opinions(const TrainingCrew *crew, int rank);

/* How many opinions that is. */
extern int64 training_crew_nopinions(const TrainingCrew *crew, int rank);

/* Room for a process's references, and how many there may be. */
extern TrainingReference *training_crew_references(const TrainingCrew *crew, int rank);
extern int training_crew_max_references(const TrainingCrew *crew);

/* Trainer: give back the memory of a crew that has ended. */
extern void training_crew_free(TrainingCrew *crew);

/* Trainer: images of each set over all processes. */
extern void training_crew_totals(const TrainingCrew *crew, int64 totals[TRAINING_NSETS]);

/* Trainer: end the helpers, after an error as well, and wait until they are gone. */
extern void training_crew_end(TrainingCrew *crew);

/* Meet the other processes; throws if one of them has failed. */
extern void training_crew_wait(TrainingCrew *crew);

/* A vector of the run: a TrainingVector, or TRAINING_GRADIENTS + rank. */
extern float *training_crew_vector(const TrainingCrew *crew, int vector);

/* ---- training_loop.c ---- */

/* Memory that each process of the run needs for steps and evaluation, in bytes. */
extern Size training_loop_bytes(const TrainingOptions *options, const NnNet *net, const NnNet *live_net,
								int nprocesses);

/* Images of a process's feedback that trials are not trained on but judged by: one in five, the last ones. */
extern int training_loop_held_back(const TrainingCrew *crew, int64 feedback);

/* Make everything ready for steps and evaluation, once the data is loaded. */
extern void training_loop_init(TrainingCrew *crew);

/* Do TRAINING_STEPS: this process's part of them. */
extern void training_loop_steps(TrainingCrew *crew);

/* Do TRAINING_CALIBRATE: set the average's batch norm statistics by base images as they are, not distorted. */
extern void training_loop_calibrate(TrainingCrew *crew);

/* Do TRAINING_EVALUATE: read this process's share of the sets. */
extern void training_loop_evaluate(TrainingCrew *crew);

/* Do TRAINING_COMPARE: read this process's share of the sets with the candidate and with the live model. */
extern void training_loop_compare(TrainingCrew *crew);

/* Do TRAINING_FOLD. */
extern void training_loop_fold(TrainingCrew *crew);

/* Do TRAINING_OPINE: what the live model, and the average, make of this process's feedback. */
extern void training_loop_opine(TrainingCrew *crew);

/* Learning rate at a step of all_steps. */
extern float training_loop_learning_rate(const TrainingOptions *options, int64 step, int64 all_steps);

/* ---- training_fit.c ---- */

/* A run, as its trainer sees it. */
typedef struct TrainingRun
{
	RetrainRequest *request;
	int64 id;				 /* 0: no row yet */
	TrainingOptions options; /* of the model to be made */
	TrainingStudy *study;
	TrainingParent parent;
	TrainingCrew *crew;
	instr_time started;

	/* progress, in images to train on */
	double work;	  /* of the whole run, repeats included */
	double work_done; /* before the fit at hand */
} TrainingRun;

typedef enum TrainingFitEnd
{
	TRAINING_FIT_DONE,
	TRAINING_FIT_STOPPED, /* by its hook */
	TRAINING_FIT_DIVERGED
} TrainingFitEnd;

/* One training of a network. */
typedef struct TrainingFit
{
	TrainingRun *run;
	const TrainingOptions *options;
	int trial;											   /* 0: none */
	int max_images;										   /* of an epoch; 0: no limit */
	bool hold_back;										   /* part of the feedback, to judge by */
	int parts;											   /* of an epoch: how often it is reported on */
	bool (*go_on)(struct TrainingFit *fit, void *context); /* after each report; NULL: always */
	void *context;

	/* what came of it so far */
	TrainingReport report;
	double epochs;
} TrainingFit;

/* Train.  The average of the weights is left in TRAINING_AVERAGE. */
extern TrainingFitEnd training_fit(TrainingFit *fit);

/* Images that a fit will train on, repeats included; the data is loaded. */
extern double training_fit_images(const TrainingFit *fit);

/* Throw that training diverged. */
extern void training_diverged(double loss) pg_attribute_noreturn();

/* ---- training_search.c ---- */

/* Does the run have trials? */
static inline bool
training_has_trials(const TrainingStudy *study)
{
	return study->trials > 0 || study->narchitectures > 1;
}

/* What the largest and the smallest of all fits of the run need. */
typedef struct TrainingLimits
{
	Size nvalues;
	int smallest_batch;
	int largest_batch;
} TrainingLimits;

extern void training_limits(const TrainingOptions *options, const TrainingStudy *study, TrainingLimits *limits);

/* Memory that each process needs for any of the fits. */
extern Size training_search_bytes(const TrainingOptions *options, const TrainingStudy *study,
								  const TrainingLimits *limits, const NnNet *live_net, int nprocesses);

/*
 * Make the run's trials.  Sets run->options to those of the best; true: its weights are in TRAINING_AVERAGE, and the
 * crew is set up for it; false: it is yet to be trained in full.
 */
extern bool training_search(TrainingRun *run);

/* ---- training_screen.c ---- */

/*
 * Find the labels of a run's feedback that deserve a second opinion, and exclude them in its snapshot.  *crew: the
 * processes at work, for the caller to end after an error.
 */
extern void training_screen(const TrainingOptions *options, const TrainingParent *parent, const TrainingHome *home,
							TrainingCrew **crew);

/* ---- training_gate.c ---- */

/* Read sets (a mask of TRAINING_SET_BITs) with a vector's weights, all processes together. */
extern TrainingScores training_gate_read(TrainingCrew *crew, TrainingVector vector, uint32 sets);

/* Leave the candidate in TRAINING_VALUES. */
extern void training_gate_choose(TrainingCrew *crew);

/* Read sets with candidate and live model, all processes together; their scores go into the outcome. */
extern void training_gate_compare(TrainingCrew *crew, uint32 sets, TrainingComparison comparison[TRAINING_NSETS],
								  TrainingOutcome *outcome);

/*
 * Judge the candidate; writes the outcome's decision and verdict.  Returns all figures as JSON, for mnist_run.gate.
 */
extern char *training_gate_judge(const TrainingOptions *options, int live_version,
								 const TrainingComparison comparison[TRAINING_NSETS], TrainingOutcome *outcome);

/* A decision as in mnist_run.decision, and back; parsing fails on one that no trainer makes. */
extern const char *training_decision_name(TrainingDecision decision);
extern TrainingDecision training_decision_parse(const char *name);

#endif /* MNIST_HIL_TRAINING_H */
