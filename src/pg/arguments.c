/*
 * arguments.c: checks of what SQL passes in.
 *
 * The size of an argument is checked before its value is read.  A value of a gigabyte may be stored compressed, in
 * a row of some megabytes.  To detoast it only to refuse it would be work that no interrupt ends; nor may it come
 * back in an error message.
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
