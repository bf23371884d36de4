/*
 * reading.c: what SQL calls to read digits.
 *
 * An image goes through image_input.c, the live model's network and read_pixels below, whoever asks: one at a
 * time, in batches, from a parallel worker.
 *
 * mnist_predict and mnist_predict_batch alone take part in a challenge (challenge.c): who reads follows from the id
 * that the reading is stored under, and their result says which model it was.  The other functions store nothing;
 * they are STABLE, and give the same for the same image within a statement.  So what is not stored, by
 * mnist_hil.log_predictions too, is read by the live model.
 *
 * mnist_predict and mnist_predict_batch store what they read.  Callers need no right on the table: the insert runs
 * as the extension's owner, by a switch of the user around it as referential integrity triggers do it, not by
 * SECURITY DEFINER: that would put the whole function under the owner's rights and set search_path on every call,
 * at a cost of several microseconds, whereas here only one statement runs that is planned once and names everything
 * with its schema.  Every abort, of a savepoint too, restores the user.
 *
 * What a backend keeps beyond a statement is the scratch memory of the network and the plans of inserts.
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

#define BATCH_SCRATCH (512 * 1024) /* bytes of scratch memory that more than one image may not exceed */

#define NCOLUMNS 5 /* of the row of mnist_predict */

/* What a place in a statement that calls one of these functions keeps from call to call. */
typedef struct ReadingCall
{
	ModelUse *use;
	TupleDesc desc; /* of the result, where that is a row */
} ReadingCall;

typedef struct Reading
{
	int64 id; /* 0: not stored */
	int version;
	int16 label;
	float probabilities[NN_CLASSES];
	float hidden[NN_HIDDEN];
} Reading;

/* The models that read for a statement. */
typedef struct Readers
{
	const NnPlan *live;
	const NnPlan *challenger; /* NULL: there is no challenge */
	int version;			  /* of the live model */
	Challenge challenge;
} Readers;

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

/* How many images to put through the network at once, between two looks for interrupts. */
static int
batch_size(const NnPlan *plan)
{
	int n = nn_step(plan, READING_BATCH);

	while (n > 1 && nn_scratch_size(plan, n) > BATCH_SCRATCH)
		n /= 2;
	return n;
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
	int step = n == 1 ? 1 : batch_size(plan);

	for (int start = 0; start < n; start += step)
	{
		int count = Min(step, n - start);

		CHECK_FOR_INTERRUPTS();
		nn_forward_hidden(plan, pixels + (Size) start * NN_PIXELS, count, probabilities + start * NN_CLASSES,
						  hidden + start * NN_HIDDEN, scratch(plan, count));
	}
	for (int i = 0; i < n; i++)
	{
		if (!is_blank(pixels + (Size) i * NN_PIXELS))
			continue;
		for (int digit = 0; digit < NN_CLASSES; digit++)
			probabilities[i * NN_CLASSES + digit] = 1.0f / NN_CLASSES;
	}
}

/* Read n images and set all but the ids. */
static void
read_pixels(const NnPlan *plan, int version, const uint8 *pixels, int n, Reading *readings)
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
		reading->version = version;
	}
}

/* Read those of n images for which "chosen" says "which"; the other readings stay as they are. */
static void
read_chosen(const NnPlan *plan, int version, const uint8 *pixels, int n, const bool *chosen, bool which,
			Reading *readings)
{
	uint8 *some_pixels = palloc((Size) n * NN_PIXELS);
	Reading *some = palloc(n * sizeof(Reading));
	int nsome = 0;

	for (int i = 0; i < n; i++)
	{
		if (chosen[i] == which)
			memcpy(some_pixels + (Size) nsome++ * NN_PIXELS, pixels + (Size) i * NN_PIXELS, NN_PIXELS);
	}
	if (nsome > 0)
		read_pixels(plan, version, some_pixels, nsome, some);
	nsome = 0;
	for (int i = 0; i < n; i++)
	{
		if (chosen[i] == which)
		{
			some[nsome].id = readings[i].id;
			readings[i] = some[nsome++];
		}
	}
	pfree(some);
	pfree(some_pixels);
}

/*
 * Read n images that have their ids, by whom these say.  Of what the challenger read in the shadow, shadows[] gets
 * the reading of the same place; the version of the others is 0.
 */
static void
read_challenged(const Readers *readers, const uint8 *pixels, int n, Reading *readings, Reading *shadows)
{
	const Challenge *challenge = &readers->challenge;
	bool chosen[READING_BATCH];

	for (int i = 0; i < n; i++)
	{
		chosen[i] = challenge_takes_part(challenge, readings[i].id);
		shadows[i].version = 0;
	}
	if (challenge->shadow)
		read_pixels(readers->live, readers->version, pixels, n, readings);
	else
		read_chosen(readers->live, readers->version, pixels, n, chosen, false, readings);
	read_chosen(readers->challenger, challenge->version, pixels, n, chosen, true,
				challenge->shadow ? shadows : readings);
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

/* A real[] of n values. */
static Datum
reals_datum(const float *values, int n)
{
	Datum *elements = palloc(n * sizeof(Datum));
	Datum array;

	for (int i = 0; i < n; i++)
		elements[i] = Float4GetDatum(values[i]);
	array = float4_array(elements, n);
	pfree(elements);
	return array;
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
	Oid types[13];
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
 * Run an INSERT as the extension's owner; "expected" is what SPI is to return.  Connects to SPI, and leaves it
 * connected for the result.
 */
static void
insert_as_owner(Statement *statement, Datum *values, const char *nulls, int expected)
{
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(schema_owner(), security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	if (SPI_execute_plan(planned(statement), values, nulls, false, 0) != expected)
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

/*
 * Draw the ids of n readings.  They are drawn here, not by the column's default, because who reads follows from them,
 * and to know which row got which, should a trigger on the table leave rows out.
 */
static void
draw_ids(Reading *readings, int n)
{
	Oid sequence = schema_relation("mnist_prediction_id_seq");

	for (int i = 0; i < n; i++)
		readings[i].id = nextval_internal(sequence, false);
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

/* Store a reading under its id, which is set to 0 if a trigger on the table leaves the row out. */
static void
store_one(Datum image, const Measures *measures, Reading *reading, int64 challenge)
{
	static Statement statement = {
		"INSERT INTO %s.mnist_prediction"
		" (id, image, label, confidence, probabilities, model_version, challenge_id, features, pixels_hash)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		9,
		{INT8OID, BYTEAOID, INT2OID, FLOAT4OID, FLOAT4ARRAYOID, INT4OID, INT8OID, FLOAT4ARRAYOID, INT8OID},
		NULL,
		""};
	Datum values[9];

	values[0] = Int64GetDatum(reading->id);
	values[1] = image;
	values[2] = Int16GetDatum(reading->label);
	values[3] = Float4GetDatum(reading->probabilities[reading->label]);
	values[4] = probabilities_datum(reading);
	values[5] = Int32GetDatum(reading->version);
	values[6] = Int64GetDatum(challenge);
	values[7] = reals_datum(measures->features, READING_FEATURES);
	values[8] = Int64GetDatum(measures->hash);
	insert_as_owner(&statement, values, challenge ? NULL : "      n  ", SPI_OK_INSERT);
	if (SPI_processed == 0)
		reading->id = 0;
	SPI_finish();
	pfree(DatumGetPointer(values[4]));
	pfree(DatumGetPointer(values[7]));
}

/* Store n readings by one statement under their ids; those of rows that a trigger leaves out are set to 0. */
static void
store_many(Datum *images, const Measures *measures, Reading *readings, int n, int64 challenge)
{
	/*
	 * Probabilities and features come as one array each, of which a row takes its slice.  The bounds come along, as
	 * an operator or a function here would be looked for in the caller's search_path.
	 */
	static Statement statement = {
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
	Datum ids[READING_BATCH];
	Datum labels[READING_BATCH];
	Datum confidences[READING_BATCH];
	Datum versions[READING_BATCH];
	Datum hashes[READING_BATCH];
	Datum bounds[4][READING_BATCH];
	float *probabilities = palloc(n * NN_CLASSES * sizeof(float));
	float *features = palloc(n * READING_FEATURES * sizeof(float));
	Datum values[13];
	uint64 row = 0;

	for (int i = 0; i < n; i++)
	{
		const Reading *reading = &readings[i];

		ids[i] = Int64GetDatum(reading->id);
		labels[i] = Int16GetDatum(reading->label);
		confidences[i] = Float4GetDatum(reading->probabilities[reading->label]);
		versions[i] = Int32GetDatum(reading->version);
		hashes[i] = Int64GetDatum(measures[i].hash);
		memcpy(probabilities + i * NN_CLASSES, reading->probabilities, sizeof(reading->probabilities));
		memcpy(features + i * READING_FEATURES, measures[i].features, sizeof(measures[i].features));
		bounds[0][i] = Int32GetDatum(i * NN_CLASSES + 1);
		bounds[1][i] = Int32GetDatum((i + 1) * NN_CLASSES);
		bounds[2][i] = Int32GetDatum(i * READING_FEATURES + 1);
		bounds[3][i] = Int32GetDatum((i + 1) * READING_FEATURES);
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
	values[11] = reals_datum(probabilities, n * NN_CLASSES);
	values[12] = reals_datum(features, n * READING_FEATURES);
	insert_as_owner(&statement, values, challenge ? NULL : "          n  ", SPI_OK_INSERT_RETURNING);
	for (int i = 0; i < n; i++)
	{
		if (row < SPI_processed && returned_id(row) == readings[i].id)
			row++;
		else
			readings[i].id = 0;
	}
	SPI_finish();
}

/* Store what the challenger read of n readings, where it did and the reading is stored. */
static void
store_shadows(const Reading *readings, const Reading *shadows, int n, const Challenge *challenge)
{
	static Statement statement = {
		"INSERT INTO %s.mnist_shadow (prediction_id, challenge_id, model_version, label, confidence)"
		" SELECT r.id, $4, $5, r.label, r.confidence FROM unnest($1, $2, $3) AS r (id, label, confidence)",
		5,
		{INT8ARRAYOID, INT2ARRAYOID, FLOAT4ARRAYOID, INT8OID, INT4OID},
		NULL,
		""};
	Datum ids[READING_BATCH];
	Datum labels[READING_BATCH];
	Datum confidences[READING_BATCH];
	Datum values[5];
	int nstored = 0;

	for (int i = 0; i < n; i++)
	{
		const Reading *shadow = &shadows[i];

		if (readings[i].id == 0 || shadow->version == 0)
			continue;
		ids[nstored] = Int64GetDatum(readings[i].id);
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
	insert_as_owner(&statement, values, NULL, SPI_OK_INSERT);
	SPI_finish();
}

/* Measure n readings and store them, and what the challenger read along with them unless shadows is NULL. */
static void
store(const Readers *readers, Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
	  Reading *readings, const Reading *shadows)
{
	Measures *measures = palloc(n * sizeof(Measures));

	for (int i = 0; i < n; i++)
		measure(pixels + (Size) i * NN_PIXELS, &sources[i], &readings[i], &measures[i]);
	if (n == 1)
		store_one(images[0], measures, readings, readers->challenge.id);
	else
		store_many(images, measures, readings, n, readers->challenge.id);
	if (shadows != NULL)
		store_shadows(readings, shadows, n, &readers->challenge);
	pfree(measures);
}

/* Read up to READING_BATCH images and store them with what was read, where readings are stored. */
static void
predict(const Readers *readers, Datum *images, const uint8 *pixels, const ImageSource *sources, int n,
		Reading *readings)
{
	Reading *shadows = NULL;

	if (mnist_hil_log_predictions)
		draw_ids(readings, n);
	if (readers->challenger == NULL)
		read_pixels(readers->live, readers->version, pixels, n, readings);
	else
	{
		shadows = palloc(n * sizeof(Reading));
		read_challenged(readers, pixels, n, readings, shadows);
	}
	if (mnist_hil_log_predictions)
		store(readers, images, pixels, sources, n, readings, shadows);
	if (shadows != NULL)
		pfree(shadows);
}

/* ---- what SQL calls ---- */

static void
fill_row(const Reading *reading, Datum *values, bool *nulls)
{
	memset(nulls, false, NCOLUMNS * sizeof(bool));
	nulls[0] = reading->id == 0;
	values[0] = Int64GetDatum(reading->id);
	values[1] = Int16GetDatum(reading->label);
	values[2] = Float4GetDatum(reading->probabilities[reading->label]);
	values[3] = probabilities_datum(reading);
	values[4] = Int32GetDatum(reading->version);
}

/* The models that are to read for a call that stores. */
static Readers
readers_of(ReadingCall *call)
{
	Readers readers = {0};

	readers.live = model_use_plan(call->use, &readers.version);
	if (mnist_hil_log_predictions)
		readers.challenger = model_use_challenger(call->use, &readers.challenge);
	return readers;
}

/* mnist_predict(image): read a digit and store the image and the reading. */
Datum
mnist_predict(PG_FUNCTION_ARGS)
{
	Datum image;
	ReadingCall *call = reading_call(fcinfo);
	TupleDesc desc = row_type(fcinfo, call);
	Readers readers;
	Reading reading = {0};
	uint8 pixels[NN_PIXELS];
	ImageSource source;
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];

	check_may_store();
	readers = readers_of(call);
	image = PointerGetDatum(image_input_source(PG_GETARG_DATUM(0), pixels, &source));
	predict(&readers, &image, pixels, &source, 1, &reading);
	fill_row(&reading, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Read the image that is the function's first argument, with the live model. */
static void
read_argument(Datum image, ReadingCall *call, Reading *reading)
{
	int version;
	const NnPlan *plan = model_use_plan(call->use, &version);
	uint8 pixels[NN_PIXELS];

	image_input_pixels(image, pixels);
	read_pixels(plan, version, pixels, 1, reading);
}

/* mnist_classify(image): the digit. */
Datum
mnist_classify(PG_FUNCTION_ARGS)
{
	Reading reading;

	read_argument(PG_GETARG_DATUM(0), reading_call(fcinfo), &reading);
	PG_RETURN_INT16(reading.label);
}

/* mnist_probabilities(image): the probability of each digit. */
Datum
mnist_probabilities(PG_FUNCTION_ARGS)
{
	Reading reading;

	read_argument(PG_GETARG_DATUM(0), reading_call(fcinfo), &reading);
	PG_RETURN_DATUM(probabilities_datum(&reading));
}

/* ---- batches ---- */

/* Where a batch stands, for the context of errors. */
static void
batch_error_context(void *argument)
{
	errcontext("image %d of the batch", *(int *) argument + 1);
}

/*
 * Read, store and return up to READING_BATCH elements of an array of which *place have been already; nulls give rows
 * of nulls.  False when there are no more.
 */
static bool
predict_some(const Readers *readers, ArrayIterator elements, int *place, Tuplestorestate *result, TupleDesc desc)
{
	uint8 *pixels = palloc(READING_BATCH * NN_PIXELS);
	ImageSource *sources = palloc(READING_BATCH * sizeof(ImageSource));
	Reading *readings = palloc0(READING_BATCH * sizeof(Reading));
	Datum images[READING_BATCH];
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS];
	bool is_null[READING_BATCH];
	Datum element;
	int count = 0;
	int n = 0;
	ErrorContextCallback callback = {error_context_stack, batch_error_context, place};

	error_context_stack = &callback;
	while (count < READING_BATCH && array_iterate(elements, &element, &is_null[count]))
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
		predict(readers, images, pixels, sources, n, readings);

	n = 0;
	for (int i = 0; i < count; i++)
	{
		if (is_null[i])
			memset(nulls, true, sizeof(nulls));
		else
			fill_row(&readings[n++], values, nulls);
		tuplestore_putvalues(result, desc, values, nulls);
	}
	return count == READING_BATCH;
}

Tuplestorestate *
begin_rows(FunctionCallInfo fcinfo, int ncolumns, TupleDesc *desc)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (info->setDesc->natts != ncolumns)
		elog(ERROR, "return type must be a row of %d columns", ncolumns);
	*desc = info->setDesc;
	return info->setResult;
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
	Readers readers;
	ArrayIterator elements = array_create_iterator(images, 0, NULL);
	int place = 0;

	check_may_store();
	readers = readers_of(reading_call(fcinfo));
	context = AllocSetContextCreate(CurrentMemoryContext, "mnist_predict_batch", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	while (predict_some(&readers, elements, &place, result, desc))
		MemoryContextReset(context);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
