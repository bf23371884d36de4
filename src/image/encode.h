/*
 * encode.h: from samples to a PNG.
 */
#ifndef IMAGE_ENCODE_H
#define IMAGE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "image/image.h"

typedef enum ImageColor
{
	IMAGE_GRAY = 1, /* one byte a pixel */
	IMAGE_RGB = 3,
	IMAGE_RGBA = 4
} ImageColor;

/* Encode as an 8-bit PNG; *png comes from the allocator. */
extern ImageStatus image_encode(const uint8_t *samples, int width, int height, ImageColor color,
								const ImageAllocator *allocator, uint8_t **png, size_t *size, ImageError *error);

#endif /* IMAGE_ENCODE_H */
