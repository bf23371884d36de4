/*
 * libpng.h: what decode.c and encode.c have libpng call; not for others.
 *
 * libpng gets memory from the caller's allocator and reports errors by longjmp, to where the file that called it has
 * set its setjmp.
 */
#ifndef IMAGE_LIBPNG_H
#define IMAGE_LIBPNG_H

#include <stddef.h>

#include <png.h>

#include "image/image.h"

/* libpng's memory pointer and error pointer. */
typedef struct ImagePng
{
	const ImageAllocator *allocator;
	ImageError *error;
	size_t refused; /* the size that the allocator did not give, or 0 */
} ImagePng;

/* Memory from the allocator; NULL when there is none, and the size is noted. */
extern void *image_png_request(ImagePng *context, size_t size);

/* The same, and its release, as libpng calls them. */
extern png_voidp image_png_allocate(png_structp png, png_alloc_size_t size);
extern void image_png_release(png_structp png, png_voidp pointer);

/* Keep libpng's message for the detail and leave through the caller's setjmp. */
extern void image_png_error(png_structp png, png_const_charp message);

/* Warnings are passed over. */
extern void image_png_warning(png_structp png, png_const_charp message);

#endif /* IMAGE_LIBPNG_H */
