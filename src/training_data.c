/*
 * training_data.c: each process's share of the samples.
 *
 * Every process of a run reads all rows, in one order and under one snapshot, and keeps every n-th image of
 * each set: no sample passes through shared memory, and which process has which image depends on the data and
 * the number of processes alone.
 *
 * No image stands on two sides.  Rows go by the SHA-256 of their pixels, and what is read first wins: feedback
 * (its label wins over the base data's), then the base test, validation and training images.  In detail:
 *	- one drawing with several readings counts once, with the newest reading's label;
 *	- a base image that is also feedback is not trained on;
 *	- a base image to judge by that is also feedback to train on judges nothing;
 *	- a base image that occurs several times counts once, on the side that judges if it is on both.
 *
 * 16 bytes of the hash are enough to tell drawings apart (a collision among a billion has a chance of 1 in
 * 10^21).
 */
#include "training.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#define FETCH_ROWS 500
#define DIGEST_BYTES 16

/* Where an image was seen before. */
#define SEEN_FEEDBACK 1 /* to train on */
#define SEEN_HELD_OUT 2
#define SEEN_BASE 4

typedef struct Seen
{
	uint8 digest[DIGEST_BYTES];
	uint8 where;
} Seen;

typedef struct Loader
{
	const TrainingOptions *options;
	int rank;
	int nprocesses;
	TrainingData *data;
	HTAB *seen;
	int64 capacity[TRAINING_NSETS];
	int64 position[TRAINING_NSETS]; /* images of a set so far, over all processes */
	int64 unreadable;
} Loader;

/* The base data's splits in the order they are read. */
static const struct
{
	const char *split;
	TrainingSetKind set;
} base_splits[] = {
	{"test", TRAINING_SET_TEST},
	{"validation", TRAINING_SET_VALIDATION},
	{"train", TRAINING_SET_TRAIN},
};

/* How many rows there are for each set, duplicates included. */
static void
count_rows(const TrainingOptions *options, int64 rows[TRAINING_NSETS])
{
	char *sql = psprintf("SELECT b.train, f.train, b.validation, f.held_out, b.test"
						 " FROM (SELECT count(*) FILTER (WHERE split = 'train') AS train,"
						 "              count(*) FILTER (WHERE split = 'validation') AS validation,"
						 "              count(*) FILTER (WHERE split = 'test') AS test"
						 "       FROM %s.mnist_sample WHERE $1 IS NULL OR dataset_id = ANY ($1)) b,"
						 "      (SELECT count(*) FILTER (WHERE NOT held_out) AS train,"
						 "              count(*) FILTER (WHERE held_out) AS held_out"
						 "       FROM %s.mnist_label WHERE label IS NOT NULL) f",
						 schema_name(), schema_name());
	Oid types[] = {INT4ARRAYOID};
	Datum values[1];
	char nulls[] = {' '};
	bool isnull;

	values[0] = training_options_datasets(options, &isnull);
	if (isnull)
		nulls[0] = 'n';
	SPI_execute_with_args(sql, 1, types, values, nulls, true, 1);
	for (int i = 0; i < TRAINING_NSETS; i++)
		rows[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull));
}

/*
 * Make room for this process's shares.  Counting first gives an upper bound, for duplicates are not yet known,
 * which is checked against the setting before anything is allocated.
 */
static void
allocate(Loader *loader, Size other_bytes, MemoryContext context)
{
	const TrainingOptions *options = loader->options;
	int64 rows[TRAINING_NSETS];
	int64 all_rows = 0;
	Size bytes = other_bytes;
	HASHCTL ctl = {0};

	count_rows(options, rows);
	for (int i = 0; i < TRAINING_NSETS; i++)
	{
		all_rows += rows[i];
		bytes = add_size(bytes, mul_size(NN_PIXELS + 1, rows[i]));
	}
	bytes = add_size(bytes, mul_size(hash_estimate_size(all_rows, sizeof(Seen)), loader->nprocesses));
	if (bytes / 1024 > (Size) options->memory_kb)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("the retraining run would need more memory than mnist_hil.training_memory allows"),
						errdetail("It would need about %zu MB for %lld images in %d processes; %d MB are allowed.",
								  bytes / (1024 * 1024) + 1, (long long) all_rows, loader->nprocesses,
								  options->memory_kb / 1024),
						errhint("Increase mnist_hil.training_memory, name fewer data sets, or decrease"
								" mnist_hil.training_workers.")));

	for (int i = 0; i < TRAINING_NSETS; i++)
	{
		TrainingSet *set = &loader->data->sets[i];

		loader->capacity[i] = rows[i] / loader->nprocesses + 1;
		set->pixels = MemoryContextAllocHuge(context, mul_size(loader->capacity[i], NN_PIXELS));
		set->labels = MemoryContextAllocHuge(context, loader->capacity[i]);
	}
	ctl.keysize = DIGEST_BYTES;
	ctl.entrysize = sizeof(Seen);
	ctl.hcxt = CurrentMemoryContext;
	loader->seen = hash_create("samples seen", all_rows + 1, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Note that an image was seen in a role; returns the roles it was seen in before. */
static int
see(Loader *loader, const bytea *sha256, int where)
{
	bool found;
	Seen *seen = hash_search(loader->seen, VARDATA_ANY(sha256), HASH_ENTER, &found);
	int before = found ? seen->where : 0;

	seen->where = (uint8) (before | where);
	return before;
}

/* Count an image of a set; where it is this process's, the place for its pixels, else NULL. */
static uint8 *
next_place(Loader *loader, TrainingSetKind kind)
{
	TrainingSet *set = &loader->data->sets[kind];

	if (loader->position[kind]++ % loader->nprocesses != loader->rank)
		return NULL;
	if (set->n >= loader->capacity[kind])
		elog(ERROR, "more samples than were counted");
	return set->pixels + (Size) set->n * NN_PIXELS;
}

/* Call a function with each row of a query. */
static void
for_each_row(Loader *loader, const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
			 void (*function)(Loader *loader, HeapTuple row, TupleDesc desc, TrainingSetKind kind),
			 TrainingSetKind kind)
{
	Portal portal = SPI_cursor_open_with_args(NULL, sql, nargs, types, values, nulls, true, 0);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "samples", ALLOCSET_DEFAULT_SIZES);

	for (;;)
	{
		MemoryContext oldcontext;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		oldcontext = MemoryContextSwitchTo(row_context);
		for (uint64 i = 0; i < SPI_processed; i++)
			function(loader, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, kind);
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(row_context);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(row_context);
}

/* A row (label, pixels, sha256) of the base data. */
static void
take_base_row(Loader *loader, HeapTuple row, TupleDesc desc, TrainingSetKind kind)
{
	bool isnull;
	const bytea *sha256 = DatumGetByteaPP(SPI_getbinval(row, desc, 3, &isnull));
	int before = see(loader, sha256, SEEN_BASE);
	uint8 *place;

	if (before & (SEEN_BASE | SEEN_FEEDBACK) || (before & SEEN_HELD_OUT && kind == TRAINING_SET_TRAIN))
		return;
	place = next_place(loader, kind);
	if (place != NULL)
	{
		const bytea *pixels = DatumGetByteaPP(SPI_getbinval(row, desc, 2, &isnull));
		TrainingSet *set = &loader->data->sets[kind];

		memcpy(place, VARDATA_ANY(pixels), NN_PIXELS);
		set->labels[set->n++] = (uint8) DatumGetInt16(SPI_getbinval(row, desc, 1, &isnull));
	}
}

/*
 * A row (label, image, sha256, held_out) of feedback.  The image was readable when it was read; should it have
 * become unreadable, by a lower mnist_hil.max_image_pixels say, it is left out rather than the run given up.
 */
static void
take_feedback_row(Loader *loader, HeapTuple row, TupleDesc desc, TrainingSetKind kind)
{
	bool isnull;
	const bytea *sha256 = DatumGetByteaPP(SPI_getbinval(row, desc, 3, &isnull));
	bool held_out = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
	uint8 *place;

	kind = held_out ? TRAINING_SET_HELD_OUT : TRAINING_SET_FEEDBACK;
	see(loader, sha256, held_out ? SEEN_HELD_OUT : SEEN_FEEDBACK);
	place = next_place(loader, kind);
	if (place != NULL)
	{
		const bytea *image = DatumGetByteaPP(SPI_getbinval(row, desc, 2, &isnull));
		TrainingSet *set = &loader->data->sets[kind];
		ImageError error;

		if (image_to_mnist((const uint8 *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), mnist_hil_max_image_pixels,
						   image_input_allocator(), place, &error) != IMAGE_OK)
			loader->unreadable++;
		else
			set->labels[set->n++] = (uint8) DatumGetInt16(SPI_getbinval(row, desc, 1, &isnull));
	}
}

static void
load_feedback(Loader *loader)
{
	char *sql = psprintf("SELECT l.label, p.image, l.pixels_sha256, l.held_out"
						 " FROM (SELECT DISTINCT ON (pixels_sha256) * FROM %s.mnist_label"
						 "       WHERE label IS NOT NULL ORDER BY pixels_sha256, prediction_id DESC) l"
						 " JOIN %s.mnist_prediction p ON p.id = l.prediction_id"
						 " ORDER BY l.pixels_sha256",
						 schema_name(), schema_name());

	for_each_row(loader, sql, 0, NULL, NULL, NULL, take_feedback_row, TRAINING_SET_FEEDBACK);
}

static void
load_base(Loader *loader, const char *split, TrainingSetKind kind)
{
	char *sql = psprintf("SELECT label, pixels, pg_catalog.sha256(pixels) FROM %s.mnist_sample"
						 " WHERE ($1 IS NULL OR dataset_id = ANY ($1)) AND split = $2"
						 " ORDER BY dataset_id, ordinal",
						 schema_name());
	Oid types[] = {INT4ARRAYOID, TEXTOID};
	Datum values[2];
	char nulls[] = {' ', ' '};
	bool isnull;

	values[0] = training_options_datasets(loader->options, &isnull);
	if (isnull)
		nulls[0] = 'n';
	values[1] = CStringGetTextDatum(split);
	for_each_row(loader, sql, 2, types, values, nulls, take_base_row, kind);
}

TrainingData *
training_data_load(const TrainingOptions *options, int rank, int nprocesses, Size other_bytes, MemoryContext context)
{
	Loader loader = {.options = options, .rank = rank, .nprocesses = nprocesses};

	loader.data = MemoryContextAllocZero(context, sizeof(TrainingData));
	allocate(&loader, other_bytes, context);
	load_feedback(&loader);
	for (int i = 0; i < (int) lengthof(base_splits); i++)
		load_base(&loader, base_splits[i].split, base_splits[i].set);
	hash_destroy(loader.seen);
	if (loader.unreadable > 0)
		ereport(LOG, (errmsg("%lld feedback images could not be read and were left out of the retraining run",
							 (long long) loader.unreadable)));
	return loader.data;
}
