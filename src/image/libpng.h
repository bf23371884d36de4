/*
 * libpng.h: callbacks for libpng, for decode.c and encode.c only.
 *
 * libpng gets memory from the caller's allocator, and reports errors by longjmp to the setjmp of the file that called
 * it.
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
	size_t refused; /* the size of an allocation that failed, or 0 */
} ImagePng;

/* Memory from the allocator; NULL if there is none, refused is set then. */
extern void *image_png_request(ImagePng *context, size_t size);

/* libpng's functions to allocate and to release memory. */
extern png_voidp image_png_allocate(png_structp png, png_alloc_size_t size);
extern void image_png_release(png_structp png, png_voidp pointer);

/* Make libpng's message the error's detail, and jump to the caller's setjmp. */
extern void image_png_error(png_structp png, png_const_charp message);

/* Ignores warnings. */
extern void image_png_warning(png_structp png, png_const_charp message);

#endif /* IMAGE_LIBPNG_H */
