/*
 * image.h: what the modules of src/image share: sizes, errors, and how they get memory.
 *
 * Plain C11 over libpng and zlib: no PostgreSQL, no global state.  Memory comes from the caller's allocator, which
 * returns NULL when it has none; whatever a call allocates it frees before it returns, results apart.  How long a
 * call takes depends on the image, so it lets the caller's poll function look for interrupts.  Functions that can
 * fail return an ImageStatus and fill in an ImageError.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>

#include "image/error.h"

#define IMAGE_SIDE 28
#define IMAGE_PIXELS (IMAGE_SIDE * IMAGE_SIDE)
#define IMAGE_MAX_SIDE 65535 /* of a PNG, in and out */

typedef struct ImageAllocator
{
	void *(*allocate)(void *context, size_t size); /* NULL when there is none */
	void (*release)(void *context, void *pointer);
	void *context;

	/*
	 * Called every few milliseconds of work, unless it is NULL.  It may leave by longjmp, where the work is to stop;
	 * then what was allocated is the caller's to free.
	 */
	void (*poll)(void *context);
} ImageAllocator;

static inline void
image_poll(const ImageAllocator *allocator)
{
	if (allocator->poll != NULL)
		allocator->poll(allocator->context);
}

#endif /* IMAGE_H */
