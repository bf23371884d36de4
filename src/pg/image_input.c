/*
 * image_input.c: from SQL's bytea to pixels.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"

#include "pg/compat.h"
#include "pg/errors.h"
#include "pg/image_input.h"
#include "pg/memory.h"
#include "pg/settings.h"

/* Decode with a limit on pixels. */
static ImageStatus
read_image(const bytea *image, int max_pixels, uint8_t pixels[IMAGE_PIXELS], ImageSource *source, ImageError *error)
{
	return image_to_mnist_source((const uint8_t *) VARDATA_ANY(image), VARSIZE_ANY_EXHDR(image), max_pixels,
								 image_allocator(), pixels, source, error);
}

/* Check the size without detoasting: it is in the value's header or its TOAST pointer. */
static void
check_bytes(Datum image)
{
	Size size = toast_raw_datum_size(image) - VARHDRSZ;

	if (size > (Size) mnist_hil_max_image_bytes)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("image has too many bytes"),
						errdetail("It has %zu bytes; at most %d are allowed.", size, mnist_hil_max_image_bytes),
						errhint("A superuser can allow more bytes with mnist_hil.max_image_bytes.")));
}

/* Free a detoasted value, unless detoasting returned the original itself. */
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
		image_throw(&error, hint);
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
		image_throw(&error, NULL);
	free_copy(bytes, image);
}
