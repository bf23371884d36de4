/*
 * probation.h: is a model that went live worse than the one before it?
 *
 * Plain C: no PostgreSQL, no allocation, no I/O.
 */
#ifndef STAT_PROBATION_H
#define STAT_PROBATION_H

#include <stdbool.h>
#include <stdint.h>

/* A prediction of the new model that the old model has made, too. */
typedef struct ProbationCase
{
	int place;		  /* its number in the order in which labels came, 1, 2, ...; 0: not labelled */
	bool sampled;	  /* whether it is here whatever its label; otherwise only because it is labelled */
	int8_t label;	  /* the digit according to annotators, if it is labelled */
	int8_t old_label; /* the digits that the models predicted */
	int8_t new_label;
	float old_confidence; /* their probabilities of these digits, 0 .. 1 */
	float new_confidence;
} ProbationCase;

/* When a probation ends. */
typedef struct ProbationLimits
{
	int labels;	 /* after that many labelled predictions */
	int sampled; /* or after that many sampled ones */
	bool over;	 /* one of them is reached: this is the last look, and the levels of the tests are spent */
} ProbationLimits;

/* Of images on which only one model is right, it is the old one significantly more often: on what? */
typedef enum ProbationFinding
{
	PROBATION_NOT_WORSE,		  /* nothing shows that the new model is worse */
	PROBATION_WORSE_ON_LABELS,	  /* labelled predictions */
	PROBATION_WORSE_ON_CONFLICTS, /* all predictions on which they differ, labelled or not */
	PROBATION_CONFIDENCE_LOST	  /* none: the new model is unsure about many images about which the old one is not */
} ProbationFinding;

/* What the finding rests on: numbers of predictions. */
typedef struct ProbationFigures
{
	int labels;			 /* labelled, up to the limit */
	int old_only;		 /* of these, only the old model predicted the label */
	int new_only;		 /* of these, only the new model did */
	int sampled;		 /* sampled */
	int conflicts;		 /* of the sampled ones, those on which the models differ */
	int conflicts_old;	 /* of these, labelled with what the old model predicted */
	int conflicts_new;	 /* of these, labelled with what the new model predicted */
	int conflicts_other; /* of these, labelled with another digit */
	int confirmed;		 /* of the sampled ones on which the models agree, labelled with what they predicted */
	int old_low;		 /* of the sampled ones, those of which the old model is unsure */
	int new_low;		 /* and the new one */
	bool unbiased;		 /* whether labels may be compared: wrong predictions are not labelled more often */
} ProbationFigures;

/* Room for the computation over n cases. */
typedef struct ProbationRoom
{
	int *order;	   /* n */
	double *times; /* n */
	bool *hits;	   /* n */
	double *mass;  /* n + 2 */
} ProbationRoom;

/*
 * Judge n cases, the sampled ones in the order in which they were predicted.  Places have no gaps.  Call
 * it as often as you like as cases and labels are added: if the new model is at least as good as the old one, the
 * probability that it ever finds the opposite is below 1 %.  probation.c says how, and under which assumptions.
 */
extern ProbationFinding probation_judge(const ProbationCase *cases, int n, const ProbationLimits *limits,
										const ProbationRoom *room, ProbationFigures *figures);

/*
 * May labelled predictions be compared?  conflicts: predictions on which two models differ; served and other: those
 * of them that are labelled with what the model predicted that annotators see, and with what the other one predicted;
 * neither: labelled with another digit.  agreements and confirmed: predictions on which they agree, and those of them
 * labelled with what both predicted.  False if annotators seem to label wrong predictions more often than correct
 * ones.
 */
extern bool probation_unbiased(int conflicts, int served, int other, int neither, int agreements, int confirmed);

#endif /* STAT_PROBATION_H */
