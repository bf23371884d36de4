/*
 * libpng.c: callbacks for libpng, shared by decode.c and encode.c.
 */
#include "image/libpng.h"

void *
image_png_request(ImagePng *context, size_t size)
{
	void *pointer = context->allocator->allocate(context->allocator->context, size);

	if (pointer == NULL)
		context->refused = size;
	return pointer;
}

png_voidp
image_png_allocate(png_structp png, png_alloc_size_t size)
{
	return image_png_request(png_get_mem_ptr(png), size);
}

void
image_png_release(png_structp png, png_voidp pointer)
{
	ImagePng *context = png_get_mem_ptr(png);

	context->allocator->release(context->allocator->context, pointer);
}

void
image_png_error(png_structp png, png_const_charp message)
{
	ImagePng *context = png_get_error_ptr(png);

	image_error_detail(context->error, "libpng reports: %s.", message);
	png_longjmp(png, 1);
}

void
image_png_warning(png_structp png, png_const_charp message)
{
	(void) png;
	(void) message;
}
