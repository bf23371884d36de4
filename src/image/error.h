/*
 * error.h: errors of src/image.
 *
 * Functions return an ImageStatus and fill in an ImageError.  Message and detail follow PostgreSQL's style.
 */
#ifndef IMAGE_ERROR_H
#define IMAGE_ERROR_H

#include <stddef.h>

typedef enum ImageStatus
{
	IMAGE_OK = 0,
	IMAGE_ERR_FORMAT,  /* neither a PNG nor 784 raw bytes; not an IDX file */
	IMAGE_ERR_CORRUPT, /* a PNG or IDX file that is truncated or damaged */
	IMAGE_ERR_LIMIT,   /* more pixels, items, or bytes in a chunk, than allowed */
	IMAGE_ERR_MEMORY   /* the allocator returned NULL */
} ImageStatus;

typedef struct ImageError
{
	ImageStatus status;
	char message[256]; /* primary message: lower case, no full stop */
	char detail[256];  /* facts, a full sentence, or empty */
} ImageError;

/* Set IMAGE_OK without message and detail; a function that can fail calls this first. */
extern void image_error_clear(ImageError *error);

/* Set the detail. */
extern void image_error_detail(ImageError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Set status and message; keeps the detail.  Returns the status. */
extern ImageStatus image_fail(ImageError *error, ImageStatus status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Fail because the allocator had no memory for a block of this size. */
extern ImageStatus image_fail_memory(ImageError *error, size_t size);

#endif /* IMAGE_ERROR_H */
