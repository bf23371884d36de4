/*
 * training_sql.h: statements with parameters, for the files that read and write a run's record.
 *
 * Everything here wants SPI connected.
 */
#ifndef MNIST_HIL_TRAINING_SQL_H
#define MNIST_HIL_TRAINING_SQL_H

#include "training.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* Parameters of a statement, collected one by one. */
#define MAX_PARAMETERS 24

typedef struct Parameters
{
	int n;
	Oid types[MAX_PARAMETERS];
	Datum values[MAX_PARAMETERS];
	char nulls[MAX_PARAMETERS];
} Parameters;

static inline void
add(Parameters *parameters, Oid type, Datum value)
{
	Assert(parameters->n < MAX_PARAMETERS);
	parameters->types[parameters->n] = type;
	parameters->values[parameters->n] = value;
	parameters->nulls[parameters->n++] = ' ';
}

static inline void
add_null(Parameters *parameters, Oid type)
{
	add(parameters, type, (Datum) 0);
	parameters->nulls[parameters->n - 1] = 'n';
}

static inline void
add_int8(Parameters *parameters, int64 value)
{
	add(parameters, INT8OID, Int64GetDatum(value));
}

static inline void
add_int4(Parameters *parameters, int32 value)
{
	add(parameters, INT4OID, Int32GetDatum(value));
}

static inline void
add_text(Parameters *parameters, const char *value)
{
	add(parameters, TEXTOID, CStringGetTextDatum(value));
}

/* NaN, a figure that there is none of, is NULL in the tables. */
static inline void
add_float(Parameters *parameters, double value)
{
	if (isnan(value))
		add_null(parameters, FLOAT4OID);
	else
		add(parameters, FLOAT4OID, Float4GetDatum((float) value));
}

/* Change a setting until the transaction ends. */
static inline void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

#define RECORD_MAX_STATEMENTS 2

/* A write of a run's: statements, up to the first NULL, which have the parameters in common. */
typedef struct RecordStatements
{
	const char *sql[RECORD_MAX_STATEMENTS];
	Parameters parameters;
	bool light; /* no harm if a crash loses it */
} RecordStatements;

/* Do it as record_write does. */
extern void record_statements(int64 run_id, RecordStatements *statements);

/* Run a statement in which %s stands for the extension's schema; returns the number of rows. */
static inline uint64
execute(const char *statement, Parameters *parameters)
{
	StringInfoData sql;
	char *schema = pstrdup(schema_name());
	const char *from = statement;
	int code;

	initStringInfo(&sql);
	for (const char *at; (at = strstr(from, "%s")) != NULL; from = at + 2)
	{
		appendBinaryStringInfo(&sql, from, (int) (at - from));
		appendStringInfoString(&sql, schema);
	}
	appendStringInfoString(&sql, from);
	code = parameters == NULL ? SPI_execute(sql.data, false, 0)
							  : SPI_execute_with_args(sql.data, parameters->n, parameters->types, parameters->values,
													  parameters->nulls, false, 0);
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", sql.data, SPI_result_code_string(code));
	return SPI_processed;
}

/* A column of the last statement's first row, by value; fails on NULL. */
static inline Datum
result(int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column %d", column);
	return value;
}

/* Text, or NULL. */
static inline void
add_text_or_null(Parameters *parameters, const char *value)
{
	if (value != NULL)
		add_text(parameters, value);
	else
		add_null(parameters, TEXTOID);
}

/* A column of a row of the last statement as text, or NULL. */
static inline char *
text_result(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/* Mean loss of a score's images. */
static inline double
mean_loss(const TrainingScore *score)
{
	return score->images > 0 ? score->loss / (double) score->images : NAN;
}

#endif /* MNIST_HIL_TRAINING_SQL_H */
