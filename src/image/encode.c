/*
 * encode.c: pixels to PNG, through libpng, in memory.
 *
 * As in decode.c, libpng's longjmp never leaves this file, and data that must survive it is in the Encoder.
 */
#include "image/encode.h"
#include "image/libpng.h"

#include <stdbool.h>
#include <setjmp.h>
#include <string.h>

#define FIRST_CAPACITY 1024

typedef struct Encoder
{
	ImagePng context;
	png_structp png;
	png_infop info;
	uint8_t *out;
	size_t size;
	size_t capacity;
} Encoder;

/* Append bytes to the output; its capacity doubles when it is full. */
static void
write_bytes(png_structp png, png_bytep bytes, size_t size)
{
	Encoder *encoder = png_get_io_ptr(png);

	if (size > encoder->capacity - encoder->size)
	{
		size_t capacity = encoder->capacity > 0 ? 2 * encoder->capacity : FIRST_CAPACITY;
		uint8_t *larger;

		if (capacity < encoder->size + size)
			capacity = encoder->size + size;
		larger = image_png_request(&encoder->context, capacity);
		if (larger == NULL)
			png_error(png, "out of memory");
		if (encoder->out != NULL)
		{
			memcpy(larger, encoder->out, encoder->size);
			encoder->context.allocator->release(encoder->context.allocator->context, encoder->out);
		}
		encoder->out = larger;
		encoder->capacity = capacity;
	}
	memcpy(encoder->out + encoder->size, bytes, size);
	encoder->size += size;
}

static void
flush(png_structp png)
{
	(void) png;
}

static int
png_color_type(ImageColor color)
{
	return color == IMAGE_GRAY	? PNG_COLOR_TYPE_GRAY
		   : color == IMAGE_RGB ? PNG_COLOR_TYPE_RGB
								: PNG_COLOR_TYPE_RGB_ALPHA;
}

static bool
write_png(Encoder *encoder, const uint8_t *samples, int width, int height, ImageColor color)
{
	png_structp png;

	encoder->png = png =
		png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &encoder->context, image_png_error, image_png_warning,
								  &encoder->context, image_png_allocate, image_png_release);
	if (png == NULL)
		return false;
	if (setjmp(png_jmpbuf(png)) != 0)
		return false;
	encoder->info = png_create_info_struct(png);
	if (encoder->info == NULL)
		return false;
	png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
	png_set_write_fn(png, encoder, write_bytes, flush);
	png_set_IHDR(png, encoder->info, (png_uint_32) width, (png_uint_32) height, 8, png_color_type(color),
				 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, encoder->info);
	for (int y = 0; y < height; y++)
	{
		image_poll(encoder->context.allocator);
		png_write_row(png, samples + (size_t) y * width * color);
	}
	png_write_end(png, NULL);
	return true;
}

ImageStatus
image_encode(const uint8_t *samples, int width, int height, ImageColor color, const ImageAllocator *allocator,
			 uint8_t **png, size_t *size, ImageError *error)
{
	Encoder encoder = {.context = {.allocator = allocator, .error = error}};
	bool done;

	image_error_clear(error);
	if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
	{
		image_error_detail(error, "It has %d x %d pixels; 1 to %d are allowed along a side.", width, height,
						   IMAGE_MAX_SIDE);
		return image_fail(error, IMAGE_ERR_LIMIT, "image has too few or too many pixels");
	}
	done = write_png(&encoder, samples, width, height, color);
	if (encoder.png != NULL)
		png_destroy_write_struct(&encoder.png, &encoder.info);
	if (done)
	{
		*png = encoder.out;
		*size = encoder.size;
		return IMAGE_OK;
	}
	if (encoder.out != NULL)
		allocator->release(allocator->context, encoder.out);
	if (encoder.context.refused != 0)
		return image_fail_memory(error, encoder.context.refused);
	return image_fail(error, IMAGE_ERR_CORRUPT, "could not encode PNG image");
}
