/*
 * sets.h: the sets of images of a run, and how well models predict them.
 */
#ifndef TRAIN_SETS_H
#define TRAIN_SETS_H

#include "postgres.h"

#include "nn/nn.h"

#include <math.h>

typedef enum TrainingSetKind
{
	TRAINING_SET_TRAIN,		 /* base images to train on */
	TRAINING_SET_FEEDBACK,	 /* feedback to train on */
	TRAINING_SET_VALIDATION, /* base images that choose the candidate and that the gate compares on */
	TRAINING_SET_HELD_OUT,	 /* feedback that the gate alone sees */
	TRAINING_SET_TEST,		 /* base images for the report: they decide nothing */
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
	int64 candidate[NN_CLASSES];	  /* that the candidate predicts correctly */
	int64 live[NN_CLASSES];			  /* that the live model does */
	int64 candidate_only[NN_CLASSES]; /* that only the candidate does */
	int64 live_only[NN_CLASSES];	  /* that only the live model does */
} TrainingComparison;

static inline void
training_score_add(TrainingScore *sum, const TrainingScore *score)
{
	sum->images += score->images;
	sum->correct += score->correct;
	sum->loss += score->loss;
}

/* Fraction of images that were predicted correctly; NaN if there are none. */
static inline float
training_accuracy(const TrainingScore *score)
{
	return score->images > 0 ? (float) ((double) score->correct / (double) score->images) : NAN;
}

/* Mean loss of a score's images; NaN if there are none. */
static inline double
training_mean_loss(const TrainingScore *score)
{
	return score->images > 0 ? score->loss / (double) score->images : NAN;
}

#endif /* TRAIN_SETS_H */
