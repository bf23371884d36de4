/*
 * ink.h: which pixels of an image are ink; for decode.c only.
 */
#ifndef IMAGE_INK_H
#define IMAGE_INK_H

#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

/*
 * Turn an image into ink, in place: gray (height, width) becomes 0 for the background and 255 for full ink.  alpha
 * (height, width) is the opacity; NULL if all pixels are opaque.  Returns whether the background was light.  An image
 * without ink becomes all zeros.  Only the allocator's poll function is used.
 */
extern bool image_separate_ink(uint8_t *gray, const uint8_t *alpha, int width, int height,
							   const ImageAllocator *allocator);

#endif /* IMAGE_INK_H */
