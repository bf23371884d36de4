/*
 * json.c: JSON objects and arrays, written member by member.
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "utils/json.h"

#include "pg/json.h"

static void
begin_member(Json *json, const char *name)
{
	if (!json->first)
		appendStringInfoString(&json->text, ", ");
	json->first = false;
	if (name == NULL)
		return;
	escape_json(&json->text, name);
	appendStringInfoString(&json->text, ": ");
}

static void
open_with(Json *json, const char *name, char bracket)
{
	begin_member(json, name);
	appendStringInfoChar(&json->text, bracket);
	json->first = true;
}

static void
close_with(Json *json, char bracket)
{
	appendStringInfoChar(&json->text, bracket);
	json->first = false;
}

void
json_begin(Json *json)
{
	initStringInfo(&json->text);
	json->first = true;
	open_with(json, NULL, '{');
}

char *
json_end(Json *json)
{
	close_with(json, '}');
	return json->text.data;
}

void
json_open_object(Json *json, const char *name)
{
	open_with(json, name, '{');
}

void
json_close_object(Json *json)
{
	close_with(json, '}');
}

void
json_open_array(Json *json, const char *name)
{
	open_with(json, name, '[');
}

void
json_close_array(Json *json)
{
	close_with(json, ']');
}

void
json_int(Json *json, const char *name, int64 value)
{
	begin_member(json, name);
	appendStringInfo(&json->text, "%lld", (long long) value);
}

void
json_float(Json *json, const char *name, float value)
{
	char digits[FLOAT_SHORTEST_DECIMAL_LEN];

	float_to_shortest_decimal_buf(value, digits);
	json_raw(json, name, digits);
}

void
json_double(Json *json, const char *name, double value)
{
	char digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(value, digits);
	json_raw(json, name, digits);
}

void
json_bool(Json *json, const char *name, bool value)
{
	json_raw(json, name, value ? "true" : "false");
}

void
json_text(Json *json, const char *name, const char *value)
{
	begin_member(json, name);
	escape_json(&json->text, value);
}

void
json_raw(Json *json, const char *name, const char *value)
{
	begin_member(json, name);
	appendStringInfoString(&json->text, value);
}
