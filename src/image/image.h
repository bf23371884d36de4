/*
 * image.h: definitions shared by the modules of src/image: sizes, errors, and the allocator.
 *
 * Plain C11 over libpng and zlib: no PostgreSQL, no global state.  Memory comes from the caller's allocator, which
 * returns NULL when it has none.  A call frees all that it allocates before it returns, except its results.  The
 * time of a call depends on the image, so it calls the caller's poll function, which checks for interrupts.
 * Functions that can fail return an ImageStatus and fill in an ImageError.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>

#include "image/error.h"

#define IMAGE_SIDE 28
#define IMAGE_PIXELS (IMAGE_SIDE * IMAGE_SIDE)
#define IMAGE_MAX_SIDE 65535 /* of a PNG, decoded or encoded */

typedef struct ImageAllocator
{
	void *(*allocate)(void *context, size_t size); /* NULL when there is none */
	void (*release)(void *context, void *pointer);
	void *context;

	/*
	 * Called every few milliseconds of work, unless it is NULL.  It may stop the work by a longjmp; the caller must
	 * then free the memory that was allocated.
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
