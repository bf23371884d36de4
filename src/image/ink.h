/*
 * ink.h: what decode.c and ink.c share; not for others.
 */
#ifndef IMAGE_INK_H
#define IMAGE_INK_H

#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

/*
 * Turn an image into ink, in place: gray (height, width) becomes 0 where the background is and 255 where the
 * ink is full. alpha (height, width) is its opacity, or NULL where everything is opaque.  Returns whether the
 * background was light.  An image without ink becomes all zeros.  Of the allocator only poll is called.
 */
extern bool image_separate_ink(uint8_t *gray, const uint8_t *alpha, int width, int height,
							   const ImageAllocator *allocator);

#endif /* IMAGE_INK_H */
