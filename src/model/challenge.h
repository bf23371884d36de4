/*
 * challenge.h: a second model tried out beside the live one.
 */
#ifndef MODEL_CHALLENGE_H
#define MODEL_CHALLENGE_H

#include "postgres.h"

/* A challenge that is under way. */
typedef struct Challenge
{
	int64 id;	 /* of the row of mnist_challenger that began it; 0: no challenge */
	int version; /* the challenger */
	float share; /* fraction of the predictions that it takes part in, 0 .. 1 */
	bool shadow; /* the live model answers, the challenger only predicts along */
} Challenge;

/* Does the challenger take part in the prediction with this id?  The answer depends on id and share only. */
extern bool challenge_takes_part(const Challenge *challenge, int64 id);

#endif /* MODEL_CHALLENGE_H */
