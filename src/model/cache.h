/*
 * cache.h: models ready to use.
 */
#ifndef MODEL_CACHE_H
#define MODEL_CACHE_H

#include "postgres.h"

#include "fmgr.h"

#include "model/challenge.h"
#include "nn/infer/plan.h"

/*
 * One place of a statement that uses a model: it keeps to that however long the statement takes.  The plans that the
 * functions below return are valid until the SQL function that calls them returns, or calls them again with the same
 * use for another version.
 */
typedef struct ModelUse ModelUse;

/* Make one; it ends with the memory context. */
extern ModelUse *model_use_create(MemoryContext context);

/* That of a function which keeps nothing else from call to call: made at the first call. */
extern ModelUse *model_use_of(FmgrInfo *flinfo);

/*
 * The live model of this database as of the statement's first call (see the head of cache.c for when a switch is
 * seen).  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if no model is live; errors of weights that cannot be used: see
 * store.h.
 */
extern const NnPlan *model_use_plan(ModelUse *use, int *version);

/* A given version's model, in a use that nothing else is asked of; errors as above. */
extern const NnPlan *model_use_version(ModelUse *use, int version);

/*
 * The challenger as of the same moment, and *challenge, how it takes part; NULL if there is no challenge, or the
 * challenger's weights cannot be used.  To be called after model_use_plan.
 */
extern const NnPlan *model_use_challenger(ModelUse *use, Challenge *challenge);

#endif /* MODEL_CACHE_H */
