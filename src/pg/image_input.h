/*
 * image_input.h: from SQL's bytea to pixels.
 */
#ifndef PG_IMAGE_INPUT_H
#define PG_IMAGE_INPUT_H

#include "postgres.h"

#include "image/preprocess.h"

/*
 * Bring an image that comes from a caller, and may be toasted, to MNIST's form and say what it was, or throw.
 * Returns the image as it is to be stored: detoasted, without what follows the end of a PNG.
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED if it has more bytes than mnist_hil.max_image_bytes, before anything is read, or
 * more pixels than mnist_hil.max_image_pixels; ERRCODE_INVALID_BINARY_REPRESENTATION if it is damaged or no image.
 */
extern bytea *image_input_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source);

/* The same where only the pixels are wanted. */
extern void image_input_pixels(Datum image, uint8_t pixels[IMAGE_PIXELS]);

/*
 * The same for an image that has been stored: the settings limited it on its way in, and a lower limit since must not
 * make it unreadable.
 */
extern void image_stored_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source);

/* The same, without throwing. */
extern ImageStatus image_stored_read(const bytea *image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source,
									 ImageError *error);

#endif /* PG_IMAGE_INPUT_H */
