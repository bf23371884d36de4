/*
 * store.h: model rows.
 *
 * What the functions read is what the tables say as of now, whatever the transaction's isolation level.  The caller
 * needs no privilege.  Errors: ERRCODE_UNDEFINED_OBJECT if there is no such version,
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if its weights were pruned or no version is live,
 * ERRCODE_INVALID_BINARY_REPRESENTATION if the weights are damaged.
 */
#ifndef MODEL_STORE_H
#define MODEL_STORE_H

#include "postgres.h"

#include "model/challenge.h"
#include "nn/nn.h"

#define MODEL_HASH_SIZE 32 /* SHA-256 */

/* The newest row of mnist_deployment: its id and version; false, and they are left as they are, if there is none. */
extern bool model_store_newest_deployment(int64 *deployment, int *version);

/* The live version, that of the newest row of mnist_deployment, and that row's id. */
extern int model_store_live_version(int64 *deployment);

/*
 * The challenge under way against that deployment: the newest row of mnist_challenger, if it is one; *challenge is
 * zeroed if there is none.
 */
extern void model_store_challenge(int64 deployment, Challenge *challenge);

/*
 * The hash of a version's weights, from its column.  What is wrong is reported as elevel says, ERROR or less; false
 * if that returns.
 */
extern bool model_store_hash(int version, uint8 hash[MODEL_HASH_SIZE], int elevel);

/*
 * A version's weights blob, palloc'd, checked against the hash in its column, which is handed out; errors as above,
 * NULL if reporting them returns.
 */
extern bytea *model_store_blob(int version, uint8 hash[MODEL_HASH_SIZE], int elevel);

/* Check a blob and take it apart: *net and a palloc'd vector of net->nvalues floats. */
extern float *model_store_unpack(const bytea *blob, NnNet *net);

/* The blob of a network and its values, palloc'd. */
extern bytea *model_store_pack(const NnNet *net, const float *values);

/* Read a version's weights: *net and a palloc'd vector of net->nvalues floats. */
extern float *model_store_read(int version, NnNet *net);

/*
 * Add a model row; returns the new version.  Runs through SPI, connected by the caller.  An accuracy that is NaN is
 * not known; a parent or a run that is 0 is none.
 */
extern int model_store_add(const NnNet *net, const float *values, const char *architecture, int parent_version,
						   int64 run_id, float validation_accuracy, float test_accuracy);

#endif /* MODEL_STORE_H */
