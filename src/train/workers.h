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
	TRAINING_GRADIENTS /* of rank 0; those of the other ranks follow */
} TrainingVector;

typedef enum TrainingCommand
{
	TRAINING_LOAD,		/* the samples */
	TRAINING_SETUP,		/* prepare a fit with the current hyperparameters */
	TRAINING_STEPS,		/* steps of training */
	TRAINING_CALIBRATE, /* batch norm's statistics, on plain images */
	TRAINING_EVALUATE,	/* predict sets with a vector's weights */
	TRAINING_COMPARE,	/* predict sets with TRAINING_VALUES and with TRAINING_LIVE */
	TRAINING_FOLD,		/* from here on train on the corrections outside a fold */
	TRAINING_WEIGH		/* predict the feedback in a fold, and the references */
} TrainingCommand;

/* The predictions of models for a feedback image, by which the label-noise filter judges its label. */
typedef struct LabelEvidence
{
	int64 feedback_id;
	uint8 label;	   /* given by annotators */
	uint8 live_label;  /* predicted by the live model */
	uint8 other_label; /* the most probable other digit, by the model tuned on the other fold */
	uint8 fold;		   /* of the image */
	float live_own;	   /* probability of label, by the live model */
	float fit_own;	   /* probability of label, by the tuned model */
	float fit_other;   /* probability of other_label, by the tuned model */
	float live_share;  /* p-values by the live and by the tuned model; the trainer writes them: see filter.c */
	float fit_share;
} LabelEvidence;

/* The fold of one of a process's feedback images. */
static inline int
training_fold(int image)
{
	return image % TRAINING_FOLDS;
}

/* The current model's prediction for a base image of the validation split. */
typedef struct TrainingReference
{
	uint8 label;
	float probabilities[NN_CLASSES];
} TrainingReference;

/* The results of one process.  It alone writes them; the others read them after the next barrier. */
typedef struct TrainingSlot
{
	int64 totals[TRAINING_NSETS];				   /* images of its part of each set */
	TrainingScore step;							   /* of the last step */
	TrainingScores scores;						   /* of the last TRAINING_EVALUATE */
	TrainingComparison comparison[TRAINING_NSETS]; /* of the last TRAINING_COMPARE */
	int references;								   /* of the last TRAINING_WEIGH */
} TrainingSlot;

/* The head of the run's segment.  The vectors follow it, then the evidence, then the references. */
typedef struct TrainingShared
{
	/* written by the trainer before it starts helpers, never changed */
	int trainer; /* its number among ProcGlobal->allProcs, to set its latch */
	char live_network[2 * NN_MAX_TEXT];
	Size live_bytes;   /* of the live model's vector */
	Size vector_bytes; /* of each other vector, for the largest network to be trained */
	int max_processes; /* that there is room for */

	/* the barrier, and how the processes learn of the end */
	pg_atomic_uint32 stopped; /* the run is over: a process has left */
	ConditionVariable passed; /* the barrier was passed, or "stopped" is set */
	slock_t mutex;			  /* guards the five below */
	int nprocesses;			  /* participants; 0 until the trainer has counted them */
	int arrived;			  /* at the barrier, in this phase */
	uint64 phase;			  /* how often the barrier was passed */
	bool has_error;
	WorkerError error; /* the first one */

	/* set by each helper when it has joined; in the order in which they were started */
	pg_atomic_uint32 ready[TRAINING_MAX_PROCESSES];

	/* written by the trainer before a barrier, read by the others after it */
	int ranks[TRAINING_MAX_PROCESSES]; /* indexed like ready; -1: has not joined */
	TrainingCommand command;
	TrainingOrders orders;
	Hyperparameters hyper; /* of the current fit; changed only before TRAINING_SETUP */
	bool is_trial;		   /* it is validated with part of the feedback; changed likewise */
	char snapshot[64];	   /* TRAINING_LOAD */
	Size loop_bytes;	   /* that each process will need for steps and evaluation, at most */
	int64 first_step;	   /* TRAINING_STEPS */
	int64 nsteps;
	int64 all_steps;
	double feedback_share; /* of each batch */
	int fold;			   /* TRAINING_FOLD, TRAINING_WEIGH; -1: all feedback, by the live model */
	TrainingVector vector; /* TRAINING_EVALUATE */
	uint32 sets;		   /* TRAINING_EVALUATE, TRAINING_COMPARE */

	/* written by the trainer within a step, read by all after the step's second barrier */
	bool diverged; /* the fit is over */
	double diverged_loss;

	TrainingSlot slots[TRAINING_MAX_PROCESSES]; /* by rank */
} TrainingShared;

/* Called in the trainer after each step; helpers begin the next one meanwhile. */
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

/* The number of processes planned for a run: those asked for, or fewer if the smallest batch has too few images. */
extern int workers_count(const TrainingOrders *orders, int smallest_batch);

/*
 * Trainer: make the run's segment, with the live model's values in it, and start helpers, as many as there are free
 * worker slots for.  nvalues: of the largest network to be trained; loop_bytes: what each of workers_count processes
 * will need for steps and evaluation; function: a helper's entry point.  ERRCODE_OUT_OF_MEMORY before anything is
 * made if the run needs more than mnist_hil.training_memory.
 */
extern Workers *workers_create(const TrainingOrders *orders, const TrainingParent *parent, Size nvalues,
							   int smallest_batch, Size loop_bytes, const WorkerHome *home, const char *function);

/* Helper: connect, and join the run of a segment; NULL if the run is over.  *number: 1, 2, ... */
extern Workers *workers_join(Datum main_arg, int *number);

/* Helper: tell the trainer that this process takes part. */
extern void workers_ready(Workers *workers, int number);

/* Helper: report an error as the run's, unless there is one already, and leave. */
extern void workers_fail(Workers *workers, const ErrorData *edata);

/* Wait until all processes have arrived here; throws if one of them has failed. */
extern void workers_barrier(Workers *workers);

/* A vector of the run: a TrainingVector, or TRAINING_GRADIENTS + rank. */
extern float *workers_vector(const Workers *workers, int vector);

/* A process's evidence, of its feedback images to train on, then of its held-out ones; and the number of both. */
extern LabelEvidence *workers_evidence(const Workers *workers, int rank);
extern int64 workers_nevidence(const Workers *workers, int rank);

/* A process's references, and how many there is room for. */
extern TrainingReference *workers_references(const Workers *workers, int rank);
extern int workers_max_references(const Workers *workers);

/* Trainer: images of each set over all processes. */
extern void workers_totals(const Workers *workers, int64 totals[TRAINING_NSETS]);

/* Trainer: end the helpers, after an error as well, and wait until they are gone. */
extern void workers_end(Workers *workers);

/* Trainer: free the memory of the workers, after workers_end. */
extern void workers_free(Workers *workers);

#endif /* TRAIN_WORKERS_H */
