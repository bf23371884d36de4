/*
 * error.c: errors of src/image.
 */
#include "image/error.h"

#include <stdarg.h>
#include <stdio.h>

void
image_error_clear(ImageError *error)
{
	error->status = IMAGE_OK;
	error->message[0] = '\0';
	error->detail[0] = '\0';
}

void
image_error_detail(ImageError *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->detail, sizeof(error->detail), format, args);
	va_end(args);
}

ImageStatus
image_fail(ImageError *error, ImageStatus status, const char *format, ...)
{
	va_list args;

	error->status = status;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return status;
}

ImageStatus
image_fail_memory(ImageError *error, size_t size)
{
	image_error_detail(error, "Failed on request of size %zu.", size);
	return image_fail(error, IMAGE_ERR_MEMORY, "out of memory");
}
