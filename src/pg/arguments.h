/*
 * arguments.h: checks of what SQL passes in.
 */
#ifndef PG_ARGUMENTS_H
#define PG_ARGUMENTS_H

#include "postgres.h"

/* ERRCODE_PROGRAM_LIMIT_EXCEEDED if an argument of varying length has more bytes; nothing is detoasted. */
extern void check_argument_size(Datum value, Size most, const char *name);

/* A text argument of so many bytes at most, as a string; the same error. */
extern char *text_argument(Datum value, Size most, const char *name);

/* ERRCODE_INVALID_PARAMETER_VALUE unless it is a digit. */
extern void check_label(int label);

#endif /* PG_ARGUMENTS_H */
