/*
 * predict.c: what SQL calls to predict digits.
 *
 * An image goes through pg/image_input.c and then through the live model's network (network.c): one at a time, in
 * batches, from a parallel worker.
 *
 * mnist_predict and mnist_predict_batch alone take part in a challenge (model/challenge.c): which model predicts
 * follows from the id that the prediction is stored under, and their result says which model it was.  The other
 * functions store nothing.  They are STABLE: within a statement they give the same for the same image.  So what is
 * not stored, by mnist_hil.log_predictions too, is predicted by the live model.
 *
 * Callers need no privilege on the table: the insert runs as the extension's owner (pg/spi.c).  What a backend
 * keeps beyond a statement is the plans of inserts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "image/features.h"
#include "image/preprocess.h"
#include "model/cache.h"
#include "pg/image_input.h"
#include "pg/rows.h"
#include "pg/schema.h"
#include "pg/settings.h"
#include "pg/spi.h"
#include "serve/features.h"
#include "serve/network.h"

#define NCOLUMNS 5 /* of the row of mnist_predict */

/* What a place in a statement that calls one of these functions keeps from call to call. */
typedef struct PredictCall
{
	ModelUse *use;
	TupleDesc desc; /* of the result, where that is a row */
} PredictCall;

typedef struct Prediction
{
	int64 id; /* 0: not stored */
	int version;
	int16 label;
	float probabilities[NN_CLASSES];
	float hidden[NN_HIDDEN];
} Prediction;

/* The models that predict for a statement. */
typedef struct ServingModels
{
	const NnPlan *live;
	const NnPlan *challenger; /* NULL: there is no challenge */
	int version;			  /* of the live model */
	Challenge challenge;
} ServingModels;

PG_FUNCTION_INFO_V1(mnist_predict);
PG_FUNCTION_INFO_V1(mnist_predict_batch);
PG_FUNCTION_INFO_V1(mnist_classify);
PG_FUNCTION_INFO_V1(mnist_probabilities);

/* ---- predicting ---- */

static PredictCall *
predict_call(FunctionCallInfo fcinfo)
{
	FmgrInfo *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
	{
		PredictCall *call = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(PredictCall));

		call->use = model_use_create(flinfo->fn_mcxt);
		flinfo->fn_extra = call;
	}
	return flinfo->fn_extra;
}

/* The row type of the result. */
static TupleDesc
result_type(FunctionCallInfo fcinfo, PredictCall *call)
{
	if (call->desc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		call->desc = row_type(fcinfo, NCOLUMNS);
		MemoryContextSwitchTo(old);
	}
	return call->desc;
}

/* Predict n images and set all but the ids. */
static void
predict_pixels(const NnPlan *plan, int version, const uint8 *pixels, int n, Prediction *predictions)
{
	float probabilities[PREDICT_BATCH * NN_CLASSES];
	float hidden[PREDICT_BATCH * NN_HIDDEN];

	network_predict(plan, pixels, n, probabilities, hidden);
	for (int i = 0; i < n; i++)
	{
		Prediction *prediction = &predictions[i];

		memcpy(prediction->probabilities, &probabilities[i * NN_CLASSES], sizeof(prediction->probabilities));
		memcpy(prediction->hidden, &hidden[i * NN_HIDDEN], sizeof(prediction->hidden));
		prediction->label = (int16) nn_best_class(prediction->probabilities);
		prediction->version = version;
	}
}

/* Predict those of n images for which "chosen" says "which"; the other predictions stay as they are. */
static void
predict_chosen(const NnPlan *plan, int version, const uint8 *pixels, int n, const bool *chosen, bool which,
			   Prediction *predictions)
{
	uint8 *some_pixels = palloc((Size) n * NN_PIXELS);
	Prediction *some = palloc(n * sizeof(Prediction));
	int nsome = 0;

	for (int i = 0; i < n; i++)
	{
		if (chosen[i] == which)
			memcpy(some_pixels + (Size) nsome++ * NN_PIXELS, pixels + (Size) i * NN_PIXELS, NN_PIXELS);
	}
	if (nsome > 0)
		predict_pixels(plan, version, some_pixels, nsome, some);
	nsome = 0;
	for (int i = 0; i < n; i++)
	{
		if (chosen[i] == which)
		{
			some[nsome].id = predictions[i].id;
			predictions[i] = some[nsome++];
		}
	}
	pfree(some);
	pfree(some_pixels);
}

/*
 * Predict n images, by the models that their ids say.  Of what the challenger predicts in the shadow, shadows[] gets
 * the prediction of the same place; the version of the others is 0.
 */
static void
predict_challenged(const ServingModels *models, const uint8 *pixels, int n, Prediction *predictions,
				   Prediction *shadows)
{
	const Challenge *challenge = &models->challenge;
	bool chosen[PREDICT_BATCH];

	for (int i = 0; i < n; i++)
	{
		chosen[i] = challenge_takes_part(challenge, predictions[i].id);
		shadows[i].version = 0;
	}
	if (challenge->shadow)
		predict_pixels(models->live, models->version, pixels, n, predictions);
	else
		predict_chosen(models->live, models->version, pixels, n, chosen, false, predictions);
	predict_chosen(models->challenger, challenge->version, pixels, n, chosen, true,
				   challenge->shadow ? shadows : predictions);
}

static Datum
int8_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
int4_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static Datum
int2_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

static Datum
float4_array(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT));
}

static Datum
probabilities_datum(const Prediction *prediction)
{
	return make_reals(prediction->probabilities, NN_CLASSES);
}

/* ---- storing ---- */

/* Refuse before any work is done where storing is impossible. */
static void
check_may_store(void)
{
	if (!mnist_hil_log_predictions || !XactReadOnly)
		return;
	ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
					RecoveryInProgress() ? errmsg("cannot store a prediction during recovery")
										 : errmsg("cannot store a prediction in a read-only transaction"),
					errhint("Use mnist_classify or mnist_probabilities, which store nothing.")));
}

/* The id in a row of an insert's result. */
static int64
returned_id(uint64 row)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * Draw the ids of n predictions.  They are drawn here, not by the column's default, because which model predicts
 * follows from them, and to know which row got which, should a trigger on the table leave rows out.
 */
static void
draw_ids(Prediction *predictions, int n)
{
	Oid sequence = schema_relation("mnist_prediction_id_seq");

	for (int i = 0; i < n; i++)
		predictions[i].id = nextval_internal(sequence, false);
}

/* What is measured of an image and its prediction to be stored. */
typedef struct Measures
{
	float features[FEATURES];
	int64 hash; /* of the pixels */
} Measures;

static void
measure(const uint8 *pixels, const ImageSource *source, const Prediction *prediction, Measures *measures)
{
	features_measure(pixels, source, prediction->label, prediction->probabilities, prediction->hidden,
					 measures->features);
	measures->hash = (int64) image_hash(pixels);
}

/* Store a prediction under its id, which is set to 0 if a trigger on the table leaves the row out. */
static void
store_one(Datum image, const Measures *measures, Prediction *prediction, int64 challenge)
{
	static SpiStatement statement = {
		"INSERT INTO %s.mnist_prediction"
		" (id, image, label, confidence, probabilities, model_version, challenge_id, features, pixels_hash)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		9,
		{INT8OID, BYTEAOID, INT2OID, FLOAT4OID, FLOAT4ARRAYOID, INT4OID, INT8OID, FLOAT4ARRAYOID, INT8OID},
		NULL,
		""};
	Datum values[9];

	values[0] = Int64GetDatum(prediction->id);
	values[1] = image;
	values[2] = Int16GetDatum(prediction->label);
	values[3] = Float4GetDatum(prediction->probabilities[prediction->label]);
	values[4] = probabilities_datum(prediction);
	values[5] = Int32GetDatum(prediction->version);
	values[6] = Int64GetDatum(challenge);
	values[7] = make_reals(measures->features, FEATURES);
	values[8] = Int64GetDatum(measures->hash);
	spi_execute_as_owner(&statement, values, challenge ? NULL : "      n  ", SPI_OK_INSERT);
	if (SPI_processed == 0)
		prediction->id = 0;
	SPI_finish();
	pfree(DatumGetPointer(values[4]));
	pfree(DatumGetPointer(values[7]));
}

/* Store n predictions by one statement under their ids; those of rows that a trigger leaves out are set to 0. */
static void
store_many(Datum *images, const Measures *measures, Prediction *predictions, int n, int64 challenge)
{
	/*
	 * Probabilities and features come as one array each, of which a row takes its slice.  The bounds come along, as
	 * an operator or a function here would be looked for in the caller's search_path.
	 */
	static SpiStatement statement = {
		"INSERT INTO %s.mnist_prediction"
		" (id, image, label, confidence, probabilities, model_version, challenge_id, features, pixels_hash)"
		" SELECT r.id, r.image, r.label, r.confidence, ($12)[r.first : r.last], r.version, $11,"
		" ($13)[r.features_first : r.features_last], r.hash"
		" FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
		" AS r (id, image, label, confidence, version, hash, first, last, features_first, features_last)"
		" RETURNING id",
		13,
		{INT8ARRAYOID, BYTEAARRAYOID, INT2ARRAYOID, FLOAT4ARRAYOID, INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID,
		 INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT8OID, FLOAT4ARRAYOID, FLOAT4ARRAYOID},
		NULL,
		""};
	Datum ids[PREDICT_BATCH];
	Datum labels[PREDICT_BATCH];
	Datum confidences[PREDICT_BATCH];
	Datum versions[PREDICT_BATCH];
	Datum hashes[PREDICT_BATCH];
	Datum bounds[4][PREDICT_BATCH];
	float *probabilities = palloc(n * NN_CLASSES * sizeof(float));
	float *features = palloc(n * FEATURES * sizeof(float));
	Datum values[13];
	uint64 row = 0;

	for (int i = 0; i < n; i++)
	{
		const Prediction *prediction = &predictions[i];

		ids[i] = Int64GetDatum(prediction->id);
		labels[i] = Int16GetDatum(prediction->label);
		confidences[i] = Float4GetDatum(prediction->probabilities[prediction->label]);
		versions[i] = Int32GetDatum(prediction->version);
		hashes[i] = Int64GetDatum(measures[i].hash);
		memcpy(probabilities + i * NN_CLASSES, prediction->probabilities, sizeof(prediction->probabilities));
		memcpy(features + i * FEATURES, measures[i].features, sizeof(measures[i].features));
		bounds[0][i] = Int32GetDatum(i * NN_CLASSES + 1);
		bounds[1][i] = Int32GetDatum((i + 1) * NN_CLASSES);
		bounds[2][i] = Int32GetDatum(i * FEATURES + 1);
		bounds[3][i] = Int32GetDatum((i + 1) * FEATURES);
	}
	values[0] = int8_array(ids, n);
	values[1] = PointerGetDatum(construct_array(images, n, BYTEAOID, -1, false, TYPALIGN_INT));
	values[2] = int2_array(labels, n);
	values[3] = float4_array(confidences, n);
	values[4] = int4_array(versions, n);
	values[5] = int8_array(hashes, n);
	for (int i = 0; i < 4; i++)
		values[6 + i] = int4_array(bounds[i], n);
	values[10] = Int64GetDatum(challenge);
	values[11] = make_reals(probabilities, n * NN_CLASSES);
	values[12] = make_reals(features, n * FEATURES);
	spi_execute_as_owner(&statement, values, challenge ? NULL : "          n  ", SPI_OK_INSERT_RETURNING);
	for (int i = 0; i < n; i++)
	{
		if (row < SPI_processed && returned_id(row) == predictions[i].id)
			row++;
		else
			predictions[i].id = 0;
	}
	SPI_finish();
}

/* Store what the challenger predicted along with n predictions, where it did and the prediction is stored. */
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
	values[0] = int8_array(ids, nstored);
	values[1] = int2_array(labels, nstored);
	values[2] = float4_array(confidences, nstored);
	values[3] = Int64GetDatum(challenge->id);
	values[4] = Int32GetDatum(challenge->version);
	spi_execute_as_owner(&statement, values, NULL, SPI_OK_INSERT);
	SPI_finish();
}

/* Measure n predictions and store them, and what the challenger predicted along with them unless shadows is NULL. */
static void
store(const ServingModels *models, Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
	  Prediction *predictions, const Prediction *shadows)
{
	Measures *measures = palloc(n * sizeof(Measures));

	for (int i = 0; i < n; i++)
		measure(pixels + (Size) i * NN_PIXELS, &sources[i], &predictions[i], &measures[i]);
	if (n == 1)
		store_one(images[0], measures, predictions, models->challenge.id);
	else
		store_many(images, measures, predictions, n, models->challenge.id);
	if (shadows != NULL)
		store_shadows(predictions, shadows, n, &models->challenge);
	pfree(measures);
}

/* Predict up to PREDICT_BATCH images and store them, where predictions are stored. */
static void
predict(const ServingModels *models, Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
		Prediction *predictions)
{
	Prediction *shadows = NULL;

	if (mnist_hil_log_predictions)
		draw_ids(predictions, n);
	if (models->challenger == NULL)
		predict_pixels(models->live, models->version, pixels, n, predictions);
	else
	{
		shadows = palloc(n * sizeof(Prediction));
		predict_challenged(models, pixels, n, predictions, shadows);
	}
	if (mnist_hil_log_predictions)
		store(models, images, pixels, sources, n, predictions, shadows);
	if (shadows != NULL)
		pfree(shadows);
}

/* ---- what SQL calls ---- */

static void
fill_row(const Prediction *prediction, Datum *values, bool *nulls)
{
	memset(nulls, false, NCOLUMNS * sizeof(bool));
	nulls[0] = prediction->id == 0;
	values[0] = Int64GetDatum(prediction->id);
	values[1] = Int16GetDatum(prediction->label);
	values[2] = Float4GetDatum(prediction->probabilities[prediction->label]);
	values[3] = probabilities_datum(prediction);
	values[4] = Int32GetDatum(prediction->version);
}

/* The models that predict for a call that stores. */
static ServingModels
serving_models(PredictCall *call)
{
	ServingModels models = {0};

	models.live = model_use_plan(call->use, &models.version);
	if (mnist_hil_log_predictions)
		models.challenger = model_use_challenger(call->use, &models.challenge);
	return models;
}

/* mnist_predict(image): predict a digit and store the image and the prediction. */
Datum
mnist_predict(PG_FUNCTION_ARGS)
{
	Datum image;
	PredictCall *call = predict_call(fcinfo);
	TupleDesc desc = result_type(fcinfo, call);
	ServingModels models;
	Prediction prediction = {0};
	uint8 pixels[NN_PIXELS];
	ImageSource source;
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];

	check_may_store();
	models = serving_models(call);
	image = PointerGetDatum(image_input_source(PG_GETARG_DATUM(0), pixels, &source));
	predict(&models, &image, pixels, &source, 1, &prediction);
	fill_row(&prediction, values, nulls);
	PG_RETURN_DATUM(make_row(desc, values, nulls));
}

/* Predict the image that is the function's first argument, with the live model. */
static void
predict_argument(Datum image, PredictCall *call, Prediction *prediction)
{
	int version;
	const NnPlan *plan = model_use_plan(call->use, &version);
	uint8 pixels[NN_PIXELS];

	image_input_pixels(image, pixels);
	predict_pixels(plan, version, pixels, 1, prediction);
}

/* mnist_classify(image): the digit. */
Datum
mnist_classify(PG_FUNCTION_ARGS)
{
	Prediction prediction;

	predict_argument(PG_GETARG_DATUM(0), predict_call(fcinfo), &prediction);
	PG_RETURN_INT16(prediction.label);
}

/* mnist_probabilities(image): the probability of each digit. */
Datum
mnist_probabilities(PG_FUNCTION_ARGS)
{
	Prediction prediction;

	predict_argument(PG_GETARG_DATUM(0), predict_call(fcinfo), &prediction);
	PG_RETURN_DATUM(probabilities_datum(&prediction));
}

/* ---- batches ---- */

/* Where a batch stands, for the context of errors. */
static void
batch_error_context(void *argument)
{
	errcontext("image %d of the batch", *(int *) argument + 1);
}

/*
 * Predict, store and return up to PREDICT_BATCH elements of an array of which *place have been already; nulls give
 * rows of nulls.  False when there are no more.
 */
static bool
predict_some(const ServingModels *models, ArrayIterator elements, int *place, Tuplestorestate *result, TupleDesc desc)
{
	uint8 *pixels = palloc(PREDICT_BATCH * NN_PIXELS);
	ImageSource *sources = palloc(PREDICT_BATCH * sizeof(ImageSource));
	Prediction *predictions = palloc0(PREDICT_BATCH * sizeof(Prediction));
	Datum images[PREDICT_BATCH];
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];
	bool is_null[PREDICT_BATCH];
	Datum element;
	int count = 0;
	int n = 0;
	ErrorContextCallback callback = {error_context_stack, batch_error_context, place};

	error_context_stack = &callback;
	while (count < PREDICT_BATCH && array_iterate(elements, &element, &is_null[count]))
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_null[count])
		{
			images[n] = PointerGetDatum(image_input_source(element, pixels + (Size) n * NN_PIXELS, &sources[n]));
			n++;
		}
		count++;
		++*place;
	}
	error_context_stack = callback.previous;

	if (n > 0)
		predict(models, images, pixels, sources, n, predictions);

	n = 0;
	for (int i = 0; i < count; i++)
	{
		if (is_null[i])
			memset(nulls, true, sizeof(nulls));
		else
			fill_row(&predictions[n++], values, nulls);
		tuplestore_putvalues(result, desc, values, nulls);
	}
	return count == PREDICT_BATCH;
}

/* mnist_predict_batch(images): a row for each element, in order, as from mnist_predict. */
Datum
mnist_predict_batch(PG_FUNCTION_ARGS)
{
	ArrayType *images = PG_GETARG_ARRAYTYPE_P(0);
	TupleDesc desc;
	Tuplestorestate *result = begin_rows(fcinfo, NCOLUMNS, &desc);
	MemoryContext context;
	MemoryContext old;
	ServingModels models;
	ArrayIterator elements = array_create_iterator(images, 0, NULL);
	int place = 0;

	check_may_store();
	models = serving_models(predict_call(fcinfo));
	context = AllocSetContextCreate(CurrentMemoryContext, "mnist_predict_batch", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	while (predict_some(&models, elements, &place, result, desc))
		MemoryContextReset(context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
