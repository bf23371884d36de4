/*
 * memory.h: memory of PostgreSQL's contexts for the plain libraries.
 */
#ifndef PG_MEMORY_H
#define PG_MEMORY_H

#include "postgres.h"

#include "image/image.h"

/*
 * size bytes in the context, aligned for src/nn, more than a gigabyte if need be; to be freed with the context
 * only.
 */
extern void *nn_alloc(MemoryContext context, Size size);

/*
 * An allocator over the current memory context that returns NULL instead of throwing, and throws where an interrupt
 * is pending.
 */
extern const ImageAllocator *image_allocator(void);

/* The same over a context of the caller's. */
extern ImageAllocator image_allocator_of(MemoryContext context);

/* A bytea of these bytes, palloc'd. */
extern bytea *make_bytea(const uint8 *data, Size size);

#endif /* PG_MEMORY_H */
