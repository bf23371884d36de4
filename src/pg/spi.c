/*
 * spi.c: statements through SPI: with the extension's schema, typed parameters, as the caller or the owner.
 *
 * To act as the owner, the user is switched around one statement, as in referential integrity triggers.  SECURITY
 * DEFINER is much slower: it runs a whole function as the owner and sets search_path on every call.  Every abort,
 * also of a savepoint, restores the user.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "pg/schema.h"
#include "pg/spi.h"

void
spi_add(SpiParameters *parameters, Oid type, Datum value)
{
	if (parameters->n == SPI_MAX_PARAMETERS)
		elog(ERROR, "too many parameters");
	parameters->types[parameters->n] = type;
	parameters->values[parameters->n] = value;
	parameters->nulls[parameters->n++] = ' ';
}

void
spi_add_null(SpiParameters *parameters, Oid type)
{
	spi_add(parameters, type, (Datum) 0);
	parameters->nulls[parameters->n - 1] = 'n';
}

void
spi_add_int8(SpiParameters *parameters, int64 value)
{
	spi_add(parameters, INT8OID, Int64GetDatum(value));
}

void
spi_add_int4(SpiParameters *parameters, int32 value)
{
	spi_add(parameters, INT4OID, Int32GetDatum(value));
}

void
spi_add_bool(SpiParameters *parameters, bool value)
{
	spi_add(parameters, BOOLOID, BoolGetDatum(value));
}

void
spi_add_text(SpiParameters *parameters, const char *value)
{
	if (value != NULL)
		spi_add(parameters, TEXTOID, CStringGetTextDatum(value));
	else
		spi_add_null(parameters, TEXTOID);
}

void
spi_add_int4_array(SpiParameters *parameters, const int *values, int n)
{
	Datum *elements = palloc(sizeof(Datum) * (n + 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(values[i]);
	spi_add(parameters, INT4ARRAYOID,
			PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT)));
	pfree(elements);
}

void
spi_add_float(SpiParameters *parameters, double value)
{
	if (isnan(value))
		spi_add_null(parameters, FLOAT4OID);
	else
		spi_add(parameters, FLOAT4OID, Float4GetDatum((float) value));
}

/* The statement with the schema in place of each %s, palloc'd. */
static char *
qualify(const char *statement, const char *schema)
{
	StringInfoData sql;
	const char *from = statement;

	initStringInfo(&sql);
	for (const char *at; (at = strstr(from, "%s")) != NULL; from = at + 2)
	{
		appendBinaryStringInfo(&sql, from, (int) (at - from));
		appendStringInfoString(&sql, schema);
	}
	appendStringInfoString(&sql, from);
	return sql.data;
}

uint64
spi_execute(const char *statement, const SpiParameters *parameters)
{
	char *sql = qualify(statement, schema_name());
	int code;

	if (parameters == NULL)
		code = SPI_execute(sql, false, 0);
	else
		code = SPI_execute_with_args(sql, parameters->n, (Oid *) parameters->types, (Datum *) parameters->values,
									 parameters->nulls, false, 0);
	if (code < 0)
		elog(ERROR, "could not execute \"%s\": %s", sql, SPI_result_code_string(code));
	pfree(sql);
	return SPI_processed;
}

uint64
spi_execute_int8(const char *statement, int64 value)
{
	SpiParameters parameters = {0};

	spi_add_int8(&parameters, value);
	return spi_execute(statement, &parameters);
}

Datum
spi_result_at(uint64 row, int column)
{
	bool isnull;
	Datum value;

	if (row >= SPI_processed)
		elog(ERROR, "row %llu is missing", (unsigned long long) row);
	value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	if (isnull)
		elog(ERROR, "unexpected null in column %d", column);
	return value;
}

Datum
spi_result(int column)
{
	return spi_result_at(0, column);
}

char *
spi_text_at(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

void
spi_set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * The plan of a statement, made at its first use.  Call it connected to SPI, as the extension's owner.  The plan
 * cache handles changes of the tables.  If the extension was dropped and created in another schema, a new plan is
 * made.
 */
static SPIPlanPtr
prepare(SpiStatement *statement)
{
	const char *schema = schema_name();
	SPIPlanPtr plan;
	char *sql;

	if (statement->plan != NULL && strcmp(statement->schema, schema) == 0)
		return statement->plan;
	if (statement->plan != NULL)
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	strlcpy(statement->schema, schema, sizeof(statement->schema));
	sql = qualify(statement->text, statement->schema);
	plan = SPI_prepare_cursor(sql, statement->nargs, statement->types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	statement->plan = plan;
	return plan;
}

void
spi_execute_as_owner(SpiStatement *statement, Datum *values, const char *nulls, int expected)
{
	Oid user;
	int security;
	int code;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(schema_owner(), security | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	code = SPI_execute_plan(prepare(statement), values, nulls, false, 0);
	if (code != expected)
		elog(ERROR, "could not execute \"%s\": %s", statement->text, SPI_result_code_string(code));
	SetUserIdAndSecContext(user, security);
}
