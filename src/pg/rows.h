/*
 * rows.h: rows as results of functions.
 */
#ifndef PG_ROWS_H
#define PG_ROWS_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fmgr.h"
#include "utils/tuplestore.h"

/*
 * In a set-returning function: the tuplestore that it returns, for rows of ncolumns columns; *desc is their type.
 * ERRCODE_FEATURE_NOT_SUPPORTED if the caller does not accept a set.
 */
extern Tuplestorestate *begin_rows(FunctionCallInfo fcinfo, int ncolumns, TupleDesc *desc);

/* The row type of a function's result, which has at most ncolumns columns, in the current memory context. */
extern TupleDesc row_type(FunctionCallInfo fcinfo, int ncolumns);

/* A row of that type as the function's result. */
extern Datum make_row(TupleDesc desc, Datum *values, bool *nulls);

/* An array of n values, none of them null, palloc'd; array_type: a built-in type. */
extern Datum make_array(Datum *elements, int n, Oid array_type);

/* A real[] of n values, palloc'd. */
extern Datum make_reals(const float *values, int n);

#endif /* PG_ROWS_H */
