/*
 * preprocess.h: to MNIST's form: the one way into the network.
 */
#ifndef IMAGE_PREPROCESS_H
#define IMAGE_PREPROCESS_H

#include "image/decode.h"
#include "image/image.h"

/*
 * Bring ink to MNIST's form (LeCun, Cortes, Burges): crop to the ink, fit into 20 x 20 keeping the proportions
 * with anti-aliasing, place the centre of mass at the centre of 28 x 28.  No ink gives 784 zeros.  An image
 * already in that form comes back unchanged.
 */
extern ImageStatus image_normalize(const ImageInk *image, const ImageAllocator *allocator,
								   uint8_t pixels[IMAGE_PIXELS], ImageError *error);

/*
 * What the SQL surface calls an image: exactly 784 bytes without PNG's signature are taken as they are,
 * everything else must be a PNG. The one way into the network, for serving and for training alike.
 */
extern ImageStatus image_to_mnist(const uint8_t *data, size_t size, size_t max_pixels,
								  const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS], ImageError *error);

/* What an image was before it was brought to MNIST's form. */
typedef struct ImageSource
{
	int width;
	int height;
	bool light;	 /* its background was light; of raw pixels, which are taken as they are: most of their border is */
	size_t size; /* bytes of the data that are the image: of a PNG those up to the end of its IEND chunk */
} ImageSource;

/* image_to_mnist, which also says what the image was.  source is set where IMAGE_OK is returned. */
extern ImageStatus image_to_mnist_source(const uint8_t *data, size_t size, size_t max_pixels,
										 const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS],
										 ImageSource *source, ImageError *error);

#endif /* IMAGE_PREPROCESS_H */
