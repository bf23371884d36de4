/*
 * errors.h: from the plain libraries' status codes to SQLSTATEs.
 */
#ifndef PG_ERRORS_H
#define PG_ERRORS_H

#include "postgres.h"

#include "image/error.h"
#include "nn/nn.h"
#include "pg/compat.h"

/*
 * Throw what a function of src/nn reported: ERRCODE_INVALID_PARAMETER_VALUE, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
 * ERRCODE_INVALID_BINARY_REPRESENTATION or ERRCODE_FEATURE_NOT_SUPPORTED.
 */
extern void nn_throw(const NnError *error) pg_attribute_noreturn();

/* Parse the text of a network; throws what is wrong with it. */
extern void nn_parse(NnNet *net, const char *text);

/*
 * As nn_throw, for src/image, with a hint unless it is NULL: ERRCODE_INVALID_BINARY_REPRESENTATION,
 * ERRCODE_PROGRAM_LIMIT_EXCEEDED or ERRCODE_OUT_OF_MEMORY.
 */
extern void image_throw(const ImageError *error, const char *hint) pg_attribute_noreturn();

#endif /* PG_ERRORS_H */
