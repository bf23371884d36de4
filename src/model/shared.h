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
	int entry; /* -1: it was nowhere */
	uint64 generation;
} SharedPlace;

/* Why a model cannot be shared. */
typedef enum ShareFailure
{
	SHARE_FULL,		 /* what running statements use leaves too little room */
	SHARE_TOO_LARGE, /* it would not fit if it were alone */
	SHARE_FAILURES
} ShareFailure;

/* What is in the shared memory. */
typedef struct SharedState
{
	Size size; /* bytes for models */
	Size used;
	int models;
	int pinned;		 /* models that somebody has pinned */
	int private;	 /* copies that sessions keep for themselves because sharing failed */
	int64 fallbacks; /* how many were made since the server started */
	int64 evictions; /* models that made room for others since then */
} SharedState;

/* To be called by the hooks of the same names, while the library is preloaded. */
extern void model_shared_request(void);
extern void model_shared_init(void);

/* Is there shared memory, that is, is the library preloaded? */
extern bool model_shared_exists(void);

/* Map it into this process; once, before any of the functions below. */
extern void model_shared_attach(void);

/*
 * Pin a model, at the place where it was or wherever its hash leads; NULL if it is not in shared memory.  The plan
 * stays where it is until it is unpinned.
 */
extern const NnPlan *model_shared_pin(SharedPlace *place, const uint8 hash[MODEL_HASH_SIZE]);

/*
 * Put a plan of size bytes into shared memory, pinned, or find that another backend has done so by now.  NULL and
 * *why if there is no room.
 */
extern const NnPlan *model_shared_add(SharedPlace *place, const uint8 hash[MODEL_HASH_SIZE], const NnPlan *plan,
									  Size size, ShareFailure *why);

extern void model_shared_unpin(const SharedPlace *place);

/* A session begins to keep a copy of size bytes for itself, which is logged the first time; or does so no longer. */
extern void model_shared_begin_private(Size size, ShareFailure why);
extern void model_shared_end_private(void);

extern void model_shared_state(SharedState *state);

#endif /* MODEL_SHARED_H */
