/*
 * safetensors.c: a network's values as a safetensors file, a format that most machine-learning programs read.
 *
 *		offset	bytes
 *		0		8		bytes of the header, little-endian
 *		8		...		header: JSON, begins with "{", may end in spaces
 *		...		...		the tensors' data, one after another
 *
 * The format is Hugging Face's (https://github.com/huggingface/safetensors).  In a file that we write, the data is
 * "values" unchanged, the header names the tensors in it, and the header's metadata has a CRC-32 of the data.  In a
 * file that we read, the tensors may lie in any order, but must fill the data without gap or overlap.  The CRC-32 is
 * checked if there is one.
 *
 * The reader accepts only the JSON of such headers: an object of objects with known members.  It allocates nothing,
 * does not recurse, and checks the header's length before it reads any byte of it.  It first parses the whole header,
 * then compares it with the network.
 */
#include "nn/formats/safetensors.h"
#include "nn/formats/tensor.h"
#include "nn/nn.h"
#include "util/bytes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define FORMAT_VERSION "1"
#define KEY_VERSION "format_version"
#define KEY_NETWORK "network"
#define KEY_CHECKSUM "crc32" /* of the data, eight hexadecimal digits */

#define AT_HEADER 8				/* where the header begins */
#define HEADER_MAX (128 * 1024) /* bytes; the largest header that we write has a third of that */
#define HEADER_ALIGN 8
#define DIMS_MAX 4
#define METADATA_MAX 64 /* entries */
#define DIGITS_MAX 15	/* of a number: JSON's numbers are doubles, which hold 15 digits exactly */
#define VALUE_SIZE 4

/* ---- writing ---- */

typedef struct Writer
{
	uint8_t *out; /* NULL: only count */
	size_t len;
} Writer;

static void
put(Writer *w, const char *text)
{
	size_t len = strlen(text);

	if (w->out)
		memcpy(w->out + w->len, text, len);
	w->len += len;
}

static void
put_number(Writer *w, size_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%zu", number);
	put(w, digits);
}

static void
put_tensor(Writer *w, const NnTensor *tensor)
{
	put(w, ",\"");
	put(w, tensor->name);
	put(w, "\":{\"dtype\":\"F32\",\"shape\":[");
	for (int d = 0; d < tensor->ndims; d++)
	{
		put(w, d > 0 ? "," : "");
		put_number(w, (size_t) tensor->dims[d]);
	}
	put(w, "],\"data_offsets\":[");
	put_number(w, tensor->offset * VALUE_SIZE);
	put(w, ",");
	put_number(w, (tensor->offset + tensor->count) * VALUE_SIZE);
	put(w, "]}");
}

/* The description needs no escapes: it consists of letters, digits, spaces, commas and points. */
static void
put_header(Writer *w, const NnNet *net, uint32_t checksum)
{
	char text[NN_MAX_TEXT * 2];
	char digits[16];

	nn_net_format(net, text, sizeof(text));
	put(w, "{\"__metadata__\":{\"" KEY_VERSION "\":\"" FORMAT_VERSION "\",\"" KEY_NETWORK "\":\"");
	put(w, text);
	snprintf(digits, sizeof(digits), "%08lx", (unsigned long) checksum);
	put(w, "\",\"" KEY_CHECKSUM "\":\"");
	put(w, digits);
	put(w, "\"}");
	for (int i = 0; i < net->nlayers; i++)
	{
		for (int part = 0; part < NN_NPARTS; part++)
		{
			NnTensor tensor;

			if (nn_tensor(net, i, (NnPart) part, &tensor))
				put_tensor(w, &tensor);
		}
	}
	put(w, "}");
	while (w->len % HEADER_ALIGN != 0)
		put(w, " ");
}

static uint32_t
data_checksum(const uint8_t *data, size_t size)
{
	return (uint32_t) crc32_z(crc32_z(0, NULL, 0), data, size);
}

size_t
nn_safetensors_size(const NnNet *net)
{
	Writer w = {NULL, 0};

	put_header(&w, net, 0);
	return AT_HEADER + w.len + net->nvalues * VALUE_SIZE;
}

void
nn_safetensors_write(const NnNet *net, const float *values, void *out)
{
	uint8_t *file = out;
	size_t data_size = net->nvalues * VALUE_SIZE;
	uint8_t *data = file + nn_safetensors_size(net) - data_size;
	Writer w = {file + AT_HEADER, 0};

	for (size_t i = 0; i < net->nvalues; i++)
		put_float32(data + i * VALUE_SIZE, values[i]);
	put_header(&w, net, data_checksum(data, data_size));
	put_u32(file, (uint32_t) w.len);
	put_u32(file + 4, 0);
}

/* ---- reading: JSON ---- */

/* A string's bytes in the header, between its quotes. */
typedef struct Text
{
	const char *start;
	size_t len;
	bool escaped; /* there are escapes in it */
} Text;

/* A tensor's entry in the header. */
typedef struct Entry
{
	Text name;
	Text dtype;
	int ndims;
	uint64_t dims[DIMS_MAX];
	uint64_t begin; /* in the data */
	uint64_t end;
} Entry;

typedef struct Header
{
	const char *text;
	size_t len;
	size_t pos;
	Text version; /* start NULL: not there */
	Text network;
	Text checksum;
	bool metadata;
	int nentries;
	Entry entries[NN_MAX_TENSORS];
	NnError *error;
} Header;

static NnStatus
fail_here(const Header *h, const char *what)
{
	return nn_fail(h->error, NN_ERR_CORRUPT, "safetensors header is invalid at byte %zu: %s", h->pos, what);
}

static bool
same(const Text *text, const char *word)
{
	return text->len == strlen(word) && memcmp(text->start, word, text->len) == 0;
}

static bool
same_text(const Text *a, const Text *b)
{
	return a->len == b->len && memcmp(a->start, b->start, a->len) == 0;
}

/* A copy for an error message; bytes other than printable ASCII become "?". */
static const char *
printable(const Text *text, char out[NN_TENSOR_NAME])
{
	size_t n = text->len < NN_TENSOR_NAME - 1 ? text->len : NN_TENSOR_NAME - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = text->start[i] >= ' ' && text->start[i] <= '~' ? text->start[i] : '?';
	out[n] = '\0';
	return out;
}

/* The character at the position, or NUL at the end. */
static char
peek(const Header *h)
{
	return h->pos < h->len ? h->text[h->pos] : '\0';
}

static void
skip_space(Header *h)
{
	while (peek(h) == ' ' || peek(h) == '\t' || peek(h) == '\n' || peek(h) == '\r')
		h->pos++;
}

/* Skip space; if the next character is the given one, skip it and return true. */
static bool
accept(Header *h, char c)
{
	skip_space(h);
	if (h->pos >= h->len || h->text[h->pos] != c)
		return false;
	h->pos++;
	return true;
}

/* Read four hexadecimal digits; returns their value, or -1 if they are something else. */
static int
read_hex(Header *h)
{
	int value = 0;

	for (int i = 0; i < 4; i++, h->pos++)
	{
		char c = peek(h);

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			value = value * 16 + ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* Skip an escape, from behind its backslash; false if it is invalid.  Surrogates must come in pairs. */
static bool
skip_escape(Header *h)
{
	char c = peek(h);
	int unit;

	h->pos++;
	if (c != 'u')
		return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
	unit = read_hex(h);
	if (unit < 0xd800 || unit > 0xdfff)
		return unit >= 0;
	if (unit > 0xdbff || peek(h) != '\\')
		return false;
	h->pos++;
	if (peek(h) != 'u')
		return false;
	h->pos++;
	unit = read_hex(h);
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static NnStatus
read_string(Header *h, Text *text)
{
	if (!accept(h, '"'))
		return fail_here(h, "expected a string");
	text->start = h->text + h->pos;
	text->escaped = false;
	while (h->pos < h->len && h->text[h->pos] != '"')
	{
		unsigned char c = (unsigned char) h->text[h->pos];

		if (c < 0x20)
			return fail_here(h, "control character in a string");
		h->pos++;
		if (c == '\\')
		{
			text->escaped = true;
			if (!skip_escape(h))
				return fail_here(h, "invalid escape in a string");
		}
	}
	text->len = (size_t) (h->text + h->pos - text->start);
	if (!accept(h, '"'))
		return fail_here(h, "unterminated string");
	return NN_OK;
}

/* Read a string without escapes.  Names must not have any: a name could then be spelt in two ways. */
static NnStatus
read_plain_string(Header *h, Text *text)
{
	NnStatus status = read_string(h, text);

	if (status == NN_OK && text->escaped)
		return fail_here(h, "escape in a name");
	return status;
}

static NnStatus
read_number(Header *h, uint64_t *number)
{
	size_t start;

	skip_space(h);
	start = h->pos;
	*number = 0;
	for (; peek(h) >= '0' && peek(h) <= '9'; h->pos++)
	{
		if (h->pos - start == DIGITS_MAX)
			return fail_here(h, "number too large");
		*number = *number * 10 + (uint64_t) (peek(h) - '0');
	}
	if (h->pos == start)
		return fail_here(h, "expected a whole number");
	if (h->text[start] == '0' && h->pos - start > 1)
		return fail_here(h, "leading zero");
	return NN_OK;
}

/* Read an array of at most max numbers. */
static NnStatus
read_numbers(Header *h, uint64_t *numbers, int max, int *n)
{
	*n = 0;
	if (!accept(h, '['))
		return fail_here(h, "expected an array of numbers");
	if (accept(h, ']'))
		return NN_OK;
	do
	{
		NnStatus status;

		if (*n == max)
			return fail_here(h, "too many numbers");
		status = read_number(h, &numbers[(*n)++]);
		if (status != NN_OK)
			return status;
	} while (accept(h, ','));
	return accept(h, ']') ? NN_OK : fail_here(h, "expected a comma or a bracket");
}

/* Read an object.  read_member is called for each member, with its name; it must read the value. */
static NnStatus
read_object(Header *h, NnStatus (*read_member)(Header *, const Text *name, void *object), void *object)
{
	if (!accept(h, '{'))
		return fail_here(h, "expected an object");
	if (accept(h, '}'))
		return NN_OK;
	do
	{
		Text name;
		NnStatus status = read_plain_string(h, &name);

		if (status == NN_OK && !accept(h, ':'))
			status = fail_here(h, "expected a colon");
		if (status == NN_OK)
			status = read_member(h, &name, object);
		if (status != NN_OK)
			return status;
	} while (accept(h, ','));
	return accept(h, '}') ? NN_OK : fail_here(h, "expected a comma or a brace");
}

/* ---- reading: the header ---- */

typedef struct Names
{
	Text names[METADATA_MAX];
	int n;
} Names;

static NnStatus
read_metadata_member(Header *h, const Text *name, void *object)
{
	Names *seen = object;
	Text value;

	for (int i = 0; i < seen->n; i++)
	{
		if (same_text(&seen->names[i], name))
			return fail_here(h, "duplicate name in the metadata");
	}
	if (seen->n == METADATA_MAX)
		return fail_here(h, "too many metadata");
	seen->names[seen->n++] = *name;

	if (same(name, KEY_VERSION))
		return read_plain_string(h, &h->version);
	if (same(name, KEY_NETWORK))
		return read_plain_string(h, &h->network);
	if (same(name, KEY_CHECKSUM))
		return read_plain_string(h, &h->checksum);
	return read_string(h, &value);
}

/* The members of a tensor's object, as bits. */
enum
{
	HAS_DTYPE = 1,
	HAS_SHAPE = 2,
	HAS_OFFSETS = 4,
	HAS_ALL = 7
};

typedef struct EntryMembers
{
	Entry *entry;
	int has;
} EntryMembers;

static NnStatus
read_entry_member(Header *h, const Text *name, void *object)
{
	EntryMembers *members = object;
	Entry *entry = members->entry;
	NnStatus status = NN_OK;
	int member;

	if (same(name, "dtype"))
		member = HAS_DTYPE;
	else if (same(name, "shape"))
		member = HAS_SHAPE;
	else if (same(name, "data_offsets"))
		member = HAS_OFFSETS;
	else
		return fail_here(h, "expected dtype, shape or data_offsets");
	if (members->has & member)
		return fail_here(h, "duplicate name in a tensor's object");
	members->has |= member;

	if (member == HAS_DTYPE)
		status = read_plain_string(h, &entry->dtype);
	else if (member == HAS_SHAPE)
		status = read_numbers(h, entry->dims, DIMS_MAX, &entry->ndims);
	else
	{
		uint64_t offsets[2];
		int n;

		status = read_numbers(h, offsets, 2, &n);
		if (status == NN_OK && n != 2)
			return fail_here(h, "data_offsets are not two");
		entry->begin = offsets[0];
		entry->end = offsets[1];
	}
	return status;
}

static NnStatus
read_header_member(Header *h, const Text *name, void *object)
{
	EntryMembers members = {NULL, 0};
	NnStatus status;

	(void) object;
	if (same(name, "__metadata__"))
	{
		Names seen = {.n = 0};

		if (h->metadata)
			return fail_here(h, "duplicate __metadata__");
		h->metadata = true;
		return read_object(h, read_metadata_member, &seen);
	}

	for (int i = 0; i < h->nentries; i++)
	{
		if (same_text(&h->entries[i].name, name))
			return fail_here(h, "duplicate tensor");
	}
	if (h->nentries == NN_MAX_TENSORS)
		return fail_here(h, "too many tensors");
	members.entry = &h->entries[h->nentries++];
	members.entry->name = *name;
	status = read_object(h, read_entry_member, &members);
	if (status == NN_OK && members.has != HAS_ALL)
		return fail_here(h, "a tensor lacks dtype, shape or data_offsets");
	return status;
}

/* Bytes of the UTF-8 character at s; 0 if it is invalid: overlong, a surrogate, beyond U+10FFFF or cut off. */
static size_t
utf8_length(const uint8_t *s, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
	uint32_t code = s[0];

	if (n <= 1)
		return n;
	if (n > left)
		return 0;
	code &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	return code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : n;
}

static NnStatus
read_header(Header *h)
{
	NnStatus status;

	for (size_t i = 0; i < h->len;)
	{
		size_t n = utf8_length((const uint8_t *) h->text + i, h->len - i);

		if (n == 0)
		{
			h->pos = i;
			return fail_here(h, "not UTF-8");
		}
		i += n;
	}
	if (peek(h) != '{')
		return fail_here(h, "expected an object");
	status = read_object(h, read_header_member, NULL);
	if (status != NN_OK)
		return status;
	while (peek(h) == ' ')
		h->pos++;
	return h->pos == h->len ? NN_OK : fail_here(h, "something stands behind the object");
}

/* ---- reading: comparing with the network ---- */

/* Check that the file was written for this network. */
static NnStatus
check_metadata(const Header *h, const NnNet *net, NnError *error)
{
	NnNet own;
	NnError parse_error;
	char wanted[NN_MAX_TEXT * 2];
	char found[NN_MAX_TEXT * 2];
	char version[NN_TENSOR_NAME];

	if (h->version.start == NULL || h->network.start == NULL)
		return nn_fail(error, NN_ERR_CORRUPT,
					   "safetensors file lacks the metadata \"" KEY_VERSION "\" and \"" KEY_NETWORK "\"");
	if (!same(&h->version, FORMAT_VERSION))
		return nn_fail(error, NN_ERR_VERSION,
					   "safetensors file has format version \"%s\", but only " FORMAT_VERSION " is supported",
					   printable(&h->version, version));
	if (nn_net_parse(&own, h->network.start, h->network.len, &parse_error) != NN_OK)
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file has an invalid network: %.180s", parse_error.message);
	nn_net_format(&own, found, sizeof(found));
	nn_net_format(net, wanted, sizeof(wanted));
	if (strcmp(found, wanted) != 0)
		return nn_fail(error, NN_ERR_SYNTAX, "safetensors file is of network \"%.80s%s\", not \"%.80s%s\"", found,
					   strlen(found) > 80 ? "..." : "", wanted, strlen(wanted) > 80 ? "..." : "");
	return NN_OK;
}

/* Check that the tensors fill the data from its beginning to its end. */
static NnStatus
check_extent(const Header *h, size_t size, NnError *error)
{
	const Entry *sorted[NN_MAX_TENSORS];
	uint64_t pos = 0;
	char name[NN_TENSOR_NAME];

	for (int i = 0; i < h->nentries; i++)
	{
		int at = i;

		for (; at > 0 && sorted[at - 1]->begin > h->entries[i].begin; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &h->entries[i];
	}
	for (int i = 0; i < h->nentries; i++)
	{
		const Entry *entry = sorted[i];

		if (entry->begin > entry->end || entry->end > size)
			return nn_fail(error, NN_ERR_CORRUPT, "tensor \"%s\" of safetensors file lies outside its data",
						   printable(&entry->name, name));
		if (entry->begin != pos)
			return nn_fail(error, NN_ERR_CORRUPT, "tensor \"%s\" of safetensors file %s",
						   printable(&entry->name, name),
						   entry->begin < pos ? "overlaps another" : "leaves a gap before it");
		pos = entry->end;
	}
	if (pos != size)
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file has data behind its last tensor");
	return NN_OK;
}

/* Find a tensor of the network in the header; check its type, shape and size. */
static NnStatus
find_entry(const Header *h, const NnTensor *tensor, const Entry **found, NnError *error)
{
	const Entry *entry = NULL;
	bool fits;

	for (int i = 0; i < h->nentries && entry == NULL; i++)
	{
		if (same(&h->entries[i].name, tensor->name))
			entry = &h->entries[i];
	}
	if (entry == NULL)
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file lacks tensor \"%s\"", tensor->name);
	if (!same(&entry->dtype, "F32"))
		return nn_fail(error, NN_ERR_CORRUPT, "tensor \"%s\" of safetensors file is not of dtype F32", tensor->name);
	fits = entry->ndims == tensor->ndims;
	for (int d = 0; fits && d < tensor->ndims; d++)
		fits = entry->dims[d] == (uint64_t) tensor->dims[d];
	if (!fits)
		return nn_fail(error, NN_ERR_CORRUPT, "tensor \"%s\" of safetensors file is not of the network's shape",
					   tensor->name);
	if (entry->end - entry->begin != tensor->count * VALUE_SIZE)
		return nn_fail(error, NN_ERR_CORRUPT, "tensor \"%s\" of safetensors file is not of its shape's size",
					   tensor->name);
	*found = entry;
	return NN_OK;
}

/* Copy a tensor's values; fail if one is not finite or, in a variance, negative. */
static NnStatus
read_values(const NnTensor *tensor, bool variance, const uint8_t *data, float *values, NnError *error)
{
	float *out = values + tensor->offset;

	for (size_t i = 0; i < tensor->count; i++)
	{
		out[i] = get_float32(data + i * VALUE_SIZE);
		if (!isfinite(out[i]))
			return nn_fail(error, NN_ERR_CORRUPT,
						   "tensor \"%s\" of safetensors file contains a value that is not a "
						   "finite number",
						   tensor->name);
		if (variance && out[i] < 0.0f)
			return nn_fail(error, NN_ERR_CORRUPT, "tensor \"%s\" of safetensors file contains a negative variance",
						   tensor->name);
	}
	return NN_OK;
}

/* Compare the data with the checksum, if there is one: files of other programs have none. */
static NnStatus
check_data(const Header *h, const uint8_t *data, size_t size, NnError *error)
{
	char digits[16];

	snprintf(digits, sizeof(digits), "%08lx", (unsigned long) data_checksum(data, size));
	if (h->checksum.start != NULL && !same(&h->checksum, digits))
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file is damaged: its data does not match its checksum");
	return NN_OK;
}

/* Read every tensor of the network; fail if the file has others. */
static NnStatus
read_tensors(const Header *h, const NnNet *net, const uint8_t *data, float *values, NnError *error)
{
	int ntensors = 0;

	for (int i = 0; i < net->nlayers; i++)
	{
		for (int part = 0; part < NN_NPARTS; part++)
		{
			NnTensor tensor;
			const Entry *entry = NULL;
			NnStatus status;

			if (!nn_tensor(net, i, (NnPart) part, &tensor))
				continue;
			ntensors++;
			status = find_entry(h, &tensor, &entry, error);
			if (status == NN_OK)
				status = read_values(&tensor, part == NN_PART_VAR, data + entry->begin, values, error);
			if (status != NN_OK)
				return status;
		}
	}
	if (h->nentries != ntensors)
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file has %d tensors, but its network has %d", h->nentries,
					   ntensors);
	return NN_OK;
}

NnStatus
nn_safetensors_read(const NnNet *net, const void *file, size_t size, float *values, NnError *error)
{
	const uint8_t *bytes = file;
	Header h = {.error = error};
	uint64_t len;
	const uint8_t *data;
	NnStatus status;

	nn_error_clear(error);
	if (size < AT_HEADER)
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file is truncated");
	len = get_u32(bytes) | (uint64_t) get_u32(bytes + 4) << 32;
	if (len > HEADER_MAX)
		return nn_fail(error, NN_ERR_CORRUPT,
					   "safetensors file is damaged or none: its header of %llu bytes exceeds the limit of %d",
					   (unsigned long long) len, HEADER_MAX);
	if (len > size - AT_HEADER)
		return nn_fail(error, NN_ERR_CORRUPT, "safetensors file is truncated");

	h.text = (const char *) bytes + AT_HEADER;
	h.len = (size_t) len;
	data = bytes + AT_HEADER + h.len;
	status = read_header(&h);
	if (status == NN_OK)
		status = check_metadata(&h, net, error);
	if (status == NN_OK)
		status = check_extent(&h, size - AT_HEADER - h.len, error);
	if (status == NN_OK)
		status = check_data(&h, data, size - AT_HEADER - h.len, error);
	if (status == NN_OK)
		status = read_tensors(&h, net, data, values, error);
	return status;
}
