/*
 * arguments.h: checks of the arguments of SQL functions.
 */
#ifndef PG_ARGUMENTS_H
#define PG_ARGUMENTS_H

#include "postgres.h"

/* ERRCODE_PROGRAM_LIMIT_EXCEEDED if a varlena argument has more than "most" bytes; nothing is detoasted. */
extern void check_argument_size(Datum value, Size most, const char *name);

/* A text argument as a string; the same error if it has more than "most" bytes. */
extern char *text_argument(Datum value, Size most, const char *name);

/* ERRCODE_INVALID_PARAMETER_VALUE unless it is a digit. */
extern void check_label(int label);

#endif /* PG_ARGUMENTS_H */
