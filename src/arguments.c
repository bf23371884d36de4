/*
 * arguments.c: sizes of arguments, known before their values are.
 *
 * A value of a gigabyte may be stored compressed, in a row of some megabytes.  To detoast it only to refuse it would
 * be work that no interrupt ends; nor may it come back in an error message.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/builtins.h"

#include "mnist_hil.h"

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
