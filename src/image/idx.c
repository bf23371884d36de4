/*
 * idx.c: the IDX files that MNIST is published in (http://yann.lecun.com/exdb/mnist/, "file format").
 *
 * Big-endian: two zero bytes, the type of the data (8: unsigned byte), the number of dimensions, the size of each
 * dimension as 32 bits, then the data.  Only the two kinds that MNIST uses are read.
 */
#include "image/idx.h"
#include "util/bytes.h"

#include <string.h>

#define IDX_TYPE_BYTE 8
#define IDX_MAX_LABEL 9
#define SLICE \
	(256 * 1024) /* bytes read between two calls of poll: a compressed file can be all input and no output */

static const char *
kind_name(IdxKind kind)
{
	return kind == IDX_IMAGES ? "images" : "labels";
}

static ImageStatus
truncated(const IdxReader *reader, ImageError *error, const char *detail)
{
	image_error_detail(error, "%s", detail);
	return image_fail(error, IMAGE_ERR_CORRUPT, "IDX file of %s is truncated", kind_name(reader->kind));
}

static ImageStatus
damaged(const IdxReader *reader, ImageError *error, const char *detail)
{
	image_error_detail(error, "%s", detail);
	return image_fail(error, IMAGE_ERR_CORRUPT, "IDX file of %s is damaged", kind_name(reader->kind));
}

/* The allocator for zlib; it calls ours. */
static voidpf
allocate(voidpf opaque, uInt items, uInt size)
{
	const ImageAllocator *allocator = opaque;

	return allocator->allocate(allocator->context, (size_t) items * size);
}

static void
release(voidpf opaque, voidpf pointer)
{
	const ImageAllocator *allocator = opaque;

	allocator->release(allocator->context, pointer);
}

/* When a slice of the input is used up, go on to the next, if there is one. */
static void
next_slice(IdxReader *reader)
{
	z_stream *stream = &reader->stream;
	size_t size = reader->behind < SLICE ? reader->behind : SLICE;

	if (stream->avail_in > 0)
		return;
	image_poll(reader->allocator);
	stream->avail_in = (uInt) size;
	reader->behind -= size;
}

/* Copy exactly n bytes of an uncompressed file; false if it ends before. */
static bool
copy_bytes(IdxReader *reader, uint8_t *out, size_t n)
{
	z_stream *stream = &reader->stream;

	while (n > 0)
	{
		size_t part;

		next_slice(reader);
		part = n < stream->avail_in ? n : stream->avail_in;
		if (part == 0)
			return false;
		memcpy(out, stream->next_in, part);
		stream->next_in += part;
		stream->avail_in -= (uInt) part;
		out += part;
		n -= part;
	}
	return true;
}

/* Read exactly n bytes, decompressing if necessary. */
static ImageStatus
read_bytes(IdxReader *reader, uint8_t *out, size_t n, ImageError *error)
{
	z_stream *stream = &reader->stream;
	int rc;

	if (!reader->compressed)
	{
		if (!copy_bytes(reader, out, n))
			return truncated(reader, error, "It ends before all of what its header announces.");
		return IMAGE_OK;
	}

	stream->next_out = out;
	stream->avail_out = (uInt) n;
	while (stream->avail_out > 0)
	{
		if (reader->ended)
			return truncated(reader, error, "It ends before all of what its header announces.");
		next_slice(reader);
		rc = inflate(stream, Z_SYNC_FLUSH);
		if (rc == Z_STREAM_END)
			reader->ended = true;
		else if (rc == Z_MEM_ERROR)
			return image_fail(error, IMAGE_ERR_MEMORY, "out of memory");
		else if (rc == Z_BUF_ERROR)
			return truncated(reader, error, "The gzip stream ends early.");
		else if (rc != Z_OK)
			return damaged(reader, error, "The gzip stream is damaged.");
	}
	return IMAGE_OK;
}

/* Check magic and dimensions, and note the number of items. */
static ImageStatus
read_header(IdxReader *reader, ImageError *error)
{
	uint8_t magic[4];
	uint8_t dimensions[4 * IDX_IMAGES];
	uint32_t nitems;
	ImageStatus status;

	status = read_bytes(reader, magic, sizeof(magic), error);
	if (status != IMAGE_OK)
		return status;
	if (magic[0] != 0 || magic[1] != 0)
	{
		image_error_detail(error, "It does not begin as an IDX file does.");
		return image_fail(error, IMAGE_ERR_FORMAT, "not an IDX file of %s", kind_name(reader->kind));
	}
	if (magic[2] != IDX_TYPE_BYTE || magic[3] != reader->kind)
	{
		image_error_detail(error, "Its magic number is 0x%08x; that of %s is 0x%08x.", (unsigned) get_u32_big(magic),
						   kind_name(reader->kind), (unsigned) (IDX_TYPE_BYTE << 8 | reader->kind));
		return image_fail(error, IMAGE_ERR_FORMAT, "not an IDX file of %s", kind_name(reader->kind));
	}

	status = read_bytes(reader, dimensions, 4 * (size_t) reader->kind, error);
	if (status != IMAGE_OK)
		return status;
	nitems = get_u32_big(dimensions);
	if (reader->kind == IDX_IMAGES &&
		(get_u32_big(dimensions + 4) != IMAGE_SIDE || get_u32_big(dimensions + 8) != IMAGE_SIDE))
	{
		image_error_detail(error, "They are %u x %u pixels.", (unsigned) get_u32_big(dimensions + 8),
						   (unsigned) get_u32_big(dimensions + 4));
		return image_fail(error, IMAGE_ERR_FORMAT, "images of the IDX file are not %d x %d pixels", IMAGE_SIDE,
						  IMAGE_SIDE);
	}
	if (nitems == 0)
		return image_fail(error, IMAGE_ERR_CORRUPT, "IDX file of %s is empty", kind_name(reader->kind));
	if (nitems > IDX_MAX_ITEMS)
	{
		image_error_detail(error, "Its header announces %u; the limit is %d.", (unsigned) nitems, IDX_MAX_ITEMS);
		return image_fail(error, IMAGE_ERR_LIMIT, "IDX file has too many %s", kind_name(reader->kind));
	}
	reader->nitems = (int) nitems;
	return IMAGE_OK;
}

ImageStatus
idx_open(IdxReader *reader, IdxKind kind, const uint8_t *data, size_t size, const ImageAllocator *allocator,
		 ImageError *error)
{
	z_stream *stream = &reader->stream;
	ImageStatus status;

	image_error_clear(error);
	memset(reader, 0, sizeof(*reader));
	reader->kind = kind;
	reader->item_size = kind == IDX_IMAGES ? IMAGE_PIXELS : 1;
	stream->next_in = (z_const Bytef *) data;
	reader->behind = size;
	reader->allocator = allocator;

	if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b)
	{
		reader->compressed = true;
		stream->zalloc = allocate;
		stream->zfree = release;
		stream->opaque = (voidpf) allocator;
		if (inflateInit2(stream, 16 + MAX_WBITS) != Z_OK)
			return image_fail(error, IMAGE_ERR_MEMORY, "out of memory");
	}

	status = read_header(reader, error);
	if (status != IMAGE_OK)
		idx_close(reader);
	return status;
}

ImageStatus
idx_read(IdxReader *reader, uint8_t *item, ImageError *error)
{
	ImageStatus status;

	image_error_clear(error);
	status = read_bytes(reader, item, reader->item_size, error);
	if (status != IMAGE_OK)
		return status;
	if (reader->kind == IDX_LABELS && item[0] > IDX_MAX_LABEL)
	{
		image_error_detail(error, "Label %d, counted from 0, is %d; labels are 0 to %d.", reader->next, item[0],
						   IDX_MAX_LABEL);
		return image_fail(error, IMAGE_ERR_CORRUPT, "IDX file of labels has one out of range");
	}
	reader->next++;
	return IMAGE_OK;
}

ImageStatus
idx_finish(IdxReader *reader, ImageError *error)
{
	z_stream *stream = &reader->stream;
	uint8_t more;

	image_error_clear(error);
	if (reader->compressed && !reader->ended)
	{
		int rc;

		/* The rest of the stream must be its end and its checksum, not one byte of data. */
		stream->next_out = &more;
		stream->avail_out = 1;
		do
		{
			next_slice(reader);
			rc = inflate(stream, Z_SYNC_FLUSH);
		} while (rc == Z_OK && stream->avail_out == 1 && (stream->avail_in > 0 || reader->behind > 0));
		if (rc == Z_BUF_ERROR || (rc == Z_OK && stream->avail_out == 1))
			return truncated(reader, error, "The gzip stream ends early.");
		if (rc == Z_MEM_ERROR)
			return image_fail(error, IMAGE_ERR_MEMORY, "out of memory");
		if (rc != Z_OK && rc != Z_STREAM_END)
			return damaged(reader, error, "The gzip stream is damaged.");
		if (stream->avail_out == 0)
			return damaged(reader, error, "It is longer than its header announces.");
		reader->ended = true;
	}
	if (stream->avail_in > 0 || reader->behind > 0)
		return damaged(reader, error, "It is longer than its header announces.");
	return IMAGE_OK;
}

void
idx_close(IdxReader *reader)
{
	if (reader->compressed)
		inflateEnd(&reader->stream);
	reader->compressed = false;
}

bool
idx_is(IdxKind kind, const uint8_t *data, size_t size, const ImageAllocator *allocator)
{
	IdxReader reader;
	ImageError error;

	if (idx_open(&reader, kind, data, size, allocator, &error) != IMAGE_OK)
		return false;
	idx_close(&reader);
	return true;
}
