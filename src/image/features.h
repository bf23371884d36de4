/*
 * features.h: features of an image, for drift detection.
 */
#ifndef IMAGE_FEATURES_H
#define IMAGE_FEATURES_H

#include <stdint.h>

#include "image/image.h"
#include "image/preprocess.h"

/*
 * Features of the pixels in MNIST's form, except IMAGE_ORIGINAL_SIDE and IMAGE_LIGHT, which describe the original.
 * Lengths are in pixels unless stated otherwise.  For an image without ink all but the last three are 0.
 */
typedef enum ImageFeature
{
	IMAGE_INK_SHARE,		/* fraction of the pixels that have any ink, 0 .. 1 */
	IMAGE_INTENSITY_MEAN,	/* mean level of these, 1 being full ink */
	IMAGE_INTENSITY_SPREAD, /* their standard deviation */
	IMAGE_BOX_WIDTH,		/* of the smallest box around all ink */
	IMAGE_BOX_HEIGHT,
	IMAGE_ASPECT,		 /* width of that box divided by its height */
	IMAGE_OFFSET_X,		 /* of the centre of mass from the image's centre, to the right */
	IMAGE_OFFSET_Y,		 /* the same, downwards */
	IMAGE_STROKE_WIDTH,	 /* twice the area over the length of the outline */
	IMAGE_SLANT,		 /* degrees from upright, to the right, by second moments */
	IMAGE_ORIGINAL_SIDE, /* the longer side of the original, in its own pixels */
	IMAGE_LIGHT,		 /* 1 if its background was light, else 0 */
	IMAGE_BLANK,		 /* 1 if it has no ink, else 0 */
	IMAGE_FEATURES
} ImageFeature;

/* Measure an image.  All values are finite. */
extern void image_features(const uint8_t pixels[IMAGE_PIXELS], const ImageSource *source,
						   float features[IMAGE_FEATURES]);

#endif /* IMAGE_FEATURES_H */
