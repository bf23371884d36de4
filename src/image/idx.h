/*
 * idx.h: the IDX files that MNIST is published in, plain or gzip.
 *
 * Plain C11 over zlib: no PostgreSQL, no global state.  A file is read item by item (an image, or a label).  So the
 * decompressor's 40 kB are enough, however large the file, and no more is inflated than the header announces.
 * image.h describes errors and the poll function.
 */
#ifndef IDX_H
#define IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

#include "image/image.h"

#define IDX_MAX_ITEMS 1000000

/* The contents of a file.  The value is its number of dimensions, the last byte of its magic number. */
typedef enum IdxKind
{
	IDX_LABELS = 1, /* an item is a byte, 0 .. 9 */
	IDX_IMAGES = 3	/* an item is 28 x 28 bytes, row by row */
} IdxKind;

typedef struct IdxReader
{
	IdxKind kind;
	int nitems;		  /* from the header: 1 .. IDX_MAX_ITEMS */
	size_t item_size; /* bytes of an item */
	int next;		  /* items read */
	bool compressed;
	bool ended;		 /* the compressed stream was read to its end, including the checksum */
	z_stream stream; /* next_in and avail_in: the unread part of the current slice, also of an uncompressed file */
	size_t behind;	 /* bytes after the slice */
	const ImageAllocator *allocator;
} IdxReader;

/*
 * Start reading size bytes at data, which must stay valid, and check the header.  IMAGE_ERR_FORMAT if it is not an
 * IDX file of this kind, IMAGE_ERR_CORRUPT if it is damaged or truncated, IMAGE_ERR_LIMIT if it has more than
 * IDX_MAX_ITEMS.  After IMAGE_OK the caller must call idx_close.
 */
extern ImageStatus idx_open(IdxReader *reader, IdxKind kind, const uint8_t *data, size_t size,
							const ImageAllocator *allocator, ImageError *error);

/* Read the next item, item_size bytes; call it at most nitems times.  IMAGE_ERR_CORRUPT for a label above 9. */
extern ImageStatus idx_read(IdxReader *reader, uint8_t *item, ImageError *error);

/* After the last item: check that nothing follows, and the checksum of a compressed stream. */
extern ImageStatus idx_finish(IdxReader *reader, ImageError *error);

/* Release what idx_open allocated. */
extern void idx_close(IdxReader *reader);

/* Do the bytes, decompressed if necessary, begin with the header of an IDX file of this kind? */
extern bool idx_is(IdxKind kind, const uint8_t *data, size_t size, const ImageAllocator *allocator);

#endif /* IDX_H */
