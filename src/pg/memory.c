/*
 * memory.c: memory from PostgreSQL's memory contexts, for the plain libraries.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "nn/nn.h"
#include "pg/compat.h"
#include "pg/memory.h"

void *
nn_alloc(MemoryContext context, Size size)
{
	return (void *) TYPEALIGN(NN_ALIGN, MemoryContextAllocHuge(context, add_size(size, NN_ALIGN)));
}

/* context: NULL for the current one */
static void *
allocate(void *context, size_t size)
{
	if (!AllocHugeSizeIsValid(size))
		return NULL;
	return MemoryContextAllocExtended(context != NULL ? context : CurrentMemoryContext, size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
release(void *context, void *pointer)
{
	(void) context;
	if (pointer)
		pfree(pointer);
}

/* An error leaves libpng and zlib by longjmp; their memory is freed with the memory context. */
static void
check_for_interrupts(void *context)
{
	(void) context;
	CHECK_FOR_INTERRUPTS();
}

const ImageAllocator *
image_allocator(void)
{
	static const ImageAllocator allocator = {allocate, release, NULL, check_for_interrupts};

	return &allocator;
}

ImageAllocator
image_allocator_of(MemoryContext context)
{
	return (ImageAllocator){allocate, release, context, check_for_interrupts};
}

bytea *
make_bytea(const uint8 *data, Size size)
{
	bytea *result = palloc(size + VARHDRSZ);

	SET_VARSIZE(result, size + VARHDRSZ);
	memcpy(VARDATA(result), data, size);
	return result;
}
