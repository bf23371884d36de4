/*
 * image_input.h: from SQL's bytea to pixels.
 */
#ifndef PG_IMAGE_INPUT_H
#define PG_IMAGE_INPUT_H

#include "postgres.h"

#include "image/preprocess.h"

/*
 * Convert a caller's image, which may be toasted, to MNIST's form; *source describes the original.  Returns the
 * image to store: detoasted, without any bytes after the end of a PNG.  ERRCODE_PROGRAM_LIMIT_EXCEEDED if the image
 * has more bytes than mnist_hil.max_image_bytes, before anything is read, or more pixels than
 * mnist_hil.max_image_pixels; ERRCODE_INVALID_BINARY_REPRESENTATION if it is damaged or no image.
 */
extern bytea *image_input_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source);

/* The same, for the pixels only. */
extern void image_input_pixels(Datum image, uint8_t pixels[IMAGE_PIXELS]);

/*
 * The same for a stored image.  The two settings do not apply to it: lowering a limit must not make stored images
 * unreadable.
 */
extern void image_stored_source(Datum image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source);

/* The same, but errors are returned, not thrown. */
extern ImageStatus image_stored_read(const bytea *image, uint8_t pixels[IMAGE_PIXELS], ImageSource *source,
									 ImageError *error);

#endif /* PG_IMAGE_INPUT_H */
