/*
 * preprocess.h: conversion of images to MNIST's form, for serving and training alike.
 */
#ifndef IMAGE_PREPROCESS_H
#define IMAGE_PREPROCESS_H

#include "image/decode.h"
#include "image/image.h"

/*
 * Bring ink to MNIST's form (LeCun, Cortes, Burges): crop to the ink, fit it into 20 x 20 with anti-aliasing, keeping
 * the proportions, and place the centre of mass at the centre of 28 x 28.  No ink gives 784 zeros.  An image that has
 * this form already is unchanged.
 */
extern ImageStatus image_normalize(const ImageInk *image, const ImageAllocator *allocator,
								   uint8_t pixels[IMAGE_PIXELS], ImageError *error);

/*
 * Bring an image, as SQL functions accept it, to MNIST's form.  Exactly 784 bytes without PNG's signature are used
 * unchanged; everything else must be a PNG.
 */
extern ImageStatus image_to_mnist(const uint8_t *data, size_t size, size_t max_pixels,
								  const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS], ImageError *error);

/* The original of an image in MNIST's form. */
typedef struct ImageSource
{
	int width;
	int height;
	bool light;	 /* its background was light; for raw pixels: most of the border was */
	size_t size; /* bytes of the image; of a PNG, those up to the end of its IEND chunk */
} ImageSource;

/* Like image_to_mnist; *source describes the original if IMAGE_OK is returned. */
extern ImageStatus image_to_mnist_source(const uint8_t *data, size_t size, size_t max_pixels,
										 const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS],
										 ImageSource *source, ImageError *error);

#endif /* IMAGE_PREPROCESS_H */
