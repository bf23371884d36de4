/*
 * log.c: messages to standard error.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "notify/log.h"

void
note(const char *format, ...)
{
	char line[1024] = "mnist_hil_notify: ";
	size_t prefix = strlen(line);
	size_t length;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + prefix, sizeof(line) - prefix - 1, format, arguments);
	va_end(arguments);

	length = strlen(line);
	while (length > prefix && ((unsigned char) line[length - 1] <= ' '))
		length--;
	for (size_t i = prefix; i < length; i++)
		if ((unsigned char) line[i] < ' ' || line[i] == 127)
			line[i] = ' ';
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0)
		return; /* nobody listens */
}
