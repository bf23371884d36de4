/*
 * mnist_hil.h: what the server side's files share.
 *
 * One section a file.  Everything under nn/ and image/ is plain C and knows nothing of this.
 */
#ifndef MNIST_HIL_H
#define MNIST_HIL_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "image/image.h"
#include "nn/nn.h"

/* ---- settings.c: the GUCs mnist_hil.* ---- */

#define MAX_EPOCHS 10000 /* of a training run */
#define MAX_MAX_IMAGE_PIXELS (256 * 1024 * 1024)

extern int mnist_hil_shared_memory; /* kB */
extern int mnist_hil_max_image_pixels;
extern int mnist_hil_max_image_bytes;
extern bool mnist_hil_log_predictions;
extern int mnist_hil_training_workers;	 /* processes of a run, the trainer included */
extern int mnist_hil_training_memory;	 /* kB, over all processes of a run */
extern int mnist_hil_epochs;			 /* 0: the strategy's default */
extern int mnist_hil_trials;			 /* of a search */
extern double mnist_hil_annotator_share; /* of a run's feedback, at most */
extern int mnist_hil_annotator_labels;	 /* drawings that an annotator may always label */
extern bool mnist_hil_require_approval;
extern int mnist_hil_retention_budget; /* ms */

extern int mnist_hil_drift_window;	   /* readings */
extern int mnist_hil_drift_window_age; /* s; 0: any */
extern int mnist_hil_drift_min_window; /* readings */
extern double mnist_hil_drift_effect;
extern double mnist_hil_drift_significance;
extern int mnist_hil_drift_breaches;
extern int mnist_hil_drift_cooldown; /* s */

extern void settings_define(void);

/* ---- schema.c: where the extension lives in this database ---- */

/*
 * The schema of the extension's objects, quoted for use in SQL text; it lives until the next call of a function of
 * schema.c, so copy it to keep it.  ERRCODE_UNDEFINED_OBJECT with a hint if the extension is not in this database.
 */
extern const char *schema_name(void);

/* The OID of one of the extension's relations, or InvalidOid. */
extern Oid schema_relation(const char *relname);

/* The extension's owner: background workers and internal look-ups act as this role. */
extern Oid schema_owner(void);

/*
 * Throws ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE where the extension in this database is of another version than the
 * library, so that the functions of mnist_internal that the library calls are not there or are others.
 */
extern void schema_check_version(void);

/*
 * Changes whenever what the functions above return, or the contents of mnist_deployment or mnist_challenger, may have
 * changed.
 */
extern uint64 schema_stamp(void);

/* ---- challenge.c: a second model tried out beside the live one ---- */

/* A challenge that is under way. */
typedef struct Challenge
{
	int64 id;	 /* of the row of mnist_challenger that began it; 0: none is under way */
	int version; /* the challenger */
	float share; /* of the readings that it takes part in, 0 .. 1 */
	bool shadow; /* whether it only reads along, and the live model answers */
} Challenge;

/* Does the challenger take part in the reading of this id?  Depends on nothing else, and always says the same. */
extern bool challenge_takes_part(const Challenge *challenge, int64 id);

/* ---- model_cache.c: weights ready to use ---- */

/*
 * One place of a statement that uses a model: it keeps to that however long the statement takes.  The plans that the
 * functions below return are valid until the SQL function that calls them returns, or calls them again with the same
 * use for another version.
 */
typedef struct ModelUse ModelUse;

/* Make one; it ends with the memory context. */
extern ModelUse *model_use_create(MemoryContext context);

/*
 * The live model of this database as of the statement's first call (see the file's head for when a switch is seen).
 * ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if no model is live; errors of weights that cannot be used: see
 * model_store.c below.
 */
extern const NnPlan *model_use_plan(ModelUse *use, int *version);

/* A given version's model, in a use that nothing else is asked of; errors as above. */
extern const NnPlan *model_use_version(ModelUse *use, int version);

/*
 * The challenger as of the same moment, and *challenge, how it takes part; NULL if there is no challenge, or the
 * challenger's weights cannot be used.  To be called after model_use_plan.
 */
extern const NnPlan *model_use_challenger(ModelUse *use, Challenge *challenge);

/* ---- model_shared.c: models in shared memory (the rest is in model_shared.h) ---- */

extern void model_cache_request_shared_memory(void); /* from shmem_request_hook */
extern void model_cache_init_shared_memory(void);	 /* from shmem_startup_hook */

/* ---- model_store.c: model rows ---- */

/*
 * What the tables say as of now, whatever the transaction's isolation level, with no rights of the caller asked
 * for.  Errors: ERRCODE_UNDEFINED_OBJECT if there is no such version, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE if
 * its weights were pruned or no version is live, ERRCODE_INVALID_BINARY_REPRESENTATION if the weights are damaged.
 */
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

/* Read a version's weights: *net and a palloc'd vector of net->nvalues floats. */
extern float *model_store_read(int version, NnNet *net);

/*
 * Add a model row; returns the new version.  The caller holds a ShareRowExclusiveLock on mnist_model.  Runs through
 * SPI, connected by the caller.
 */
extern int model_store_add(const NnNet *net, const float *values, const char *architecture, int parent_version,
						   int64 run_id, float validation_accuracy, float test_accuracy);

/* size bytes in the context, aligned for nn/; to be freed with the context only. */
extern void *nn_alloc(MemoryContext context, Size size);

/* ---- arguments.c: sizes of arguments, known before their values are ---- */

/* ERRCODE_PROGRAM_LIMIT_EXCEEDED if an argument of varying length has more bytes; nothing is detoasted. */
extern void check_argument_size(Datum value, Size most, const char *name);

/* A text argument of so many bytes at most, as a string; the same error. */
extern char *text_argument(Datum value, Size most, const char *name);

/* ---- image_input.c: from SQL's bytea to pixels ---- */

/*
 * An allocator over the current memory context that returns NULL instead of throwing, and throws where an interrupt
 * is pending.
 */
extern const ImageAllocator *image_input_allocator(void);

/*
 * Bring an image that comes from a caller, and may be toasted, to MNIST's form and say what it was, or throw.
 * Returns the image as it is to be stored: detoasted, without what follows the end of a PNG.
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED if it has more bytes than mnist_hil.max_image_bytes, before anything is read, or
 * more pixels than mnist_hil.max_image_pixels; ERRCODE_INVALID_BINARY_REPRESENTATION if it is damaged or no image.
 */
extern bytea *image_input_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source);

/* The same of which only the pixels are wanted. */
extern void image_input_pixels(Datum image, uint8_t pixels[IMAGE_PIXELS]);

/*
 * The same for an image that has been stored: the settings limited it on its way in, and a lower limit since must not
 * make it unreadable.
 */
extern void image_stored_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source);

/* The same, without throwing. */
extern ImageStatus image_stored_read(const bytea *image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source,
									 ImageError *error);

/* A bytea of these bytes, palloc'd. */
extern bytea *make_bytea(const uint8 *data, Size size);

/* Throw what an nn call reported. */
extern void nn_throw(const NnError *error) pg_attribute_noreturn();
extern void image_throw(const ImageError *error) pg_attribute_noreturn();

/* ---- features.c: what is kept of a reading to watch for drift ---- */

/* The places of mnist_prediction.features: those of the image, then these. */
typedef enum ReadingFeature
{
	READING_CONFIDENCE = IMAGE_FEATURES,
	READING_ENTROPY, /* of the probabilities, in nats */
	READING_LABEL,
	READING_HIDDEN, /* NN_HIDDEN of them */
	READING_FEATURES = READING_HIDDEN + NN_HIDDEN
} ReadingFeature;

/*
 * Measure a reading: of its image in MNIST's form and as it came in, of its label and probabilities (NN_CLASSES), and
 * of what nn_forward_hidden said of the hidden layer (NN_HIDDEN).
 */
extern void features_measure(const uint8 *pixels, const ImageSource *source, int label, const float *probabilities,
							 const float *hidden, float features[READING_FEATURES]);

/* ---- reading.c: through the network ---- */

/* The most probable digit, the lowest of several. */
extern int reading_label(const float probabilities[NN_CLASSES]);

/*
 * Read n images (n, NN_PIXELS) of any number up to READING_BATCH: probabilities (n, NN_CLASSES), by the rule for
 * blank ones, and hidden (n, NN_HIDDEN).
 */
#define READING_BATCH 64
extern void reading_forward(const NnPlan *plan, const uint8 *pixels, int n, float *probabilities, float *hidden);

/*
 * Make a function that returns a set return a tuplestore of rows of so many columns; *desc is their type.
 * ERRCODE_FEATURE_NOT_SUPPORTED where no set can be returned.
 */
extern Tuplestorestate *begin_rows(FunctionCallInfo fcinfo, int ncolumns, TupleDesc *desc);

/* ---- picture.c: pictures for SQL ---- */

/* A square picture of side x side pixels as a PNG, palloc'd. */
extern bytea *encode_png(const uint8 *samples, int side, ImageColor color);

/* ERRCODE_INVALID_PARAMETER_VALUE unless it is a digit. */
extern void check_label(int label);

#endif /* MNIST_HIL_H */
