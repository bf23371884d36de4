/*
 * decode.h: from a PNG to ink.
 */
#ifndef IMAGE_DECODE_H
#define IMAGE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

/* An image as ink: 0 background, 255 full ink, whatever the polarity of the original. */
typedef struct ImageInk
{
	int width;
	int height;
	uint8_t *ink;  /* (height, width), from the allocator; the caller releases it */
	bool inverted; /* the background was light */
	size_t size;   /* bytes of the PNG, up to the end of its IEND chunk; bytes after that are ignored */
} ImageInk;

/* Do the data begin with the signature of PNG? */
extern bool image_is_png(const uint8_t *data, size_t size);

/*
 * Decode a PNG of any size, bit depth, colour type, interlacing or transparency to ink.  The size is checked
 * against max_pixels from the header alone, before anything is allocated.  Ancillary chunks other than tRNS are
 * skipped.  Any damage, also to the checksum of a skipped chunk, is an error.
 */
extern ImageStatus image_decode(const uint8_t *data, size_t size, size_t max_pixels, const ImageAllocator *allocator,
								ImageInk *image, ImageError *error);

#endif /* IMAGE_DECODE_H */
