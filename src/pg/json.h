/*
 * json.h: JSON objects and arrays, written member by member.
 *
 * Floating-point numbers are written as the shortest decimals that are parsed as the same number.
 */
#ifndef PG_JSON_H
#define PG_JSON_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* JSON that is being written. */
typedef struct Json
{
	StringInfoData text;
	bool first; /* no member of the innermost object or array is written yet */
} Json;

/* Begin the outermost object. */
extern void json_begin(Json *json);

/* End it; returns the text, palloc'd. */
extern char *json_end(Json *json);

/* An object or an array as a member; name: NULL within an array. */
extern void json_open_object(Json *json, const char *name);
extern void json_close_object(Json *json);
extern void json_open_array(Json *json, const char *name);
extern void json_close_array(Json *json);

/* Members; name: NULL within an array. */
extern void json_int(Json *json, const char *name, int64 value);
extern void json_float(Json *json, const char *name, float value);
extern void json_double(Json *json, const char *name, double value);
extern void json_bool(Json *json, const char *name, bool value);
extern void json_text(Json *json, const char *name, const char *value);

/* A member whose value is given as JSON. */
extern void json_raw(Json *json, const char *name, const char *value);

#endif /* PG_JSON_H */
