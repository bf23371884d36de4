/*
 * synthetic.h: synthetic digits, for tests and demonstrations without data.
 */
#ifndef IMAGE_SYNTHETIC_H
#define IMAGE_SYNTHETIC_H

#include <stdint.h>

#include "image/image.h"

/*
 * Draw a digit in pen strokes, with several ways to write each digit, varied in shape, slant, width and pressure, and
 * rendered with anti-aliasing.  ink (side, side): 0 background, 255 full ink.  The digit is placed at random on the
 * canvas; it is not yet in MNIST's form.  The same label, key and side give the same image.  side: 28 .. 2048.
 */
extern void image_draw_digit(int label, uint64_t key, int side, uint8_t *ink);

/* The same digit in MNIST's form. */
extern ImageStatus image_synthetic(int label, uint64_t key, const ImageAllocator *allocator,
								   uint8_t pixels[IMAGE_PIXELS], ImageError *error);

#endif /* IMAGE_SYNTHETIC_H */
