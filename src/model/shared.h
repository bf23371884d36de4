/*
 * shared.h: the models that all sessions share.
 */
#ifndef MODEL_SHARED_H
#define MODEL_SHARED_H

#include "postgres.h"

#include "model/store.h"
#include "nn/infer/plan.h"

/* Where a model was when this backend last pinned it.  It may have been evicted since. */
typedef struct SharedPlace
{
	int entry; /* -1: not pinned before */
	uint64 generation;
} SharedPlace;

/* Why a model cannot be shared. */
typedef enum ShareFailure
{
	SHARE_FULL,		 /* models used by running statements leave too little room */
	SHARE_TOO_LARGE, /* it would not even fit alone */
	SHARE_FAILURES
} ShareFailure;

/* The contents of the shared memory. */
typedef struct SharedState
{
	Size size; /* bytes for models */
	Size used;
	int models;
	int pinned;		 /* models with a pin */
	int private;	 /* copies that sessions keep for themselves because sharing failed */
	int64 fallbacks; /* such copies made since the server started */
	int64 evictions; /* models evicted since the server started */
} SharedState;

/* Called at server start if the library is preloaded: request the shared memory, then initialize it. */
extern void model_shared_request(void);
extern void model_shared_init(void);

/* Is there shared memory, that is, is the library preloaded? */
extern bool model_shared_exists(void);

/* Attach this process to it; once, before any of the functions below. */
extern void model_shared_attach(void);

/*
 * Pin a model, found by its last place or by its hash; NULL if it is not in shared memory.  The plan is valid until
 * it is unpinned.
 */
extern const NnPlan *model_shared_pin(SharedPlace *place, const uint8 hash[MODEL_HASH_SIZE]);

/*
 * Put a plan of size bytes into shared memory, pinned, or pin the copy that another backend has put there meanwhile.
 * NULL and *why if there is no room.
 */
extern const NnPlan *model_shared_add(SharedPlace *place, const uint8 hash[MODEL_HASH_SIZE], const NnPlan *plan,
									  Size size, ShareFailure *why);

extern void model_shared_unpin(const SharedPlace *place);

/* Count a private copy of size bytes, and log the first one for each reason; end counting it. */
extern void model_shared_begin_private(Size size, ShareFailure why);
extern void model_shared_end_private(void);

extern void model_shared_state(SharedState *state);

#endif /* MODEL_SHARED_H */
