/*
 * features.h: what is measured of an image to watch for drift, and its hash.
 */
#ifndef IMAGE_FEATURES_H
#define IMAGE_FEATURES_H

#include <stdint.h>

#include "image/image.h"
#include "image/preprocess.h"

/*
 * What is measured of an image to watch for drift: of its pixels in MNIST's form, whose side is the unit of
 * lengths, and of what it was before.  Of an image without ink all but the last three are 0.
 */
typedef enum ImageFeature
{
	IMAGE_INK_SHARE,		/* fraction of the pixels that have any ink, 0 .. 1 */
	IMAGE_INTENSITY_MEAN,	/* mean of these, full ink being 1 */
	IMAGE_INTENSITY_SPREAD, /* their standard deviation */
	IMAGE_BOX_WIDTH,		/* of the smallest box around all ink */
	IMAGE_BOX_HEIGHT,
	IMAGE_ASPECT,		 /* width to height of that box */
	IMAGE_OFFSET_X,		 /* of the centre of mass from the image's centre, to the right */
	IMAGE_OFFSET_Y,		 /* likewise, downwards */
	IMAGE_STROKE_WIDTH,	 /* twice the area over the length of the outline */
	IMAGE_SLANT,		 /* degrees from upright, to the right, by second moments */
	IMAGE_ORIGINAL_SIDE, /* the longer side of the image as it came in, in its own pixels */
	IMAGE_LIGHT,		 /* 1 if its background was light, else 0 */
	IMAGE_BLANK,		 /* 1 if it has no ink, else 0 */
	IMAGE_FEATURES
} ImageFeature;

/* Measure an image.  All values are finite. */
extern void image_features(const uint8_t pixels[IMAGE_PIXELS], const ImageSource *source,
						   float features[IMAGE_FEATURES]);

#endif /* IMAGE_FEATURES_H */
