/*
 * spi.h: statements through SPI: with the extension's schema, typed parameters, as the caller or the owner.
 *
 * In every statement %s stands for the extension's schema.  The caller must have connected to SPI, except for
 * spi_execute_as_owner, which connects.
 */
#ifndef PG_SPI_H
#define PG_SPI_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

/* ---- statements that are planned each time ---- */

#define SPI_MAX_PARAMETERS 24

/* Parameters $1, $2, ... of a statement, added one by one.  Adding them needs no transaction and no SPI. */
typedef struct SpiParameters
{
	int n;
	Oid types[SPI_MAX_PARAMETERS];
	Datum values[SPI_MAX_PARAMETERS];
	char nulls[SPI_MAX_PARAMETERS];
} SpiParameters;

extern void spi_add(SpiParameters *parameters, Oid type, Datum value);
extern void spi_add_null(SpiParameters *parameters, Oid type);
extern void spi_add_int8(SpiParameters *parameters, int64 value);
extern void spi_add_int4(SpiParameters *parameters, int32 value);
extern void spi_add_bool(SpiParameters *parameters, bool value);

/* NULL stands for a null text. */
extern void spi_add_text(SpiParameters *parameters, const char *value);

/* An int4[] of n values. */
extern void spi_add_int4_array(SpiParameters *parameters, const int *values, int n);

/* NaN stands for an unknown figure and becomes a null real. */
extern void spi_add_float(SpiParameters *parameters, double value);

/* Run a statement; parameters: NULL for none.  Returns the number of rows. */
extern uint64 spi_execute(const char *statement, const SpiParameters *parameters);

/* The same for a statement whose only parameter is an int8. */
extern uint64 spi_execute_int8(const char *statement, int64 value);

/* A column (from 1) of the last statement's first row; throws if it is null. */
extern Datum spi_result(int column);

/* The same of any row (from 0). */
extern Datum spi_result_at(uint64 row, int column);

/* The same as text, palloc'd; NULL if it is null. */
extern char *spi_text_at(uint64 row, int column);

/* Change a setting until the transaction ends. */
extern void spi_set_local(const char *name, const char *value);

/* ---- statements that are planned once ---- */

#define SPI_MAX_PREPARED 16

/* Define one as a static variable, with text, nargs and types. */
typedef struct SpiStatement
{
	const char *text;
	int nargs;
	Oid types[SPI_MAX_PREPARED];
	SPIPlanPtr plan;
	char schema[2 * NAMEDATALEN + 3]; /* in the plan */
} SpiStatement;

/*
 * Run a statement as the extension's owner; throws if SPI's result code is not "expected".  Connects to SPI; the
 * caller reads the result and calls SPI_finish.  nulls: see SPI_execute_plan.
 */
extern void spi_execute_as_owner(SpiStatement *statement, Datum *values, const char *nulls, int expected);

#endif /* PG_SPI_H */
