/*
 * predict.c: SQL functions that predict digits.
 *
 * pg/image_input.c decodes an image, and the live model's network (network.c) predicts it: one at a time, in batches,
 * or in parallel workers.
 *
 * Only mnist_predict and mnist_predict_batch take part in a challenge (model/challenge.c).  The id under which a
 * prediction is stored decides which model predicts, and the result names the model.  The other functions store
 * nothing and are STABLE: within a statement they return the same for the same image.  So the live model alone makes
 * all predictions that are not stored, also those with mnist_hil.log_predictions off.
 *
 * store.c stores the predictions.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "image/preprocess.h"
#include "model/cache.h"
#include "pg/image_input.h"
#include "pg/rows.h"
#include "pg/settings.h"
#include "serve/network.h"
#include "serve/store.h"

#define NCOLUMNS 5 /* of the row of mnist_predict */

/* What a call site of one of these functions in a statement keeps from call to call. */
typedef struct PredictCall
{
	ModelUse *use;
	TupleDesc desc; /* of the result, if that is a row */
} PredictCall;

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

/* Predict the images i of n with chosen[i] == which; the other predictions stay unchanged. */
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
 * Predict n images, each with the model that its id selects.  In a shadow challenge, shadows[i] gets the challenger's
 * prediction of image i.  Where the challenger makes no shadow prediction, shadows[i].version is 0.
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

/* ---- storing ---- */

/* Throw before any work is done if predictions cannot be stored. */
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

/* Predict up to PREDICT_BATCH images, and store the predictions if mnist_hil.log_predictions is on. */
static void
predict(const ServingModels *models, Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
		Prediction *predictions)
{
	Prediction *shadows = NULL;

	if (mnist_hil_log_predictions)
		store_draw_ids(predictions, n);
	if (models->challenger == NULL)
		predict_pixels(models->live, models->version, pixels, n, predictions);
	else
	{
		shadows = palloc(n * sizeof(Prediction));
		predict_challenged(models, pixels, n, predictions, shadows);
	}
	if (mnist_hil_log_predictions)
		store_predictions(images, pixels, sources, n, predictions, shadows, &models->challenge);
	if (shadows != NULL)
		pfree(shadows);
}

/* ---- SQL functions ---- */

static void
fill_row(const Prediction *prediction, Datum *values, bool *nulls)
{
	memset(nulls, false, NCOLUMNS * sizeof(bool));
	nulls[0] = prediction->id == 0;
	values[0] = Int64GetDatum(prediction->id);
	values[1] = Int16GetDatum(prediction->label);
	values[2] = Float4GetDatum(prediction->probabilities[prediction->label]);
	values[3] = make_reals(prediction->probabilities, NN_CLASSES);
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
	PG_RETURN_DATUM(make_reals(prediction.probabilities, NN_CLASSES));
}

/* ---- batches ---- */

/* The context of errors: the element of the batch. */
static void
batch_error_context(void *argument)
{
	errcontext("image %d of the batch", *(int *) argument + 1);
}

/*
 * Predict, store and return the next elements of an array, up to PREDICT_BATCH.  *place counts the elements done.  A
 * null element gives a row of nulls.  False if no element is left.
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
