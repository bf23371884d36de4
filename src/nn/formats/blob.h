/*
 * blob.h: a net and its weights as bytes, the form in which the server stores them.
 */
#ifndef NN_FORMATS_BLOB_H
#define NN_FORMATS_BLOB_H

#include <stddef.h>

#include "nn/nn.h"

/*
 * A blob is self-describing: magic, format version, checksum, canonical description, and the values as little-endian
 * float32.  The same net and values give the same bytes.
 */
extern size_t nn_blob_size(const NnNet *net);
extern void nn_blob_write(const NnNet *net, const float *values, void *blob);

/* Check everything about a blob and parse its description; *values then points into it (may be unaligned). */
extern NnStatus nn_blob_read(const void *blob, size_t size, NnNet *net, const void **values, NnError *error);

/* Copy the values found by nn_blob_read to out (net->nvalues floats), in the machine's byte order. */
extern void nn_blob_values(const NnNet *net, const void *values, float *out);

#endif /* NN_FORMATS_BLOB_H */
