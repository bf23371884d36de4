/*
 * import.c: IDX files as rows.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"

#include "image/idx.h"
#include "pg/compat.h"
#include "pg/errors.h"
#include "pg/memory.h"
#include "pg/rows.h"

PG_FUNCTION_INFO_V1(mnist_hil_read_idx);

/* A pair of files being read.  All that the decompressors allocate lives as long as the pair. */
typedef struct IdxPair
{
	IdxReader images;
	IdxReader labels;
	ImageAllocator allocator; /* its context: the pair's memory context */
} IdxPair;

/* Open one file of the pair, or throw. */
static void
open_reader(IdxReader *reader, IdxKind kind, const bytea *file, const bytea *other_file,
			const ImageAllocator *allocator)
{
	const uint8 *data = (const uint8 *) VARDATA_ANY(file);
	const uint8 *other_data = (const uint8 *) VARDATA_ANY(other_file);
	IdxKind other_kind = kind == IDX_IMAGES ? IDX_LABELS : IDX_IMAGES;
	ImageError error;

	if (idx_open(reader, kind, data, VARSIZE_ANY_EXHDR(file), allocator, &error) == IMAGE_OK)
		return;

	if (error.status == IMAGE_ERR_FORMAT && idx_is(other_kind, data, VARSIZE_ANY_EXHDR(file), allocator) &&
		idx_is(kind, other_data, VARSIZE_ANY_EXHDR(other_file), allocator))
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("%s", error.message),
						errdetail("The images are a file of labels, and the labels are a file of images."),
						errhint("Exchange the two arguments.")));
	image_throw(&error, NULL);
}

/* Open both files and check that they belong together. */
static void
open_pair(IdxPair *pair, const bytea *images, const bytea *labels)
{
	open_reader(&pair->images, IDX_IMAGES, images, labels, &pair->allocator);
	open_reader(&pair->labels, IDX_LABELS, labels, images, &pair->allocator);
	if (pair->images.nitems != pair->labels.nitems)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION), errmsg("images and labels differ in number"),
				 errdetail("The IDX files hold %d images and %d labels.", pair->images.nitems, pair->labels.nitems)));
}

/* Check that nothing follows the last item, and close the readers. */
static void
finish_pair(IdxPair *pair)
{
	ImageError error;

	if (idx_finish(&pair->images, &error) != IMAGE_OK || idx_finish(&pair->labels, &error) != IMAGE_OK)
		image_throw(&error, NULL);
	idx_close(&pair->images);
	idx_close(&pair->labels);
}

/* Read the next image and its label into a tuple. */
static Datum
next_tuple(IdxPair *pair, TupleDesc descriptor)
{
	bytea *pixels = palloc(VARHDRSZ + IMAGE_PIXELS);
	int ordinal = pair->images.next;
	uint8 label;
	ImageError error;
	Datum values[4];
	bool nulls[4] = {false, false, false, false};

	if (idx_read(&pair->images, (uint8 *) VARDATA(pixels), &error) != IMAGE_OK ||
		idx_read(&pair->labels, &label, &error) != IMAGE_OK)
		image_throw(&error, NULL);
	SET_VARSIZE(pixels, VARHDRSZ + IMAGE_PIXELS);

	values[0] = Int32GetDatum(ordinal);
	values[1] = Int32GetDatum(pair->images.nitems);
	values[2] = Int16GetDatum((int16) label);
	values[3] = PointerGetDatum(pixels);
	return make_row(descriptor, values, nulls);
}

/*
 * mnist_hil_read_idx(images bytea, labels bytea): read a pair of IDX files, plain or gzip.  Returns a row (ordinal,
 * number of images, label, pixels) for each image, one at a time, so that 60,000 images are never in memory together.
 * ERRCODE_INVALID_BINARY_REPRESENTATION if the files are no such pair, damaged or truncated;
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED for more than IDX_MAX_ITEMS images.
 */
Datum
mnist_hil_read_idx(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	IdxPair *pair;
	MemoryContext previous;

	if (SRF_IS_FIRSTCALL())
	{
		call = SRF_FIRSTCALL_INIT();
		previous = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->tuple_desc = row_type(fcinfo, 4);
		pair = palloc0(sizeof(IdxPair));
		pair->allocator = image_allocator_of(call->multi_call_memory_ctx);
		open_pair(pair, PG_GETARG_BYTEA_PP(0), PG_GETARG_BYTEA_PP(1));
		call->user_fctx = pair;
		MemoryContextSwitchTo(previous);
	}

	call = SRF_PERCALL_SETUP();
	pair = call->user_fctx;
	if (pair->images.next < pair->images.nitems)
	{
		Datum tuple = next_tuple(pair, call->tuple_desc);

		SRF_RETURN_NEXT(call, tuple);
	}
	finish_pair(pair);
	SRF_RETURN_DONE(call);
}
