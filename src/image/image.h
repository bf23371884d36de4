/*
 * image.h: pictures in and out.
 *
 * Plain C11 over libpng: no PostgreSQL, no global state.  Memory comes from the caller's allocator, which
 * returns NULL when it has none; whatever a call allocates it frees before it returns, results apart.  How long a
 * call takes depends on the picture, so it lets the caller's poll function look for interrupts.  Functions
 * that can fail return an ImageStatus and fill in an ImageError, whose message reads like a PostgreSQL primary
 * message.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_SIDE 28
#define IMAGE_PIXELS (IMAGE_SIDE * IMAGE_SIDE)
#define IMAGE_MAX_SIDE 65535 /* of a PNG, in and out */

typedef enum ImageStatus
{
	IMAGE_OK = 0,
	IMAGE_ERR_FORMAT,  /* neither a PNG nor 784 raw bytes */
	IMAGE_ERR_CORRUPT, /* a PNG that is truncated or damaged */
	IMAGE_ERR_LIMIT,   /* more pixels, or more bytes in a chunk, than allowed */
	IMAGE_ERR_MEMORY   /* the allocator returned NULL */
} ImageStatus;

typedef struct ImageError
{
	ImageStatus status;
	char message[256]; /* primary message: lower case, no full stop */
	char detail[256];  /* facts, a full sentence, or empty */
} ImageError;

typedef struct ImageAllocator
{
	void *(*allocate)(void *context, size_t size); /* NULL when there is none */
	void (*release)(void *context, void *pointer);
	void *context;

	/*
	 * Called every few milliseconds of work, unless it is NULL.  It may leave by longjmp, where the work is to stop;
	 * then what was allocated is the caller's to free.
	 */
	void (*poll)(void *context);
} ImageAllocator;

static inline void
image_poll(const ImageAllocator *allocator)
{
	if (allocator->poll != NULL)
		allocator->poll(allocator->context);
}

/* ---- decode.c ---- */

/* A picture as ink: 0 background, 255 full ink, whatever the polarity it came in. */
typedef struct ImageInk
{
	int width;
	int height;
	uint8_t *ink;  /* (height, width), from the allocator; the caller releases it */
	bool inverted; /* the background was light */
	size_t size;   /* bytes of the PNG, up to the end of its IEND chunk; what follows is ignored */
} ImageInk;

/* Do the data begin with PNG's signature? */
extern bool image_is_png(const uint8_t *data, size_t size);

/*
 * Decode a PNG of any size, bit depth, colour type, interlacing or transparency to ink.  The size is checked
 * against max_pixels from the header alone, before anything is allocated; ancillary chunks other than tRNS are
 * passed over.  Any damage, also to a checksum of what is passed over, is an error.
 */
extern ImageStatus image_decode(const uint8_t *data, size_t size, size_t max_pixels, const ImageAllocator *allocator,
								ImageInk *image, ImageError *error);

/* ---- preprocess.c ---- */

/*
 * Bring ink to MNIST's form (LeCun, Cortes, Burges): crop to the ink, fit into 20 x 20 keeping the proportions
 * with anti-aliasing, place the centre of mass at the centre of 28 x 28.  No ink gives 784 zeros.  A picture
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

/* What a picture was before it was brought to MNIST's form. */
typedef struct ImageSource
{
	int width;
	int height;
	bool light;	 /* its background was light; of raw pixels, which are taken as they are: most of their border is */
	size_t size; /* bytes of the data that are the picture: of a PNG those up to the end of its IEND chunk */
} ImageSource;

/* image_to_mnist, which also says what the picture was.  source is set where IMAGE_OK is returned. */
extern ImageStatus image_to_mnist_source(const uint8_t *data, size_t size, size_t max_pixels,
										 const ImageAllocator *allocator, uint8_t pixels[IMAGE_PIXELS],
										 ImageSource *source, ImageError *error);

/* ---- features.c ---- */

/*
 * What is measured of an image to watch for drift: of its pixels in MNIST's form, whose side is the unit of
 * lengths, and of what it was before.  Of an image without ink all but the last three are 0.
 */
typedef enum ImageFeature
{
	IMAGE_INK_SHARE,		/* share of the pixels that have any ink, 0 .. 1 */
	IMAGE_INTENSITY_MEAN,	/* mean of these, full ink being 1 */
	IMAGE_INTENSITY_SPREAD, /* their standard deviation */
	IMAGE_BOX_WIDTH,		/* of the smallest box around all ink */
	IMAGE_BOX_HEIGHT,
	IMAGE_ASPECT,		 /* width to height of that box */
	IMAGE_OFFSET_X,		 /* of the centre of mass from the picture's centre, to the right */
	IMAGE_OFFSET_Y,		 /* likewise, downwards */
	IMAGE_STROKE_WIDTH,	 /* twice the area over the length of the outline */
	IMAGE_SLANT,		 /* degrees from upright, to the right, by second moments */
	IMAGE_ORIGINAL_SIDE, /* the longer side of the picture as it came in, in its own pixels */
	IMAGE_LIGHT,		 /* 1 if its background was light, else 0 */
	IMAGE_BLANK,		 /* 1 if it has no ink, else 0 */
	IMAGE_FEATURES
} ImageFeature;

/* Measure an image.  All values are finite. */
extern void image_features(const uint8_t pixels[IMAGE_PIXELS], const ImageSource *source,
						   float features[IMAGE_FEATURES]);

/* A hash of the pixels, for finding the same image again; not for adversaries.  The same on every machine. */
extern uint64_t image_hash(const uint8_t pixels[IMAGE_PIXELS]);

/* ---- encode.c ---- */

typedef enum ImageColor
{
	IMAGE_GRAY = 1, /* one byte a pixel */
	IMAGE_RGB = 3,
	IMAGE_RGBA = 4
} ImageColor;

/* Encode as an 8-bit PNG; *png comes from the allocator. */
extern ImageStatus image_encode(const uint8_t *samples, int width, int height, ImageColor color,
								const ImageAllocator *allocator, uint8_t **png, size_t *size, ImageError *error);

/* ---- synthetic.c ---- */

/*
 * Draw a digit with a pen: strokes for each digit (several ways of writing some), varied in shape, slant, width
 * and speed, rendered with anti-aliasing.  ink (side, side): 0 background, 255 full ink, placed loosely on the
 * canvas as a person would; not yet in MNIST's form.  The same label, key and side give the same picture.  side:
 * 28 .. 2048.
 */
extern void image_draw_digit(int label, uint64_t key, int side, uint8_t *ink);

/* The same digit in MNIST's form. */
extern ImageStatus image_synthetic(int label, uint64_t key, const ImageAllocator *allocator,
								   uint8_t pixels[IMAGE_PIXELS], ImageError *error);

#endif /* IMAGE_H */
