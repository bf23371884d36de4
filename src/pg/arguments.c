/*
 * arguments.c: checks of the arguments of SQL functions.
 *
 * The size of an argument is checked before it is detoasted.  A gigabyte may be stored compressed in some megabytes,
 * and detoasting it cannot be interrupted.  An oversized value also never gets into an error message this way.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/builtins.h"

#include "pg/arguments.h"
#include "pg/compat.h"

void
check_argument_size(Datum value, Size most, const char *name)
{
	Size size = toast_raw_datum_size(value) - VARHDRSZ;

	if (size > most)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("argument \"%s\" is too large", name),
						errdetail("It has %zu bytes; at most %zu are allowed.", size, most)));
}

char *
text_argument(Datum value, Size most, const char *name)
{
	check_argument_size(value, most, name);
	return TextDatumGetCString(value);
}

void
check_label(int label)
{
	if (label < 0 || label > 9)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("label must be between 0 and 9, not %d", label)));
}
