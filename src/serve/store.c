/*
 * store.c: predictions as rows.
 *
 * Callers need no privilege on the tables: the inserts run as the extension's owner (pg/spi.c).  A backend keeps
 * their plans between statements.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "pg/memory.h"
#include "pg/rows.h"
#include "pg/schema.h"
#include "pg/spi.h"
#include "serve/features.h"
#include "serve/network.h"
#include "serve/store.h"

void
store_draw_ids(Prediction *predictions, int n)
{
	Oid sequence = schema_relation("mnist_prediction_id_seq");

	for (int i = 0; i < n; i++)
		predictions[i].id = nextval_internal(sequence, false);
}

/* Measurements that are stored with a prediction. */
typedef struct Measures
{
	float features[FEATURES];
	Datum hash; /* SHA-256 of the pixels, a bytea */
} Measures;

static void
measure(const uint8 *pixels, const ImageSource *source, const Prediction *prediction, Measures *measures)
{
	bytea *bytes = make_bytea(pixels, NN_PIXELS);

	features_measure(pixels, source, prediction->label, prediction->probabilities, prediction->hidden,
					 measures->features);
	measures->hash = DirectFunctionCall1(sha256_bytea, PointerGetDatum(bytes));
	pfree(bytes);
}

/*
 * Does mnist_prediction have the column for the hash?  A table made by version 0.1.0 lacks it until ALTER EXTENSION
 * UPDATE.  Predictions are stored without the hash then.
 */
static bool
has_hash_column(void)
{
	return get_attnum(schema_relation("mnist_prediction"), "pixels_sha256") != InvalidAttrNumber;
}

/* Set SPI's null flags: only the challenge is null, if there is none. */
static void
set_nulls(char *nulls, int nparameters, int challenge_parameter, int64 challenge)
{
	memset(nulls, ' ', nparameters);
	if (challenge == 0)
		nulls[challenge_parameter] = 'n';
}

/* Store a prediction under its id.  If a trigger on the table suppresses the row, the id is set to 0. */
static void
store_one(Datum image, const Measures *measures, Prediction *prediction, int64 challenge)
{
	enum
	{
		ID,
		IMAGE,
		LABEL,
		CONFIDENCE,
		PROBABILITIES,
		VERSION,
		CHALLENGE,
		PREDICTION_FEATURES,
		HASH,
		NPARAMETERS
	};
#define INSERT_ONE(column, value)                                                                                \
	{                                                                                                            \
		"INSERT INTO %s.mnist_prediction"                                                                        \
		" (id, image, label, confidence, probabilities, model_version, challenge_id, features" column ")"        \
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8" value ")",                                                     \
			NPARAMETERS,                                                                                         \
			{INT8OID, BYTEAOID, INT2OID, FLOAT4OID, FLOAT4ARRAYOID, INT4OID, INT8OID, FLOAT4ARRAYOID, BYTEAOID}, \
			NULL, ""                                                                                             \
	}
	static SpiStatement statements[] = {INSERT_ONE("", ""), INSERT_ONE(", pixels_sha256", ", $9")};
	Datum values[NPARAMETERS];
	char nulls[NPARAMETERS];

	values[ID] = Int64GetDatum(prediction->id);
	values[IMAGE] = image;
	values[LABEL] = Int16GetDatum(prediction->label);
	values[CONFIDENCE] = Float4GetDatum(prediction->probabilities[prediction->label]);
	values[PROBABILITIES] = make_reals(prediction->probabilities, NN_CLASSES);
	values[VERSION] = Int32GetDatum(prediction->version);
	values[CHALLENGE] = Int64GetDatum(challenge);
	values[PREDICTION_FEATURES] = make_reals(measures->features, FEATURES);
	values[HASH] = measures->hash;
	set_nulls(nulls, NPARAMETERS, CHALLENGE, challenge);
	spi_execute_as_owner(&statements[has_hash_column()], values, nulls, SPI_OK_INSERT);
	if (SPI_processed == 0)
		prediction->id = 0;
	SPI_finish();
	pfree(DatumGetPointer(values[PROBABILITIES]));
	pfree(DatumGetPointer(values[PREDICTION_FEATURES]));
}

/* Store n predictions under their ids by one statement.  If a trigger suppresses a row, its id is set to 0. */
static void
store_many(Datum *images, const Measures *measures, Prediction *predictions, int n, int64 challenge)
{
	/*
	 * Probabilities and features are passed as one array each, and each row takes its slice.  The bounds of the
	 * slices are parameters, too.  An operator that computed them would be looked up in the caller's search_path.
	 */
	enum
	{
		IDS,
		IMAGES,
		LABELS,
		CONFIDENCES,
		VERSIONS,
		HASHES,
		BOUNDS,
		CHALLENGE = BOUNDS + 4,
		PROBABILITIES,
		PREDICTION_FEATURES,
		NPARAMETERS
	};
#define INSERT_MANY(column, value)                                                                                   \
	{                                                                                                                \
		"INSERT INTO %s.mnist_prediction"                                                                            \
		" (id, image, label, confidence, probabilities, model_version, challenge_id, features" column ")"            \
		" SELECT r.id, r.image, r.label, r.confidence, ($12)[r.first : r.last], r.version, $11,"                     \
		" ($13)[r.features_first : r.features_last]" value " FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"   \
		" AS r (id, image, label, confidence, version, hash, first, last, features_first, features_last)"            \
		" RETURNING id",                                                                                             \
			NPARAMETERS,                                                                                             \
			{INT8ARRAYOID, BYTEAARRAYOID, INT2ARRAYOID, FLOAT4ARRAYOID, INT4ARRAYOID,	BYTEAARRAYOID, INT4ARRAYOID, \
			 INT4ARRAYOID, INT4ARRAYOID,  INT4ARRAYOID, INT8OID,		FLOAT4ARRAYOID, FLOAT4ARRAYOID},             \
			NULL, ""                                                                                                 \
	}
	static SpiStatement statements[] = {INSERT_MANY("", ""), INSERT_MANY(", pixels_sha256", ", r.hash")};
	SpiStatement *statement = &statements[has_hash_column()];
	Datum columns[CHALLENGE][PREDICT_BATCH];
	float *probabilities = palloc(n * NN_CLASSES * sizeof(float));
	float *features = palloc(n * FEATURES * sizeof(float));
	Datum values[NPARAMETERS];
	char nulls[NPARAMETERS];
	uint64 row = 0;

	for (int i = 0; i < n; i++)
	{
		const Prediction *prediction = &predictions[i];

		columns[IDS][i] = Int64GetDatum(prediction->id);
		columns[IMAGES][i] = images[i];
		columns[LABELS][i] = Int16GetDatum(prediction->label);
		columns[CONFIDENCES][i] = Float4GetDatum(prediction->probabilities[prediction->label]);
		columns[VERSIONS][i] = Int32GetDatum(prediction->version);
		columns[HASHES][i] = measures[i].hash;
		columns[BOUNDS][i] = Int32GetDatum(i * NN_CLASSES + 1);
		columns[BOUNDS + 1][i] = Int32GetDatum((i + 1) * NN_CLASSES);
		columns[BOUNDS + 2][i] = Int32GetDatum(i * FEATURES + 1);
		columns[BOUNDS + 3][i] = Int32GetDatum((i + 1) * FEATURES);
		memcpy(probabilities + i * NN_CLASSES, prediction->probabilities, sizeof(prediction->probabilities));
		memcpy(features + i * FEATURES, measures[i].features, sizeof(measures[i].features));
	}
	for (int i = 0; i < CHALLENGE; i++)
		values[i] = make_array(columns[i], n, statement->types[i]);
	values[CHALLENGE] = Int64GetDatum(challenge);
	values[PROBABILITIES] = make_reals(probabilities, n * NN_CLASSES);
	values[PREDICTION_FEATURES] = make_reals(features, n * FEATURES);
	set_nulls(nulls, NPARAMETERS, CHALLENGE, challenge);
	spi_execute_as_owner(statement, values, nulls, SPI_OK_INSERT_RETURNING);
	for (int i = 0; i < n; i++)
	{
		if (row < SPI_processed && DatumGetInt64(spi_result_at(row, 1)) == predictions[i].id)
			row++;
		else
			predictions[i].id = 0;
	}
	SPI_finish();
}

/* Store the shadow predictions that belong to stored predictions. */
static void
store_shadows(const Prediction *predictions, const Prediction *shadows, int n, const Challenge *challenge)
{
	static SpiStatement statement = {
		"INSERT INTO %s.mnist_shadow (prediction_id, challenge_id, model_version, label, confidence)"
		" SELECT r.id, $4, $5, r.label, r.confidence FROM unnest($1, $2, $3) AS r (id, label, confidence)",
		5,
		{INT8ARRAYOID, INT2ARRAYOID, FLOAT4ARRAYOID, INT8OID, INT4OID},
		NULL,
		""};
	Datum ids[PREDICT_BATCH];
	Datum labels[PREDICT_BATCH];
	Datum confidences[PREDICT_BATCH];
	Datum values[5];
	int nstored = 0;

	for (int i = 0; i < n; i++)
	{
		const Prediction *shadow = &shadows[i];

		if (predictions[i].id == 0 || shadow->version == 0)
			continue;
		ids[nstored] = Int64GetDatum(predictions[i].id);
		labels[nstored] = Int16GetDatum(shadow->label);
		confidences[nstored++] = Float4GetDatum(shadow->probabilities[shadow->label]);
	}
	if (nstored == 0)
		return;
	values[0] = make_array(ids, nstored, INT8ARRAYOID);
	values[1] = make_array(labels, nstored, INT2ARRAYOID);
	values[2] = make_array(confidences, nstored, FLOAT4ARRAYOID);
	values[3] = Int64GetDatum(challenge->id);
	values[4] = Int32GetDatum(challenge->version);
	spi_execute_as_owner(&statement, values, NULL, SPI_OK_INSERT);
	SPI_finish();
}

void
store_predictions(Datum *images, const uint8 *pixels, const ImageSource *sources, int n, Prediction *predictions,
				  const Prediction *shadows, const Challenge *challenge)
{
	Measures *measures = palloc(n * sizeof(Measures));

	for (int i = 0; i < n; i++)
		measure(pixels + (Size) i * NN_PIXELS, &sources[i], &predictions[i], &measures[i]);
	if (n == 1)
		store_one(images[0], measures, predictions, challenge->id);
	else
		store_many(images, measures, predictions, n, challenge->id);
	if (shadows != NULL)
		store_shadows(predictions, shadows, n, challenge);
	for (int i = 0; i < n; i++)
		pfree(DatumGetPointer(measures[i].hash));
	pfree(measures);
}
