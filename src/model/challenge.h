/*
 * challenge.h: a second model tried out beside the live one.
 */
#ifndef MODEL_CHALLENGE_H
#define MODEL_CHALLENGE_H

#include "postgres.h"

/* A challenge that is under way. */
typedef struct Challenge
{
	int64 id;	 /* of the row of mnist_challenger that began it; 0: none is under way */
	int version; /* the challenger */
	float share; /* of the predictions that it takes part in, 0 .. 1 */
	bool shadow; /* whether it only predicts along, and the live model answers */
} Challenge;

/* Does the challenger take part in the prediction of this id?  Depends on nothing else, and always says the same. */
extern bool challenge_takes_part(const Challenge *challenge, int64 id);

#endif /* MODEL_CHALLENGE_H */
