/*
 * fuzz_idx.c: the IDX reader on any bytes.
 *
 * The first byte chooses the kind, the rest is the file.  Besides what the sanitizers check, no more items are read
 * than the limit allows, and all memory is released.
 */
#include <stdint.h>
#include <stdlib.h>

#include "image/idx.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long live_allocations;

static void *
allocate(void *context, size_t size)
{
	(void) context;
	live_allocations++;
	return malloc(size);
}

static void
release(void *context, void *pointer)
{
	(void) context;
	live_allocations--;
	free(pointer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ImageAllocator heap = {allocate, release, NULL, NULL};
	uint8_t item[IMAGE_PIXELS];
	IdxReader reader;
	ImageError error;

	if (size == 0)
		return 0;
	if (idx_open(&reader, data[0] & 1 ? IDX_IMAGES : IDX_LABELS, data + 1, size - 1, &heap, &error) == IMAGE_OK)
	{
		bool good = true;

		if (reader.nitems < 1 || reader.nitems > IDX_MAX_ITEMS)
			abort();
		while (good && reader.next < reader.nitems)
			good = idx_read(&reader, item, &error) == IMAGE_OK;
		if (good)
			idx_finish(&reader, &error);
		idx_close(&reader);
	}
	if (live_allocations != 0)
		abort();
	return 0;
}
