/*
 * store.h: model rows.
 *
 * The functions read the tables as of now, whatever the transaction's isolation level.  The caller needs no
 * privilege.  Errors: ERRCODE_UNDEFINED_OBJECT if there is no such version, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
 * if its weights were pruned or no version is live, ERRCODE_INVALID_BINARY_REPRESENTATION if the weights are
 * damaged.
 */
#ifndef MODEL_STORE_H
#define MODEL_STORE_H

#include "postgres.h"

#include "model/challenge.h"
#include "nn/nn.h"

#define MODEL_HASH_SIZE 32 /* SHA-256 */

/* Id and version of the newest row of mnist_deployment.  If there is none: false, and both are unchanged. */
extern bool model_store_newest_deployment(int64 *deployment, int *version);

/* Version and id of the newest row of mnist_deployment: the live version.  Throws if there is none. */
extern int model_store_live_version(int64 *deployment);

/*
 * The challenge under way against a deployment: the newest row of mnist_challenger, if it begins one against that
 * deployment.  Otherwise *challenge is zeroed.
 */
extern void model_store_challenge(int64 deployment, Challenge *challenge);

/*
 * The hash of a version's weights, from its column.  Problems are reported with elevel, ERROR or less; returns false
 * then.
 */
extern bool model_store_hash(int version, uint8 hash[MODEL_HASH_SIZE], int elevel);

/*
 * A version's weights blob, palloc'd, and the hash in its column, which the blob was checked against.  Problems are
 * reported as above; returns NULL then.
 */
extern bytea *model_store_blob(int version, uint8 hash[MODEL_HASH_SIZE], int elevel);

/* Check and unpack a blob: *net and a palloc'd vector of net->nvalues floats. */
extern float *model_store_unpack(const bytea *blob, NnNet *net);

/* The blob of a network and its values, palloc'd. */
extern bytea *model_store_pack(const NnNet *net, const float *values);

/* Read a version's weights: *net and a palloc'd vector of net->nvalues floats. */
extern float *model_store_read(int version, NnNet *net);

/*
 * Add a model row; returns the new version.  The caller has connected to SPI.  NaN stands for an unknown accuracy, 0
 * for no parent or no run.
 */
extern int model_store_add(const NnNet *net, const float *values, const char *architecture, int parent_version,
						   int64 run_id, float validation_accuracy, float test_accuracy);

#endif /* MODEL_STORE_H */
