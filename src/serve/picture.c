/*
 * picture.c: SQL functions to preprocess, show and draw images.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "image/synthetic.h"
#include "pg/arguments.h"
#include "pg/compat.h"
#include "pg/errors.h"
#include "pg/image_input.h"
#include "pg/memory.h"
#include "serve/picture.h"

#define SCALE_MAX 64 /* of mnist_png */

/* The canvas of mnist_draw. */
#define DRAW_SIDE_MIN 28
#define DRAW_SIDE_MAX 2048
static const uint8 paper[3] = {250, 249, 245};
static const uint8 pen[3] = {24, 32, 72};

PG_FUNCTION_INFO_V1(mnist_preprocess);
PG_FUNCTION_INFO_V1(mnist_hil_pixels);
PG_FUNCTION_INFO_V1(mnist_hil_readable_pixels);
PG_FUNCTION_INFO_V1(mnist_png);
PG_FUNCTION_INFO_V1(mnist_ascii);
PG_FUNCTION_INFO_V1(mnist_draw);
PG_FUNCTION_INFO_V1(mnist_hil_synthetic);

bytea *
encode_png(const uint8 *samples, int side, ImageColor color)
{
	ImageError error;
	uint8_t *png = NULL;
	size_t size = 0;
	bytea *result;

	if (image_encode(samples, side, side, color, image_allocator(), &png, &size, &error) != IMAGE_OK)
		image_throw(&error, NULL);
	result = make_bytea(png, size);
	pfree(png);
	return result;
}

/* mnist_preprocess(image): the image in MNIST's form. */
Datum
mnist_preprocess(PG_FUNCTION_ARGS)
{
	uint8 pixels[IMAGE_PIXELS];

	image_input_pixels(PG_GETARG_DATUM(0), pixels);
	PG_RETURN_BYTEA_P(make_bytea(pixels, sizeof(pixels)));
}

/* mnist_hil_pixels(image): the same for a stored image; see image_stored_source. */
Datum
mnist_hil_pixels(PG_FUNCTION_ARGS)
{
	uint8 pixels[IMAGE_PIXELS];
	ImageSource source;

	image_stored_source(PG_GETARG_DATUM(0), pixels, &source);
	PG_RETURN_BYTEA_P(make_bytea(pixels, sizeof(pixels)));
}

/* mnist_hil_readable_pixels(image): the same, but null for an image that cannot be read. */
Datum
mnist_hil_readable_pixels(PG_FUNCTION_ARGS)
{
	uint8 pixels[IMAGE_PIXELS];
	ImageSource source;
	ImageError error;

	if (image_stored_read(PG_GETARG_BYTEA_PP(0), pixels, &source, &error) != IMAGE_OK)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(make_bytea(pixels, sizeof(pixels)));
}

/* mnist_png(pixels, scale): 28 x 28 pixels as a PNG, each as a square of scale x scale. */
Datum
mnist_png(PG_FUNCTION_ARGS)
{
	Size size = toast_raw_datum_size(PG_GETARG_DATUM(0)) - VARHDRSZ;
	int scale = PG_GETARG_INT32(1);
	const uint8 *in;
	int side;
	uint8 *samples;
	bytea *png;

	if (size != IMAGE_PIXELS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pixels must be %d bytes, not %zu", IMAGE_PIXELS, size),
						errhint("mnist_preprocess gives an image's 28 x 28 pixels.")));
	if (scale < 1 || scale > SCALE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("scale must be between 1 and %d, not %d", SCALE_MAX, scale)));

	in = (const uint8 *) VARDATA_ANY(PG_GETARG_BYTEA_PP(0));
	side = IMAGE_SIDE * scale;
	samples = palloc((Size) side * side);
	for (int y = 0; y < side; y++)
	{
		for (int x = 0; x < side; x++)
			samples[(Size) y * side + x] = in[y / scale * IMAGE_SIDE + x / scale];
	}
	png = encode_png(samples, side, IMAGE_GRAY);
	pfree(samples);
	PG_RETURN_BYTEA_P(png);
}

/* mnist_ascii(image): the image in MNIST's form as 28 lines of 28 characters; denser ones stand for more ink. */
Datum
mnist_ascii(PG_FUNCTION_ARGS)
{
	static const char ramp[] = " .:-=+*#%@";
	const int nshades = sizeof(ramp) - 1;
	uint8 pixels[IMAGE_PIXELS];
	char out[IMAGE_SIDE * (IMAGE_SIDE + 1)];
	char *to = out;

	image_input_pixels(PG_GETARG_DATUM(0), pixels);
	for (int y = 0; y < IMAGE_SIDE; y++)
	{
		for (int x = 0; x < IMAGE_SIDE; x++)
			*to++ = ramp[pixels[y * IMAGE_SIDE + x] * nshades / 256];
		*to++ = '\n';
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out, to - out - 1));
}

/* mnist_draw(label, seed, side): a synthetic digit that looks handwritten, as a PNG of side x side pixels. */
Datum
mnist_draw(PG_FUNCTION_ARGS)
{
	int label = PG_GETARG_INT32(0);
	uint64 seed = (uint64) PG_GETARG_INT64(1);
	int side = PG_GETARG_INT32(2);
	Size n;
	uint8 *ink;
	uint8 *samples;
	bytea *png;

	check_label(label);
	if (side < DRAW_SIDE_MIN || side > DRAW_SIDE_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("side must be between %d and %d, not %d", DRAW_SIDE_MIN, DRAW_SIDE_MAX, side)));

	n = (Size) side * side;
	ink = palloc(n);
	samples = palloc(n * IMAGE_RGBA);
	image_draw_digit(label, seed, side, ink);
	CHECK_FOR_INTERRUPTS();
	for (Size i = 0; i < n; i++)
	{
		for (int c = 0; c < 3; c++)
			samples[i * IMAGE_RGBA + c] = (paper[c] * (255 - ink[i]) + pen[c] * ink[i] + 127) / 255;
		samples[i * IMAGE_RGBA + 3] = 255;
	}
	png = encode_png(samples, side, IMAGE_RGBA);
	pfree(samples);
	pfree(ink);
	PG_RETURN_BYTEA_P(png);
}

/* mnist_hil_synthetic(label, key): a synthetic digit in MNIST's form. */
Datum
mnist_hil_synthetic(PG_FUNCTION_ARGS)
{
	int label = PG_GETARG_INT32(0);
	uint8 pixels[IMAGE_PIXELS];
	ImageError error;

	check_label(label);
	if (image_synthetic(label, (uint64) PG_GETARG_INT64(1), image_allocator(), pixels, &error) != IMAGE_OK)
		image_throw(&error, NULL);
	PG_RETURN_BYTEA_P(make_bytea(pixels, sizeof(pixels)));
}
