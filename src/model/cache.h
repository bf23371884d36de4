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
 * The use of a model by one function call site of a statement.  It keeps its model until the statement ends.  The
 * plans that the functions below return are valid until the calling SQL function returns, or calls them again with
 * the same use for another version.
 */
typedef struct ModelUse ModelUse;

/* Create a use; it ends with the memory context. */
extern ModelUse *model_use_create(MemoryContext context);

/* The use kept in flinfo->fn_extra, created at the first call; for functions that keep nothing else there. */
extern ModelUse *model_use_of(FmgrInfo *flinfo);

/*
 * The live model of this database as of the statement's first call.  The head of cache.c says when a switch takes
 * effect.  ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if no model is live; the errors of store.h if its weights cannot
 * be used.
 */
extern const NnPlan *model_use_plan(ModelUse *use, int *version);

/* A given version's model; the use must serve no other function of this header.  Errors as above. */
extern const NnPlan *model_use_version(ModelUse *use, int version);

/*
 * The challenger as of the statement's first call, and its challenge; call model_use_plan first.  NULL if no
 * challenge is under way, or the challenger's weights cannot be used.
 */
extern const NnPlan *model_use_challenger(ModelUse *use, Challenge *challenge);

#endif /* MODEL_CACHE_H */
