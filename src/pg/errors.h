/*
 * errors.h: throw the errors of the plain libraries, with SQLSTATEs for their status codes.
 */
#ifndef PG_ERRORS_H
#define PG_ERRORS_H

#include "postgres.h"

#include "image/error.h"
#include "nn/nn.h"
#include "pg/compat.h"

/*
 * Throw an error of src/nn: ERRCODE_INVALID_PARAMETER_VALUE, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
 * ERRCODE_INVALID_BINARY_REPRESENTATION or ERRCODE_FEATURE_NOT_SUPPORTED.
 */
extern void nn_throw(const NnError *error) pg_attribute_noreturn();

/* Parse the name or description of a network; throws if it is invalid. */
extern void nn_parse(NnNet *net, const char *text);

/*
 * Throw an error of src/image: ERRCODE_INVALID_BINARY_REPRESENTATION, ERRCODE_PROGRAM_LIMIT_EXCEEDED or
 * ERRCODE_OUT_OF_MEMORY.  hint: NULL for none.
 */
extern void image_throw(const ImageError *error, const char *hint) pg_attribute_noreturn();

#endif /* PG_ERRORS_H */
