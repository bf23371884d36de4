/*
 * image_input.c: from SQL's bytea to pixels, and from the libraries' status codes to errors.
 */
#include "postgres.h"

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

const ImageAllocator *
image_input_allocator(void)
{
	static const ImageAllocator allocator = {allocate, release, NULL};

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

void
image_input_pixels(const bytea *image, uint8_t pixels[IMAGE_PIXELS])
{
	ImageSource source;

	image_input_source(image, pixels, &source);
}

void
image_input_source(const bytea *image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source)
{
	ImageError error;
	const char *hint = NULL;

	if (image_to_mnist_source((const uint8_t *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image),
							  mnist_hil_max_image_pixels, image_input_allocator(), pixels, source,
							  &error) == IMAGE_OK)
		return;
	if (error.status == IMAGE_ERR_FORMAT)
		hint = "An image is a PNG, or exactly 784 bytes: 28 rows of 28 gray pixels, ink bright on dark.";
	else if (error.status == IMAGE_ERR_LIMIT)
		hint = "A superuser can allow more pixels with mnist_hil.max_image_pixels.";
	throw_image(&error, hint);
}
