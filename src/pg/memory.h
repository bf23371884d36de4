/*
 * memory.h: memory from PostgreSQL's memory contexts, for the plain libraries.
 */
#ifndef PG_MEMORY_H
#define PG_MEMORY_H

#include "postgres.h"

#include "image/image.h"

/*
 * size bytes in the context, aligned for src/nn; may be more than a gigabyte.  They are freed with the context; pfree
 * does not work.
 */
extern void *nn_alloc(MemoryContext context, Size size);

/*
 * An allocator for the current memory context.  It returns NULL if there is no memory; its check for interrupts
 * throws.
 */
extern const ImageAllocator *image_allocator(void);

/* The same for a given context. */
extern ImageAllocator image_allocator_of(MemoryContext context);

/* A bytea of these bytes, palloc'd. */
extern bytea *make_bytea(const uint8 *data, Size size);

#endif /* PG_MEMORY_H */
