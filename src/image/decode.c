/*
 * decode.c: PNG to ink, through libpng.
 *
 * libpng checks, inflates, unfilters and unpacks.  Conversion to gray and transparency are done here, row by row, in
 * one tight loop for each kind of pixel.  The cost of a hostile image is bounded.  Its size is checked from the
 * header before anything is allocated.  Ancillary chunks other than tRNS are skipped; they are neither inflated nor
 * kept.  No more image data is inflated than the size in the header needs.  The large allocations are a byte a
 * pixel, a second byte a pixel if there is transparency, and a few rows.
 *
 * libpng reports errors by longjmp.  These jumps never leave this file.  Data that must survive them is in the
 * Decoder, which the caller of the function with setjmp owns.  The caller's poll function is called between rows and
 * when libpng reads bytes.  It may leave by its own longjmp, since libpng holds only memory from the caller's
 * allocator.
 */
#include "image/decode.h"
#include "image/ink.h"
#include "image/libpng.h"
#include "util/bytes.h"

#include <setjmp.h>
#include <string.h>

#define SIGNATURE_SIZE 8
#define HEADER_SIZE (SIGNATURE_SIZE + 8 + 8) /* signature, length and type of IHDR, width and height */

typedef struct Decoder
{
	ImagePng context;
	const uint8_t *data;
	size_t size;
	size_t position;
	bool truncated; /* libpng tried to read past the end */

	png_structp png;
	png_infop info;
	int width;
	int height;
	int color_type;
	int bit_depth;
	bool indexed;	   /* one byte a pixel, to be looked up in the tables below */
	bool keyed;		   /* one colour is transparent: key */
	bool transparency; /* pixels may be transparent */
	uint8_t index_gray[256];
	uint8_t index_alpha[256];
	uint16_t key[3];

	uint8_t *row;	   /* a row from libpng */
	uint8_t *row_gray; /* the same, converted */
	uint8_t *row_alpha;
	uint8_t *gray;	/* (height, width) */
	uint8_t *alpha; /* (height, width), or NULL while all pixels are opaque */
} Decoder;

/* ---- callbacks for libpng ---- */

static void
read_bytes(png_structp png, png_bytep out, size_t size)
{
	Decoder *decoder = png_get_io_ptr(png);

	image_poll(decoder->context.allocator);
	if (size > decoder->size - decoder->position)
	{
		decoder->truncated = true;
		png_error(png, "unexpected end");
	}
	memcpy(out, decoder->data + decoder->position, size);
	decoder->position += size;
}

/* ---- rows ---- */

static inline uint8_t
luma(int red, int green, int blue)
{
	return (uint8_t) ((77 * red + 150 * green + 29 * blue) >> 8); /* ITU-R BT.601 */
}

/* Look up n palette entries, or gray levels of less than 8 bits. */
static void
convert_indexed(const Decoder *decoder, const uint8_t *row, int n, uint8_t *gray, uint8_t *alpha)
{
	for (int x = 0; x < n; x++)
		gray[x] = decoder->index_gray[row[x]];
	if (decoder->transparency)
		for (int x = 0; x < n; x++)
			alpha[x] = decoder->index_alpha[row[x]];
}

/* Find the transparent colour among n pixels, before 16-bit samples lose their lower halves. */
static void
apply_key(const Decoder *decoder, const uint8_t *row, int n, uint8_t *alpha)
{
	int channels = decoder->color_type == PNG_COLOR_TYPE_RGB ? 3 : 1;
	int bytes = decoder->bit_depth / 8;

	for (int x = 0; x < n; x++)
	{
		bool match = true;

		for (int c = 0; c < channels; c++)
		{
			const uint8_t *sample = row + ((size_t) x * channels + c) * bytes;
			int value = bytes == 2 ? sample[0] << 8 | sample[1] : sample[0];

			match = match && value == decoder->key[c];
		}
		alpha[x] = match ? 0 : 255;
	}
}

/* Convert n pixels of a row from libpng to gray and, if there is transparency, to alpha. */
static void
convert_row(const Decoder *decoder, uint8_t *row, int n, uint8_t *gray, uint8_t *alpha)
{
	if (decoder->indexed)
	{
		convert_indexed(decoder, row, n, gray, alpha);
		return;
	}
	if (decoder->keyed)
		apply_key(decoder, row, n, alpha);
	if (decoder->bit_depth == 16)
	{
		size_t samples = (size_t) n * png_get_channels(decoder->png, decoder->info);

		for (size_t i = 0; i < samples; i++)
			row[i] = row[2 * i];
	}
	switch (decoder->color_type)
	{
		case PNG_COLOR_TYPE_GRAY_ALPHA:
			for (int x = 0; x < n; x++)
			{
				gray[x] = row[2 * x];
				alpha[x] = row[2 * x + 1];
			}
			break;
		case PNG_COLOR_TYPE_RGB:
			for (int x = 0; x < n; x++)
				gray[x] = luma(row[3 * x], row[3 * x + 1], row[3 * x + 2]);
			break;
		case PNG_COLOR_TYPE_RGB_ALPHA:
			for (int x = 0; x < n; x++)
			{
				gray[x] = luma(row[4 * x], row[4 * x + 1], row[4 * x + 2]);
				alpha[x] = row[4 * x + 3];
			}
			break;
		default:
			memcpy(gray, row, (size_t) n);
			break;
	}
}

/* Are n pixels all opaque? */
static bool
is_opaque(const uint8_t *alpha, int n)
{
	uint64_t all = UINT64_MAX;
	uint64_t eight;
	int x = 0;

	for (; x + 8 <= n; x += 8)
	{
		memcpy(&eight, alpha + x, 8);
		all &= eight;
	}
	for (; x < n; x++)
		all &= alpha[x] | ~UINT64_C(255);
	return all == UINT64_MAX;
}

/* Store a converted row's alpha at every step-th pixel.  The plane is allocated when the first row is not opaque. */
static void
store_alpha(Decoder *decoder, int y, int first, int step, int n)
{
	size_t size = (size_t) decoder->width * decoder->height;
	uint8_t *out;

	if (decoder->alpha == NULL)
	{
		if (is_opaque(decoder->row_alpha, n))
			return;
		decoder->alpha = png_malloc(decoder->png, size);
		memset(decoder->alpha, 255, size);
	}
	out = decoder->alpha + (size_t) y * decoder->width + first;
	if (step == 1)
		memcpy(out, decoder->row_alpha, (size_t) n);
	else
		for (int x = 0; x < n; x++)
			out[(size_t) x * step] = decoder->row_alpha[x];
}

/* Read all rows of an image that is not interlaced. */
static void
read_rows(Decoder *decoder)
{
	bool plain =
		decoder->color_type == PNG_COLOR_TYPE_GRAY && !decoder->indexed && !decoder->keyed && decoder->bit_depth == 8;

	for (int y = 0; y < decoder->height; y++)
	{
		uint8_t *gray = decoder->gray + (size_t) y * decoder->width;

		image_poll(decoder->context.allocator);
		if (plain)
		{
			png_read_row(decoder->png, gray, NULL);
			continue;
		}
		png_read_row(decoder->png, decoder->row, NULL);
		convert_row(decoder, decoder->row, decoder->width, gray, decoder->row_alpha);
		if (decoder->transparency)
			store_alpha(decoder, y, 0, 1, decoder->width);
	}
}

/* Read the seven passes of an interlaced image and put their pixels in place. */
static void
read_passes(Decoder *decoder)
{
	for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
	{
		int first = (int) PNG_PASS_START_COL(pass);
		int step = (int) PNG_PASS_COL_OFFSET(pass);
		int columns = (int) PNG_PASS_COLS(decoder->width, pass);
		int rows = (int) PNG_PASS_ROWS(decoder->height, pass);

		if (columns == 0)
			continue;
		for (int i = 0; i < rows; i++)
		{
			int y = (int) PNG_ROW_FROM_PASS_ROW(i, pass);
			uint8_t *out = decoder->gray + (size_t) y * decoder->width + first;

			image_poll(decoder->context.allocator);
			png_read_row(decoder->png, decoder->row, NULL);
			convert_row(decoder, decoder->row, columns, decoder->row_gray, decoder->row_alpha);
			for (int x = 0; x < columns; x++)
				out[(size_t) x * step] = decoder->row_gray[x];
			if (decoder->transparency)
				store_alpha(decoder, y, first, step, columns);
		}
	}
}

/* ---- the whole ---- */

/* Fill in the tables for palettes and for gray of less than 8 bits, and the fields about transparency. */
static void
prepare_colors(Decoder *decoder)
{
	png_structp png = decoder->png;
	png_infop info = decoder->info;
	bool palette = decoder->color_type == PNG_COLOR_TYPE_PALETTE;
	png_bytep opacities = NULL;
	png_color_16p key = NULL;
	int nopacities = 0;

	if (png_get_valid(png, info, PNG_INFO_tRNS))
		png_get_tRNS(png, info, &opacities, &nopacities, &key);
	decoder->indexed = palette || decoder->bit_depth < 8;
	decoder->keyed = !palette && key != NULL;
	decoder->transparency = (decoder->color_type & PNG_COLOR_MASK_ALPHA) != 0 || opacities != NULL || decoder->keyed;
	memset(decoder->index_gray, 0, sizeof(decoder->index_gray));
	memset(decoder->index_alpha, 255, sizeof(decoder->index_alpha));
	if (palette)
	{
		png_colorp colors = NULL;
		int ncolors = 0;

		png_get_PLTE(png, info, &colors, &ncolors);
		for (int i = 0; i < ncolors && i < 256; i++)
			decoder->index_gray[i] = luma(colors[i].red, colors[i].green, colors[i].blue);
		for (int i = 0; i < nopacities && i < 256; i++)
			decoder->index_alpha[i] = opacities[i];
	}
	else if (decoder->indexed)
	{
		int last = (1 << decoder->bit_depth) - 1;

		for (int i = 0; i <= last; i++)
			decoder->index_gray[i] = (uint8_t) (i * 255 / last);
		if (decoder->keyed && key->gray <= last)
			decoder->index_alpha[key->gray] = 0;
	}
	else if (decoder->keyed)
	{
		bool rgb = decoder->color_type == PNG_COLOR_TYPE_RGB;

		decoder->key[0] = rgb ? key->red : key->gray;
		decoder->key[1] = key->green;
		decoder->key[2] = key->blue;
	}
}

/* Read the whole PNG into decoder->gray and decoder->alpha.  False after an error. */
static bool
read_png(Decoder *decoder)
{
	png_structp png;
	png_infop info;

	decoder->png = png =
		png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &decoder->context, image_png_error, image_png_warning,
								 &decoder->context, image_png_allocate, image_png_release);
	if (png == NULL)
		return false;
	if (setjmp(png_jmpbuf(png)) != 0)
		return false;
	decoder->info = info = png_create_info_struct(png);
	if (info == NULL)
		return false;

	/* skip every chunk except IHDR, PLTE, tRNS, IDAT and IEND; none can be longer than the data */
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	png_set_chunk_cache_max(png, 1);
	png_set_chunk_malloc_max(png, decoder->size);
	png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
	png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
#ifdef PNG_IGNORE_ADLER32
	/* the CRCs of the chunks cover all image data already */
	png_set_option(png, PNG_IGNORE_ADLER32, PNG_OPTION_ON);
#endif
	png_set_read_fn(png, decoder, read_bytes);

	png_read_info(png, info);
	decoder->color_type = png_get_color_type(png, info);
	decoder->bit_depth = png_get_bit_depth(png, info);
	png_set_packing(png);
	prepare_colors(decoder);
	png_read_update_info(png, info);

	decoder->gray = png_malloc(png, (size_t) decoder->width * decoder->height);
	decoder->row = png_malloc(png, png_get_rowbytes(png, info));
	decoder->row_gray = png_malloc(png, decoder->width);
	decoder->row_alpha = png_malloc(png, decoder->width);
	if (png_get_interlace_type(png, info) == PNG_INTERLACE_NONE)
		read_rows(decoder);
	else
		read_passes(decoder);
	png_read_end(png, NULL);
	return true;
}

/* Free everything, the gray plane only if it is not the result. */
static void
clean_up(Decoder *decoder, bool keep_gray)
{
	uint8_t *blocks[] = {decoder->row, decoder->row_gray, decoder->row_alpha, decoder->alpha,
						 keep_gray ? NULL : decoder->gray};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		if (blocks[i] != NULL)
			decoder->context.allocator->release(decoder->context.allocator->context, blocks[i]);
	if (decoder->png != NULL)
		png_destroy_read_struct(&decoder->png, &decoder->info, NULL);
}

/* Check signature and size from the first bytes; nothing is allocated. */
static ImageStatus
check_header(const uint8_t *data, size_t size, size_t max_pixels, Decoder *decoder)
{
	ImageError *error = decoder->context.error;
	uint32_t width;
	uint32_t height;

	image_error_clear(error);
	if (!image_is_png(data, size))
	{
		image_error_detail(error, "It has %zu bytes and no PNG signature.", size);
		return image_fail(error, IMAGE_ERR_FORMAT, "image is neither a PNG nor 784 raw bytes");
	}
	if (size < HEADER_SIZE)
	{
		image_error_detail(error, "It ends after %zu bytes.", size);
		return image_fail(error, IMAGE_ERR_CORRUPT, "PNG image is truncated");
	}
	if (memcmp(data + SIGNATURE_SIZE, "\0\0\0\rIHDR", 8) != 0)
	{
		image_error_detail(error, "The first chunk is not a header.");
		return image_fail(error, IMAGE_ERR_CORRUPT, "PNG image is damaged");
	}
	width = get_u32_big(data + SIGNATURE_SIZE + 8);
	height = get_u32_big(data + SIGNATURE_SIZE + 12);
	if (width == 0 || height == 0)
	{
		image_error_detail(error, "Its header says %u x %u pixels.", width, height);
		return image_fail(error, IMAGE_ERR_CORRUPT, "PNG image is damaged");
	}
	if ((uint64_t) width * height > max_pixels)
	{
		image_error_detail(error, "It has %u x %u pixels; at most %zu are allowed.", width, height, max_pixels);
		return image_fail(error, IMAGE_ERR_LIMIT, "image has too many pixels");
	}
	if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
	{
		image_error_detail(error, "It has %u x %u pixels; at most %d are allowed along a side.", width, height,
						   IMAGE_MAX_SIDE);
		return image_fail(error, IMAGE_ERR_LIMIT, "image has too many pixels");
	}
	decoder->width = (int) width;
	decoder->height = (int) height;
	return IMAGE_OK;
}

bool
image_is_png(const uint8_t *data, size_t size)
{
	return size >= SIGNATURE_SIZE && memcmp(data, "\211PNG\r\n\032\n", SIGNATURE_SIZE) == 0;
}

ImageStatus
image_decode(const uint8_t *data, size_t size, size_t max_pixels, const ImageAllocator *allocator, ImageInk *image,
			 ImageError *error)
{
	Decoder decoder = {.context = {.allocator = allocator, .error = error}, .data = data, .size = size};
	ImageStatus status = check_header(data, size, max_pixels, &decoder);

	if (status != IMAGE_OK)
		return status;
	if (!read_png(&decoder))
	{
		clean_up(&decoder, false);
		if (decoder.context.refused != 0)
			return image_fail_memory(error, decoder.context.refused);
		if (decoder.truncated)
		{
			image_error_detail(error, "It ends after %zu bytes.", size);
			return image_fail(error, IMAGE_ERR_CORRUPT, "PNG image is truncated");
		}
		return image_fail(error, IMAGE_ERR_CORRUPT, "PNG image is damaged");
	}
	image->width = decoder.width;
	image->height = decoder.height;
	image->size = decoder.position;
	image->inverted = image_separate_ink(decoder.gray, decoder.alpha, decoder.width, decoder.height, allocator);
	image->ink = decoder.gray;
	clean_up(&decoder, true);
	return IMAGE_OK;
}
