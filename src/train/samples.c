/*
 * samples.c: loading each process's part of the samples.
 *
 * Every process of a run reads all rows, in the same order and under the same snapshot, and keeps every n-th image of
 * each set.  No sample passes through shared memory.  Which process has which image depends only on the data and the
 * number of processes.  Images that are left out do not count, so the parts of a set differ by one image at most.
 *
 * No image is in two sets.  Rows are compared by the SHA-256 of their pixels, and the row that is read first wins.
 * Feedback is read first, so its label wins over the base data's; then the base test, validation and training images.
 * In detail:
 *	- a feedback image counts as the run's snapshot says (sql/snapshot.sql), and once, however often it was predicted;
 *	- a base image that is also feedback is not trained on;
 *	- a base validation or test image that is also feedback to train on is left out;
 *	- a base image that occurs several times counts once, as test or validation image if it is one;
 *	- a base image that occurs with different labels is left out (view mnist_dataset_conflict shows them).  This is
 *	  known only when all rows have been read.  The base data is then read a second time, without these images.
 *
 * 16 bytes of the hash are enough to tell images apart (a collision among a billion has a chance of 1 in 10^21).
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "pg/compat.h"
#include "pg/image_input.h"
#include "pg/schema.h"
#include "pg/spi.h"
#include "train/samples.h"

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
	/* of base images */
	bool taken;	  /* it is in a set */
	bool dropped; /* it occurs with another label, too: in no set */
	uint8 label;
} Seen;

typedef struct Loader
{
	const TrainingOrders *orders;
	int rank;
	int nprocesses;
	TrainingData *data;
	int32 *dataset_ids; /* in the order in which they are read */
	int ndatasets;
	int64 dropped;
	HTAB *seen;
	int64 capacity[TRAINING_NSETS];
	int64 position[TRAINING_NSETS]; /* images of a set so far, over all processes */
	int64 unreadable;
} Loader;

/* The splits of the base data, in the order in which they are read. */
static const struct
{
	const char *split;
	TrainingSetKind set;
} base_splits[] = {
	{"test", TRAINING_SET_TEST},
	{"validation", TRAINING_SET_VALIDATION},
	{"train", TRAINING_SET_TRAIN},
};

/* The data sets to read: those that the options name, in their order, or all. */
static void
find_datasets(Loader *loader)
{
	const TrainingOrders *orders = loader->orders;

	if (orders->ndatasets > 0)
	{
		loader->ndatasets = orders->ndatasets;
		loader->dataset_ids = palloc(sizeof(int32) * orders->ndatasets);
		memcpy(loader->dataset_ids, orders->dataset_ids, sizeof(int32) * orders->ndatasets);
		return;
	}
	spi_execute("SELECT id FROM %s.mnist_dataset ORDER BY id", NULL);
	loader->ndatasets = (int) SPI_processed;
	loader->dataset_ids = palloc(sizeof(int32) * (SPI_processed + 1));
	for (int i = 0; i < loader->ndatasets; i++)
		loader->dataset_ids[i] = DatumGetInt32(spi_result_at(i, 1));
}

/* Do the options limit how many base images of a set are taken? */
static bool
has_base_limit(TrainingSetKind kind)
{
	return kind == TRAINING_SET_TRAIN || kind == TRAINING_SET_VALIDATION;
}

/* How many images of such a set are taken from each data set. */
static int64
base_limit(const Loader *loader)
{
	if (loader->orders->base_limit == 0)
		return PG_INT64_MAX;
	return loader->orders->base_limit / Max(loader->ndatasets, 1) + 1;
}

/* How many rows there are for each set, duplicates included. */
static void
count_rows(const Loader *loader, int64 rows[TRAINING_NSETS])
{
	SpiParameters parameters = {0};

	spi_add_int4_array(&parameters, loader->dataset_ids, loader->ndatasets);
	spi_add_int8(&parameters, loader->orders->run_id);
	spi_execute("SELECT b.train, f.train, b.validation, f.held_out, b.test"
				" FROM (SELECT count(*) FILTER (WHERE split = 'train') AS train,"
				"              count(*) FILTER (WHERE split = 'validation') AS validation,"
				"              count(*) FILTER (WHERE split = 'test') AS test"
				"       FROM %s.mnist_sample WHERE dataset_id = ANY ($1)) b,"
				"      (SELECT count(*) FILTER (WHERE split = 'train') AS train,"
				"              count(*) FILTER (WHERE split = 'held_out') AS held_out"
				"       FROM %s.mnist_run_feedback WHERE run_id = $2 AND weight > 0) f",
				&parameters);
	for (int i = 0; i < TRAINING_NSETS; i++)
	{
		rows[i] = DatumGetInt64(spi_result(i + 1));
		if ((loader->orders->sets & TRAINING_SET_BIT(i)) == 0)
			rows[i] = 0;
	}
	for (int i = 0; i < TRAINING_NSETS && loader->orders->base_limit > 0; i++)
		if (has_base_limit(i))
			rows[i] = Min(rows[i], base_limit(loader) * loader->ndatasets);
}

/* Allocate what only feedback has: weights and ids. */
static void
set_up_feedback(Loader *loader, MemoryContext context)
{
	TrainingSet *feedback = &loader->data->sets[TRAINING_SET_FEEDBACK];
	TrainingSet *held_out = &loader->data->sets[TRAINING_SET_HELD_OUT];
	int64 capacity = loader->capacity[TRAINING_SET_FEEDBACK];

	feedback->weights = MemoryContextAllocHuge(context, mul_size(sizeof(float), capacity));
	feedback->ids = MemoryContextAllocHuge(context, mul_size(sizeof(int64), capacity));
	held_out->ids = MemoryContextAllocHuge(context, mul_size(sizeof(int64), loader->capacity[TRAINING_SET_HELD_OUT]));
}

/*
 * Count the rows for each set, and check the memory for them and other_bytes against the setting.  The counts are
 * upper bounds, because duplicates are not known yet.  Returns the number of all rows.
 */
static int64
check_memory(const Loader *loader, Size other_bytes, int64 rows[TRAINING_NSETS])
{
	const TrainingOrders *orders = loader->orders;
	int64 all_rows = 0;
	Size bytes = other_bytes;

	count_rows(loader, rows);
	for (int i = 0; i < TRAINING_NSETS; i++)
	{
		all_rows += rows[i];
		bytes = add_size(bytes, mul_size(NN_PIXELS + 1, rows[i]));
	}
	bytes = add_size(bytes, mul_size(sizeof(float) + sizeof(int64), rows[TRAINING_SET_FEEDBACK]));
	bytes = add_size(bytes, mul_size(sizeof(int64), rows[TRAINING_SET_HELD_OUT]));
	bytes = add_size(bytes, mul_size(hash_estimate_size(all_rows, sizeof(Seen)), loader->nprocesses));
	if (bytes / 1024 > (Size) orders->memory_kb)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("the retraining run would need more memory than mnist_hil.training_memory allows"),
						errdetail("It would need about %zu MB for %lld images in %d processes; %d MB are allowed.",
								  bytes / (1024 * 1024) + 1, (long long) all_rows, loader->nprocesses,
								  orders->memory_kb / 1024),
						errhint("Increase mnist_hil.training_memory, name fewer data sets, or decrease"
								" mnist_hil.training_workers.")));
	return all_rows;
}

/* Check the memory, and allocate this process's part of each set. */
static void
allocate(Loader *loader, Size other_bytes, MemoryContext context)
{
	int64 rows[TRAINING_NSETS];
	int64 all_rows = check_memory(loader, other_bytes, rows);
	HASHCTL ctl = {0};

	for (int i = 0; i < TRAINING_NSETS; i++)
	{
		TrainingSet *set = &loader->data->sets[i];

		loader->capacity[i] = rows[i] / loader->nprocesses + 1;
		set->pixels = MemoryContextAllocHuge(context, mul_size(loader->capacity[i], NN_PIXELS));
		set->labels = MemoryContextAllocHuge(context, loader->capacity[i]);
	}
	set_up_feedback(loader, context);
	ctl.keysize = DIGEST_BYTES;
	ctl.entrysize = sizeof(Seen);
	ctl.hcxt = CurrentMemoryContext;
	loader->seen = hash_create("samples seen", all_rows + 1, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Note that an image was seen in a role; returns its entry, and the roles it was seen in before. */
static Seen *
see(Loader *loader, const bytea *sha256, int where, int *before)
{
	bool found;
	Seen *seen = hash_search(loader->seen, VARDATA_ANY(sha256), HASH_ENTER, &found);

	if (!found)
	{
		seen->where = 0;
		seen->taken = seen->dropped = false;
	}
	*before = seen->where;
	seen->where = (uint8) (*before | where);
	return seen;
}

/* Count an image of a set.  Returns the place for its pixels if it belongs to this process, else NULL. */
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
	uint8 label = (uint8) DatumGetInt16(SPI_getbinval(row, desc, 1, &isnull));
	TrainingSet *set = &loader->data->sets[kind];
	int before;
	Seen *seen = see(loader, DatumGetByteaPP(SPI_getbinval(row, desc, 3, &isnull)), SEEN_BASE, &before);
	uint8 *place;

	if (before & SEEN_BASE)
	{
		if (seen->taken && !seen->dropped && seen->label != label)
		{
			seen->dropped = true;
			loader->dropped++;
		}
		return;
	}
	seen->taken =
		!seen->dropped && !(before & SEEN_FEEDBACK) && !(before & SEEN_HELD_OUT && kind == TRAINING_SET_TRAIN);
	if (!seen->taken)
		return;
	seen->label = label;
	place = next_place(loader, kind);
	if (place != NULL)
	{
		memcpy(place, VARDATA_ANY(DatumGetByteaPP(SPI_getbinval(row, desc, 2, &isnull))), NN_PIXELS);
		set->labels[set->n++] = label;
	}
}

/*
 * A row (label, image, sha256, held_out, weight, feedback_id) of feedback.  The image was readable when it was
 * predicted.  If it no longer is, for example under a lower mnist_hil.max_image_pixels, it is left out, and the run
 * goes on.
 */
static void
take_feedback_row(Loader *loader, HeapTuple row, TupleDesc desc, TrainingSetKind kind)
{
	bool isnull;
	bool held_out = DatumGetBool(SPI_getbinval(row, desc, 4, &isnull));
	TrainingSet *set;
	uint8 *place;
	int before;

	kind = held_out ? TRAINING_SET_HELD_OUT : TRAINING_SET_FEEDBACK;
	if ((loader->orders->sets & TRAINING_SET_BIT(kind)) == 0)
		return;
	set = &loader->data->sets[kind];
	see(loader, DatumGetByteaPP(SPI_getbinval(row, desc, 3, &isnull)), held_out ? SEEN_HELD_OUT : SEEN_FEEDBACK,
		&before);
	place = next_place(loader, kind);
	if (place != NULL)
	{
		const bytea *image = DatumGetByteaPP(SPI_getbinval(row, desc, 2, &isnull));
		ImageSource source;
		ImageError error;

		if (image_stored_read(image, place, &source, &error) != IMAGE_OK)
		{
			loader->unreadable++;
			return;
		}
		if (set->weights != NULL)
			set->weights[set->n] = DatumGetFloat4(SPI_getbinval(row, desc, 5, &isnull));
		set->ids[set->n] = DatumGetInt64(SPI_getbinval(row, desc, 6, &isnull));
		set->labels[set->n++] = (uint8) DatumGetInt16(SPI_getbinval(row, desc, 1, &isnull));
	}
}

static void
load_feedback(Loader *loader)
{
	/* feedback_image has the pixels of PNGs that a run has decoded; other images are 784 bytes or a PNG */
	char *sql = psprintf("SELECT d.label, coalesce(i.pixels, p.image), d.pixels_sha256, d.held_out, d.weight,"
						 " d.feedback_id"
						 " FROM mnist_internal.run_images($1) d JOIN %s.mnist_prediction p ON p.id = d.prediction_id"
						 " LEFT JOIN mnist_internal.feedback_image i ON i.pixels_sha256 = d.pixels_sha256"
						 " ORDER BY d.pixels_sha256",
						 schema_name());
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(loader->orders->run_id)};

	for_each_row(loader, sql, 1, types, values, NULL, take_feedback_row, TRAINING_SET_FEEDBACK);
}

static void
load_split(Loader *loader, const char *split, TrainingSetKind kind)
{
	char *sql = psprintf("SELECT label, pixels, pixels_sha256 FROM %s.mnist_sample"
						 " WHERE dataset_id = $1 AND split = $2 ORDER BY ordinal LIMIT $3",
						 schema_name());
	Oid types[] = {INT4OID, TEXTOID, INT8OID};

	if ((loader->orders->sets & TRAINING_SET_BIT(kind)) == 0)
		return;
	for (int i = 0; i < loader->ndatasets; i++)
	{
		Datum values[] = {Int32GetDatum(loader->dataset_ids[i]), CStringGetTextDatum(split),
						  Int64GetDatum(has_base_limit(kind) ? base_limit(loader) : PG_INT64_MAX)};

		for_each_row(loader, sql, 3, types, values, NULL, take_base_row, kind);
	}
}

/* Forget the base images that were dealt out, but not which of them occur with different labels. */
static void
forget_base(Loader *loader)
{
	HASH_SEQ_STATUS status;
	Seen *seen;

	hash_seq_init(&status, loader->seen);
	while ((seen = hash_seq_search(&status)) != NULL)
	{
		seen->where = (uint8) (seen->where & ~SEEN_BASE);
		seen->taken = false;
	}
	for (int i = 0; i < (int) lengthof(base_splits); i++)
	{
		loader->data->sets[base_splits[i].set].n = 0;
		loader->position[base_splits[i].set] = 0;
	}
}

/* Load the base data, and load it again if images were dealt out that must be left out. */
static void
load_base(Loader *loader)
{
	for (int pass = 0; pass < 2; pass++)
	{
		int64 dropped = loader->dropped;

		for (int i = 0; i < (int) lengthof(base_splits); i++)
			load_split(loader, base_splits[i].split, base_splits[i].set);
		if (loader->dropped == dropped)
			return;
		if (pass > 0)
			elog(ERROR, "different contradictions in the same data");
		forget_base(loader);
	}
}

void
samples_check_memory(const TrainingOrders *orders, int nprocesses, Size other_bytes)
{
	Loader loader = {.orders = orders, .nprocesses = nprocesses};
	int64 rows[TRAINING_NSETS];

	find_datasets(&loader);
	(void) check_memory(&loader, other_bytes, rows);
}

TrainingData *
samples_load(const TrainingOrders *orders, int rank, int nprocesses, Size other_bytes, MemoryContext context)
{
	Loader loader = {.orders = orders, .rank = rank, .nprocesses = nprocesses};

	loader.data = MemoryContextAllocZero(context, sizeof(TrainingData));
	find_datasets(&loader);
	allocate(&loader, other_bytes, context);
	load_feedback(&loader);
	load_base(&loader);
	hash_destroy(loader.seen);
	if (rank == 0 && loader.dropped > 0)
		ereport(LOG, (errmsg("%lld images of the data sets occur with different labels and were left out of the"
							 " retraining run",
							 (long long) loader.dropped)));
	if (loader.unreadable > 0)
		ereport(LOG, (errmsg("%lld feedback images could not be read and were left out of the retraining run",
							 (long long) loader.unreadable)));
	return loader.data;
}
