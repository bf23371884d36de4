/*
 * workers.h: the processes of a run.
 */
#ifndef TRAIN_WORKERS_H
#define TRAIN_WORKERS_H

#include "postgres.h"

#include "storage/condition_variable.h"
#include "storage/spin.h"

#include "nn/nn.h"
#include "pg/worker.h"
#include "train/options.h"
#include "train/record.h"
#include "train/samples.h"
#include "train/sets.h"

#define TRAINING_FOLDS 2 /* of the label-noise filter */

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
	TRAINING_SETUP,		/* make ready for a fit by the hyperparameters at hand */
	TRAINING_STEPS,		/* steps of training */
	TRAINING_CALIBRATE, /* batch norm on images as they are */
	TRAINING_EVALUATE,	/* predict sets with a vector's weights */
	TRAINING_COMPARE,	/* predict sets with TRAINING_VALUES and with TRAINING_LIVE */
	TRAINING_FOLD,		/* from here on train on what the feedback outside a fold corrects */
	TRAINING_WEIGH		/* predict the feedback in a fold, and the references */
} TrainingCommand;

/* What models predict for a feedback image, for the label-noise filter to weigh its label by. */
typedef struct LabelEvidence
{
	int64 feedback_id;
	uint8 label;	   /* the one that it was given */
	uint8 live_label;  /* the one that the live model predicts */
	uint8 other_label; /* that a model tuned on the other fold predicts, leaving out the one that was given */
	uint8 fold;		   /* that it is in */
	float live_own;	   /* probability that the live model gives the label */
	float fit_own;	   /* that the tuned model gives it */
	float fit_other;   /* that it gives the other one */
	float live_share;  /* p-values that the trainer writes: see filter.c */
	float fit_share;
} LabelEvidence;

/* The fold that one of a process's feedback images is in. */
static inline int
training_fold(int image)
{
	return image % TRAINING_FOLDS;
}

/* What the model at hand predicts for a base image of the validation split. */
typedef struct TrainingReference
{
	uint8 label;
	float probabilities[NN_CLASSES];
} TrainingReference;

/* What one process tells the others; written by it alone, read after the next barrier. */
typedef struct TrainingSlot
{
	int64 totals[TRAINING_NSETS];				   /* images of its shares */
	TrainingScore step;							   /* of the last step */
	TrainingScores scores;						   /* of the last TRAINING_EVALUATE */
	TrainingComparison comparison[TRAINING_NSETS]; /* of the last TRAINING_COMPARE */
	int references;								   /* of the last TRAINING_WEIGH */
} TrainingSlot;

/* The run's segment; the vectors follow it, the evidence follows them, and the references follow that. */
typedef struct TrainingShared
{
	/* written by the trainer before it starts helpers, never changed */
	int trainer; /* its number among ProcGlobal->allProcs, to set its latch */
	char live_network[2 * NN_MAX_TEXT];
	Size live_bytes;   /* of the live model's vector */
	Size vector_bytes; /* of each other one: of the largest network that is to be trained */
	int max_processes; /* that there is room for */

	/* the barrier, and how the processes learn of the end */
	pg_atomic_uint32 stopped; /* nobody trains on: an error, or the trainer has gone */
	ConditionVariable passed; /* the barrier was passed, or "stopped" is set */
	slock_t mutex;			  /* guards the five below */
	int nprocesses;			  /* participants; 0 until the trainer has settled it */
	int arrived;			  /* at the barrier, in this phase */
	uint64 phase;			  /* how often the barrier was passed */
	bool has_error;
	WorkerError error; /* the first one */

	/* set by each helper when it has joined; by the order in which they were started */
	pg_atomic_uint32 ready[TRAINING_MAX_PROCESSES];

	/* written by the trainer before a barrier, read by the others after it */
	int ranks[TRAINING_MAX_PROCESSES]; /* like ready */
	TrainingCommand command;
	TrainingOrders orders;
	Hyperparameters hyper; /* of the fit at hand; changed only before TRAINING_SETUP */
	bool is_trial;		   /* part of the feedback validates the trial; likewise */
	char snapshot[64];	   /* TRAINING_LOAD */
	Size loop_bytes;	   /* that each process will need for steps and evaluation, at most */
	int64 first_step;	   /* TRAINING_STEPS */
	int64 nsteps;
	int64 all_steps;
	double feedback_share; /* of each batch */
	int fold;			   /* TRAINING_FOLD, TRAINING_WEIGH; -1: all, by the live model alone */
	TrainingVector vector; /* TRAINING_EVALUATE */
	uint32 sets;		   /* and TRAINING_COMPARE */

	/* written by the trainer within a step, read by all after the step's second barrier */
	bool diverged; /* the fit is over */
	double diverged_loss;

	TrainingSlot slots[TRAINING_MAX_PROCESSES]; /* by rank */
} TrainingShared;

/* Called in the trainer after each step, while the helpers wait. */
typedef void (*TrainingStepHook)(void *context, int64 step, const TrainingScore *score);

/* One process's view of a run. */
typedef struct Workers
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
	struct Steps *steps;	   /* steps.c's own */

	/* trainer only */
	int nhelpers;
	BackgroundWorkerHandle *helpers[TRAINING_MAX_PROCESSES];
	TrainingStepHook hook;
	void *hook_context;
} Workers;

/* How many processes a run is made for: those asked for, as far as the smallest batch keeps them busy. */
extern int workers_count(const TrainingOrders *orders, int smallest_batch);

/*
 * Trainer: make the run's segment, with the live model's values in it, and start helpers, as many as there are
 * worker slots for.  nvalues: of the largest network to be trained; loop_bytes: what each of workers_count
 * processes will need for steps and evaluation; function: a helper's entry point.  ERRCODE_OUT_OF_MEMORY before
 * anything is made if the run needs more than mnist_hil.training_memory.
 */
extern Workers *workers_create(const TrainingOrders *orders, const TrainingParent *parent, Size nvalues,
							   int smallest_batch, Size loop_bytes, const WorkerHome *home, const char *function);

/* Helper: connect, and join the run of a segment; NULL if the run is over.  *number: 1, 2, ... */
extern Workers *workers_join(Datum main_arg, int *number);

/* Helper: say that this process is ready to take part. */
extern void workers_ready(Workers *workers, int number);

/* Helper: an error becomes the run's, unless another came first; then leave. */
extern void workers_fail(Workers *workers, const ErrorData *edata);

/* Wait until all processes have arrived here; throws if one of them has failed. */
extern void workers_barrier(Workers *workers);

/* A vector of the run: a TrainingVector, or TRAINING_GRADIENTS + rank. */
extern float *workers_vector(const Workers *workers, int vector);

/* A process's evidence: of its feedback images to train on, then of its held-out ones; and how many these are. */
extern LabelEvidence *workers_evidence(const Workers *workers, int rank);
extern int64 workers_nevidence(const Workers *workers, int rank);

/* Room for a process's references, and how many there may be. */
extern TrainingReference *workers_references(const Workers *workers, int rank);
extern int workers_max_references(const Workers *workers);

/* Trainer: images of each set over all processes. */
extern void workers_totals(const Workers *workers, int64 totals[TRAINING_NSETS]);

/* Trainer: end the helpers, after an error as well, and wait until they are gone. */
extern void workers_end(Workers *workers);

/* Trainer: give back the memory of workers that have ended. */
extern void workers_free(Workers *workers);

#endif /* TRAIN_WORKERS_H */
