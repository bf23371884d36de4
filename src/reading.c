/*
 * reading.c: what SQL calls to read digits.
 *
 * An image goes through image_input_pixels, the live model's network and read_pixels below, whoever asks: one at a
 * time, in batches, from a parallel worker.
 *
 * mnist_predict and mnist_predict_batch store what they read.  Callers need no right on the table: the insert runs
 * as the extension's owner, by a switch of the user around it as referential integrity triggers do it, not by
 * SECURITY DEFINER: that would put the whole function under the owner's rights and set search_path on every call,
 * at a cost of several microseconds, whereas here only one statement runs that is planned once and names everything
 * with its schema.  Every abort, of a savepoint too, restores the user.
 *
 * What a backend keeps beyond a statement is the scratch memory of the network and two plans of inserts.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "mnist_hil.h"

#define BATCH_SCRATCH (512 * 1024) /* bytes of scratch memory that a larger batch may not exceed */

#define NCOLUMNS 5 /* of the row of mnist_predict */

/* What a place in a statement that calls one of these functions keeps from call to call. */
typedef struct ReadingCall
{
	ModelUse *use;
	TupleDesc desc; /* of the result, where that is a row */
} ReadingCall;

typedef struct Reading
{
	int16 label;
	float probabilities[NN_CLASSES];
	float hidden[NN_HIDDEN];
	int64 id; /* 0: not stored */
} Reading;

PG_FUNCTION_INFO_V1(mnist_predict);
PG_FUNCTION_INFO_V1(mnist_predict_batch);
PG_FUNCTION_INFO_V1(mnist_classify);
PG_FUNCTION_INFO_V1(mnist_probabilities);

/* ---- through the network ---- */

static ReadingCall *
reading_call(FunctionCallInfo fcinfo)
{
	FmgrInfo *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
	{
		ReadingCall *call = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(ReadingCall));

		call->use = model_use_create(flinfo->fn_mcxt);
		flinfo->fn_extra = call;
	}
	return flinfo->fn_extra;
}

/* The row type of the result. */
static TupleDesc
row_type(FunctionCallInfo fcinfo, ReadingCall *call)
{
	if (call->desc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc desc;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != NCOLUMNS)
			elog(ERROR, "return type must be a row of %d columns", NCOLUMNS);
		call->desc = BlessTupleDesc(desc);
		MemoryContextSwitchTo(old);
	}
	return call->desc;
}

/* Scratch memory for n images, kept from call to call. */
static void *
scratch(const NnPlan *plan, int n)
{
	static MemoryContext context;
	static void *memory;
	static Size available;
	Size needed = nn_scratch_size(plan, n);

	if (needed > available)
	{
		if (context == NULL)
			context = AllocSetContextCreate(TopMemoryContext, "mnist_hil scratch", ALLOCSET_SMALL_SIZES);
		available = 0;
		MemoryContextReset(context);
		memory = nn_alloc(context, needed);
		available = needed;
	}
	return memory;
}

static bool
is_blank(const uint8 *pixels)
{
	return pixels[0] == 0 && memcmp(pixels, pixels + 1, NN_PIXELS - 1) == 0;
}

int
reading_label(const float probabilities[NN_CLASSES])
{
	int label = 0;

	for (int digit = 1; digit < NN_CLASSES; digit++)
	{
		if (probabilities[digit] > probabilities[label])
			label = digit;
	}
	return label;
}

/* A blank image says nothing about which digit it is: by rule each is as likely as any other. */
void
reading_forward(const NnPlan *plan, const uint8 *pixels, int n, float *probabilities, float *hidden)
{
	nn_forward_hidden(plan, pixels, n, probabilities, hidden, scratch(plan, n));
	for (int i = 0; i < n; i++)
	{
		if (!is_blank(pixels + (Size) i * NN_PIXELS))
			continue;
		for (int digit = 0; digit < NN_CLASSES; digit++)
			probabilities[i * NN_CLASSES + digit] = 1.0f / NN_CLASSES;
	}
}

/* Read n images. */
static void
read_pixels(const NnPlan *plan, const uint8 *pixels, int n, Reading *readings)
{
	float probabilities[READING_BATCH * NN_CLASSES];
	float hidden[READING_BATCH * NN_HIDDEN];

	reading_forward(plan, pixels, n, probabilities, hidden);
	for (int i = 0; i < n; i++)
	{
		Reading *reading = &readings[i];

		memcpy(reading->probabilities, &probabilities[i * NN_CLASSES], sizeof(reading->probabilities));
		memcpy(reading->hidden, &hidden[i * NN_HIDDEN], sizeof(reading->hidden));
		reading->label = (int16) reading_label(reading->probabilities);
		reading->id = 0;
	}
}

static Datum
reals_datum(const float *values, int n)
{
	Datum *elements = palloc(n * sizeof(Datum));
	ArrayType *array;

	for (int i = 0; i < n; i++)
		elements[i] = Float4GetDatum(values[i]);
	array = construct_array(elements, n, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
	pfree(elements);
	return PointerGetDatum(array);
}

static Datum
probabilities_datum(const Reading *reading)
{
	return reals_datum(reading->probabilities, NN_CLASSES);
}

/* ---- storing ---- */

/* Refuse before any work is done where storing is impossible. */
static void
check_may_store(void)
{
	if (!mnist_hil_log_predictions || !XactReadOnly)
		return;
	ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
					RecoveryInProgress() ? errmsg("cannot store a reading during recovery")
										 : errmsg("cannot store a reading in a read-only transaction"),
					errhint("Use mnist_classify or mnist_probabilities, which store nothing.")));
}

/* A statement of ours, planned once. */
typedef struct Statement
{
	const char *text; /* %s: the extension's schema */
	int nargs;
	Oid types[9];
	SPIPlanPtr plan;
	char schema[2 * NAMEDATALEN + 3]; /* that the plan was made with */
} Statement;

/*
 * The plan of a statement, connected to SPI and acting as the extension's owner.  The plan cache looks after
 * changes of the table; another schema, after the extension was dropped and created again, makes another plan.
 */
static SPIPlanPtr
planned(Statement *statement)
{
	const char *schema = schema_name();
	SPIPlanPtr plan;
	char *sql;

	if (statement->plan != NULL && strcmp(statement->schema, schema) == 0)
		return statement->plan;
	if (statement->plan != NULL)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	strlcpy(statement->schema, schema, sizeof(statement->schema));
	sql = psprintf(statement->text, statement->schema);
	plan = SPI_prepare_cursor(sql, statement->nargs, statement->types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	statement->plan = plan;
	return plan;
}

/*
 * Run an INSERT ... RETURNING id as the extension's owner; connects to SPI, and leaves it connected for the result.
 */
static void
insert_as_owner(Statement *statement, Datum *values)
{
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(schema_owner(), security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute_plan(planned(statement), values, NULL, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not store readings: %s", SPI_result_code_string(SPI_result));
	SetUserIdAndSecContext(user, security);
}

/* The id in a row of an insert's result. */
static int64
returned_id(uint64 row)
{
	bool isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull));
}

/* What is measured of an image and its reading to be stored. */
typedef struct Measures
{
	float features[READING_FEATURES];
	int64 hash; /* of the pixels */
} Measures;

static void
measure(const uint8 *pixels, const ImageSource *source, const Reading *reading, Measures *measures)
{
	features_measure(pixels, source, reading->label, reading->probabilities, reading->hidden, measures->features);
	measures->hash = (int64) image_hash(pixels);
}

/* Store a reading and set its id, which stays 0 if a trigger on the table leaves the row out. */
static void
store_one(Datum image, const Measures *measures, Reading *reading, int version)
{
	static Statement statement = {"INSERT INTO %s.mnist_prediction"
								  " (image, label, confidence, probabilities, model_version, features, pixels_hash)"
								  " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
								  7,
								  {BYTEAOID, INT2OID, FLOAT4OID, FLOAT4ARRAYOID, INT4OID, FLOAT4ARRAYOID, INT8OID},
								  NULL,
								  ""};
	Datum values[7];

	values[0] = image;
	values[1] = Int16GetDatum(reading->label);
	values[2] = Float4GetDatum(reading->probabilities[reading->label]);
	values[3] = probabilities_datum(reading);
	values[4] = Int32GetDatum(version);
	values[5] = reals_datum(measures->features, READING_FEATURES);
	values[6] = Int64GetDatum(measures->hash);
	insert_as_owner(&statement, values);
	if (SPI_processed > 0)
		reading->id = returned_id(0);
	SPI_finish();
	pfree(DatumGetPointer(values[3]));
	pfree(DatumGetPointer(values[5]));
}

/*
 * Store n readings by one statement and set their ids.  The ids are drawn here, not by the column's default, to
 * know which row got which, should a trigger on the table leave rows out.
 */
static void
store_many(Datum *images, const Measures *measures, Reading *readings, int n, int version)
{
	/* probabilities and features come as one array each, of which a row takes its slice */
	static Statement statement = {
		"INSERT INTO %s.mnist_prediction"
		" (id, image, label, confidence, probabilities, model_version, features, pixels_hash)"
		" SELECT r.id, r.image, r.label, r.confidence,"
		" ($5)[(r.place - 1) * cardinality($5) / cardinality($1) + 1 : r.place * cardinality($5) / cardinality($1)], "
		"$8,"
		" ($6)[(r.place - 1) * cardinality($6) / cardinality($1) + 1 : r.place * cardinality($6) / cardinality($1)],"
		" r.hash"
		" FROM unnest($1, $2, $3, $4, $7) WITH ORDINALITY AS r (id, image, label, confidence, hash, place)"
		" RETURNING id",
		8,
		{INT8ARRAYOID, BYTEAARRAYOID, INT2ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID, FLOAT4ARRAYOID, INT8ARRAYOID,
		 INT4OID},
		NULL,
		""};
	Oid sequence = schema_relation("mnist_prediction_id_seq");
	Datum ids[READING_BATCH];
	Datum labels[READING_BATCH];
	Datum hashes[READING_BATCH];
	float confidences[READING_BATCH];
	float *probabilities = palloc(n * NN_CLASSES * sizeof(float));
	float *features = palloc(n * READING_FEATURES * sizeof(float));
	Datum values[8];
	uint64 row = 0;

	for (int i = 0; i < n; i++)
	{
		const Reading *reading = &readings[i];

		ids[i] = Int64GetDatum(nextval_internal(sequence, false));
		labels[i] = Int16GetDatum(reading->label);
		confidences[i] = reading->probabilities[reading->label];
		memcpy(probabilities + i * NN_CLASSES, reading->probabilities, sizeof(reading->probabilities));
		memcpy(features + i * READING_FEATURES, measures[i].features, sizeof(measures[i].features));
		hashes[i] = Int64GetDatum(measures[i].hash);
	}
	values[0] = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(images, n, BYTEAOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(labels, n, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
	values[3] = reals_datum(confidences, n);
	values[4] = reals_datum(probabilities, n * NN_CLASSES);
	values[5] = reals_datum(features, n * READING_FEATURES);
	values[6] = PointerGetDatum(construct_array(hashes, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[7] = Int32GetDatum(version);
	insert_as_owner(&statement, values);
	for (int i = 0; i < n && row < SPI_processed; i++)
	{
		if (returned_id(row) == DatumGetInt64(ids[i]))
		{
			readings[i].id = DatumGetInt64(ids[i]);
			row++;
		}
	}
	SPI_finish();
}

/* ---- what SQL calls ---- */

static void
fill_row(const Reading *reading, int version, Datum *values, bool *nulls)
{
	memset(nulls, false, NCOLUMNS * sizeof(bool));
	nulls[0] = reading->id == 0;
	values[0] = Int64GetDatum(reading->id);
	values[1] = Int16GetDatum(reading->label);
	values[2] = Float4GetDatum(reading->probabilities[reading->label]);
	values[3] = probabilities_datum(reading);
	values[4] = Int32GetDatum(version);
}

/* Read the image that is the function's first argument; measures, unless NULL, is what to store of it. */
static void
read_argument(bytea *image, ReadingCall *call, Reading *reading, int *version, Measures *measures)
{
	const NnPlan *plan = model_use_plan(call->use, version);
	uint8 pixels[NN_PIXELS];
	ImageSource source;

	CHECK_FOR_INTERRUPTS();
	image_input_source(image, pixels, &source);
	read_pixels(plan, pixels, 1, reading);
	if (measures)
		measure(pixels, &source, reading, measures);
}

/* mnist_predict(image): read a digit and store the image and the reading. */
Datum
mnist_predict(PG_FUNCTION_ARGS)
{
	bytea *image = PG_GETARG_BYTEA_PP(0);
	ReadingCall *call = reading_call(fcinfo);
	TupleDesc desc = row_type(fcinfo, call);
	Reading reading;
	Measures measures;
	int version;
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];

	check_may_store();
	read_argument(image, call, &reading, &version, mnist_hil_log_predictions ? &measures : NULL);
	if (mnist_hil_log_predictions)
		store_one(PointerGetDatum(image), &measures, &reading, version);
	fill_row(&reading, version, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* mnist_classify(image): the digit. */
Datum
mnist_classify(PG_FUNCTION_ARGS)
{
	bytea *image = PG_GETARG_BYTEA_PP(0);
	Reading reading;
	int version;

	read_argument(image, reading_call(fcinfo), &reading, &version, NULL);
	PG_FREE_IF_COPY(image, 0);
	PG_RETURN_INT16(reading.label);
}

/* mnist_probabilities(image): the probability of each digit. */
Datum
mnist_probabilities(PG_FUNCTION_ARGS)
{
	bytea *image = PG_GETARG_BYTEA_PP(0);
	Reading reading;
	int version;

	read_argument(image, reading_call(fcinfo), &reading, &version, NULL);
	PG_FREE_IF_COPY(image, 0);
	PG_RETURN_DATUM(probabilities_datum(&reading));
}

/* ---- batches ---- */

/* Where a batch stands, for the context of errors. */
static void
batch_error_context(void *argument)
{
	errcontext("image %d of the batch", *(int *) argument + 1);
}

/* How many images to put through the network at once. */
static int
batch_size(const NnPlan *plan)
{
	int n = READING_BATCH;

	while (n > 1 && nn_scratch_size(plan, n) > BATCH_SCRATCH)
		n /= 2;
	return n;
}

/* Read, store and return count elements of an array from its start-th on; nulls give rows of nulls. */
static void
predict_some(const NnPlan *plan, int version, Datum *elements, bool *elements_null, int start, int count,
			 Tuplestorestate *result, TupleDesc desc)
{
	uint8 *pixels = palloc(READING_BATCH * NN_PIXELS);
	ImageSource *sources = palloc(READING_BATCH * sizeof(ImageSource));
	Reading *readings = palloc(READING_BATCH * sizeof(Reading));
	Datum images[READING_BATCH];
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];
	int n = 0;
	int current;
	ErrorContextCallback callback = {error_context_stack, batch_error_context, &current};

	error_context_stack = &callback;
	for (current = start; current < start + count; current++)
	{
		if (elements_null[current])
			continue;
		CHECK_FOR_INTERRUPTS();
		image_input_source(DatumGetByteaPP(elements[current]), pixels + (Size) n * NN_PIXELS, &sources[n]);
		images[n++] = elements[current];
	}
	error_context_stack = callback.previous;

	read_pixels(plan, pixels, n, readings);
	if (mnist_hil_log_predictions && n > 0)
	{
		Measures *measures = palloc(n * sizeof(Measures));

		for (int i = 0; i < n; i++)
			measure(pixels + (Size) i * NN_PIXELS, &sources[i], &readings[i], &measures[i]);
		store_many(images, measures, readings, n, version);
	}

	n = 0;
	for (int i = start; i < start + count; i++)
	{
		if (elements_null[i])
			memset(nulls, true, sizeof(nulls));
		else
			fill_row(&readings[n++], version, values, nulls);
		tuplestore_putvalues(result, desc, values, nulls);
	}
}

/* Make the function return a tuplestore; *desc is its row type. */
static Tuplestorestate *
begin_rows(FunctionCallInfo fcinfo, TupleDesc *desc)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (info == NULL || !IsA(info, ReturnSetInfo) || !(info->allowedModes & SFRM_Materialize))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, desc) != TYPEFUNC_COMPOSITE || (*desc)->natts != NCOLUMNS)
		elog(ERROR, "return type must be a row of %d columns", NCOLUMNS);
	info->returnMode = SFRM_Materialize;
	info->setDesc = *desc;
	info->setResult = tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	MemoryContextSwitchTo(old);
	return info->setResult;
}

/* mnist_predict_batch(images): a row for each element, in order, as from mnist_predict. */
Datum
mnist_predict_batch(PG_FUNCTION_ARGS)
{
	ArrayType *images = PG_GETARG_ARRAYTYPE_P(0);
	TupleDesc desc;
	Tuplestorestate *result = begin_rows(fcinfo, &desc);
	MemoryContext context;
	MemoryContext old;
	int version;
	const NnPlan *plan = model_use_plan(reading_call(fcinfo)->use, &version);
	int step = batch_size(plan);
	Datum *elements;
	bool *nulls;
	int n;

	check_may_store();
	deconstruct_array(images, BYTEAOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	context = AllocSetContextCreate(CurrentMemoryContext, "mnist_predict_batch", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int start = 0; start < n; start += step)
	{
		predict_some(plan, version, elements, nulls, start, Min(step, n - start), result, desc);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
