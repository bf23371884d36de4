/*
 * idx.h: the IDX files that MNIST is published in, plain or gzip.
 *
 * Plain C11 over zlib: no PostgreSQL, no global state.  A file is read item by item (an image, or a label), so that
 * what is needed is a decompressor's 40 kB, however large the file, and no more is ever inflated than the header
 * announces. image.h says how errors are reported and interrupts looked for.
 */
#ifndef IDX_H
#define IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

#include "image/image.h"

#define IDX_MAX_ITEMS 1000000

/* What a file holds, by the number of its dimensions, which is the last byte of its magic number. */
typedef enum IdxKind
{
	IDX_LABELS = 1, /* an item is a byte, 0 .. 9 */
	IDX_IMAGES = 3	/* an item is 28 x 28 bytes, row by row */
} IdxKind;

typedef struct IdxReader
{
	IdxKind kind;
	int nitems;		  /* by the header: 1 .. IDX_MAX_ITEMS */
	size_t item_size; /* bytes of an item */
	int next;		  /* items read */
	bool compressed;
	bool ended;		 /* the compressed stream has come to its end, checksum and all */
	z_stream stream; /* next_in and avail_in: of what is left to read, compressed or not, the first slice */
	size_t behind;	 /* bytes that follow the slice */
	const ImageAllocator *allocator;
} IdxReader;

/*
 * Start reading size bytes at data, which must stay where they are, and check the header.  IMAGE_ERR_FORMAT for what
 * is not an IDX file of this kind, IMAGE_ERR_CORRUPT for a damaged or truncated one, IMAGE_ERR_LIMIT for more than
 * IDX_MAX_ITEMS. After IMAGE_OK the caller calls idx_close.
 */
extern ImageStatus idx_open(IdxReader *reader, IdxKind kind, const uint8_t *data, size_t size,
							const ImageAllocator *allocator, ImageError *error);

/* Read the next item, item_size bytes; no more than nitems of them.  A label above 9 is IMAGE_ERR_CORRUPT. */
extern ImageStatus idx_read(IdxReader *reader, uint8_t *item, ImageError *error);

/* After the last item: check that nothing follows and that the compressed stream's checksum holds. */
extern ImageStatus idx_finish(IdxReader *reader, ImageError *error);

/* Release what idx_open allocated. */
extern void idx_close(IdxReader *reader);

/* Whether the bytes begin like an IDX file of this kind, once decompressed. */
extern bool idx_is(IdxKind kind, const uint8_t *data, size_t size, const ImageAllocator *allocator);

#endif /* IDX_H */
