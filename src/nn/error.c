/*
 * error.c: how functions of src/nn fail.
 */
#include "nn/error.h"

#include <stdarg.h>
#include <stdio.h>

NnStatus
nn_fail(NnError *error, NnStatus status, const char *format, ...)
{
	va_list args;

	error->status = status;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return status;
}

void
nn_error_clear(NnError *error)
{
	error->status = NN_OK;
	error->message[0] = '\0';
}
