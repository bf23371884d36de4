/*
 * request.c: the names of a run's decisions.
 */
#include "postgres.h"

#include "train/request.h"

static const char *const decision_names[] = {
	[TRAINING_REJECTED] = "rejected",
	[TRAINING_NOT_PROMOTED] = "not promoted",
	[TRAINING_AWAITING_APPROVAL] = "awaiting approval",
	[TRAINING_PROMOTION_PENDING] = "promotion pending",
	[TRAINING_PROMOTED] = "promoted",
	[TRAINING_APPROVED] = "approved",
};

const char *
training_decision_name(TrainingDecision decision)
{
	return decision_names[decision];
}

TrainingDecision
training_decision_parse(const char *name)
{
	for (int i = 0; i < (int) lengthof(decision_names); i++)
		if (strcmp(name, decision_names[i]) == 0)
			return (TrainingDecision) i;
	elog(ERROR, "unexpected decision \"%s\"", name);
}
