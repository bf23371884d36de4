/*
 * image_input.c: from SQL's bytea to pixels, and from the libraries' status codes to errors.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "mnist_hil.h"

static void *
allocate(void *context, size_t size)
{
	(void) context;
	if (!AllocHugeSizeIsValid(size))
		return NULL;
	return MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
release(void *context, void *pointer)
{
	(void) context;
	if (pointer)
		pfree(pointer);
}

/* Throwing leaves libpng and zlib by longjmp; what they allocated goes with the memory context. */
static void
look_for_interrupts(void *context)
{
	(void) context;
	CHECK_FOR_INTERRUPTS();
}

const ImageAllocator *
image_input_allocator(void)
{
	static const ImageAllocator allocator = {allocate, release, NULL, look_for_interrupts};

	return &allocator;
}

void *
nn_alloc(MemoryContext context, Size size)
{
	return (void *) TYPEALIGN(NN_ALIGN, MemoryContextAllocHuge(context, add_size(size, NN_ALIGN)));
}

void
nn_throw(const NnError *error)
{
	int code = ERRCODE_INTERNAL_ERROR;

	switch (error->status)
	{
		case NN_ERR_SYNTAX:
			code = ERRCODE_INVALID_PARAMETER_VALUE;
			break;
		case NN_ERR_LIMIT:
			code = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
			break;
		case NN_ERR_CORRUPT:
			code = ERRCODE_INVALID_BINARY_REPRESENTATION;
			break;
		case NN_ERR_VERSION:
		case NN_ERR_UNAVAILABLE:
			code = ERRCODE_FEATURE_NOT_SUPPORTED;
			break;
		case NN_OK:
			break;
	}
	ereport(ERROR, (errcode(code), errmsg("%s", error->message)));
}

static void throw_image(const ImageError *error, const char *hint) pg_attribute_noreturn();

static void
throw_image(const ImageError *error, const char *hint)
{
	int code = ERRCODE_INTERNAL_ERROR;

	switch (error->status)
	{
		case IMAGE_ERR_FORMAT:
		case IMAGE_ERR_CORRUPT:
			code = ERRCODE_INVALID_BINARY_REPRESENTATION;
			break;
		case IMAGE_ERR_LIMIT:
			code = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
			break;
		case IMAGE_ERR_MEMORY:
			code = ERRCODE_OUT_OF_MEMORY;
			break;
		case IMAGE_OK:
			break;
	}
	ereport(ERROR, (errcode(code), errmsg("%s", error->message),
					error->detail[0] ? errdetail("%s", error->detail) : 0, hint ? errhint("%s", hint) : 0));
}

void
image_throw(const ImageError *error)
{
	throw_image(error, NULL);
}

/* Decode with a limit on pixels. */
static ImageStatus
read_image(const bytea *image, int max_pixels, uint8_t pixels[IMAGE_PIXELS], ImageSource *source, ImageError *error)
{
	return image_to_mnist_source((const uint8_t *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), max_pixels,
								 image_input_allocator(), pixels, source, error);
}

/* The size stands in the value's header, or in the pointer to where it is stored. */
static void
check_bytes(Datum image)
{
	Size size = toast_raw_datum_size(image) - VARHDRSZ;

	if (size > (Size) mnist_hil_max_image_bytes)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("image has too many bytes"),
						errdetail("It has %zu bytes; at most %d are allowed.", size, mnist_hil_max_image_bytes),
						errhint("A superuser can allow more bytes with mnist_hil.max_image_bytes.")));
}

bytea *
make_bytea(const uint8 *data, Size size)
{
	bytea *result = palloc(size + VARHDRSZ);

	SET_VARSIZE(result, size + VARHDRSZ);
	memcpy(VARDATA(result), data, size);
	return result;
}

/* Free a value that was detoasted, unless it is the very value that it was detoasted from. */
static void
free_copy(bytea *copy, Datum original)
{
	if ((Pointer) copy != DatumGetPointer(original))
		pfree(copy);
}

bytea *
image_input_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source)
{
	bytea *bytes;
	bytea *cut;
	ImageError error;
	const char *hint = NULL;

	check_bytes(image);
	bytes = DatumGetByteaPP(image);
	if (read_image(bytes, mnist_hil_max_image_pixels, pixels, source, &error) != IMAGE_OK)
	{
		if (error.status == IMAGE_ERR_FORMAT)
			hint = "An image is a PNG, or exactly 784 bytes: 28 rows of 28 gray pixels, ink bright on dark.";
		else if (error.status == IMAGE_ERR_LIMIT)
			hint = "A superuser can allow more pixels with mnist_hil.max_image_pixels.";
		throw_image(&error, hint);
	}
	if (source->size == VARSIZE_ANY_EXHDR(bytes))
		return bytes;
	cut = make_bytea((const uint8 *) VARDATA_ANY(bytes), source->size);
	free_copy(bytes, image);
	return cut;
}

void
image_input_pixels(Datum image, uint8_t pixels[IMAGE_PIXELS])
{
	ImageSource source;

	free_copy(image_input_source(image, pixels, &source), image);
}

ImageStatus
image_stored_read(const bytea *image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source, ImageError *error)
{
	return read_image(image, MAX_MAX_IMAGE_PIXELS, pixels, source, error);
}

void
image_stored_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source)
{
	bytea *bytes = DatumGetByteaPP(image);
	ImageError error;

	if (image_stored_read(bytes, pixels, source, &error) != IMAGE_OK)
		throw_image(&error, NULL);
	free_copy(bytes, image);
}
