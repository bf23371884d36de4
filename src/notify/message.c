/*
 * message.c: the text of a mail.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "notify/message.h"

/* How much is encoded in a line of the subject, which may have 76 characters, and in a line of the body. */
#define WORD_BYTES 39
#define LINE_BYTES 57
/* Lines of mails have at most 998 characters. */
#define LONGEST_LINE 900

static void
write_base64(FILE *out, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3)
	{
		unsigned group = (unsigned) bytes[i] << 16;

		if (i + 1 < n)
			group |= (unsigned) bytes[i + 1] << 8;
		if (i + 2 < n)
			group |= bytes[i + 2];
		fputc(digits[group >> 18], out);
		fputc(digits[group >> 12 & 63], out);
		fputc(i + 1 < n ? digits[group >> 6 & 63] : '=', out);
		fputc(i + 2 < n ? digits[group & 63] : '=', out);
	}
}

/* Whether a text is ASCII, with no control characters except the ends of short lines. */
static bool
is_plain(const char *text)
{
	size_t line = 0;

	for (const char *c = text; *c != '\0'; c++)
	{
		line = *c == '\n' ? 0 : line + 1;
		if (line > LONGEST_LINE || (*c != '\n' && ((unsigned char) *c < ' ' || (unsigned char) *c >= 127)))
			return false;
	}
	return true;
}

/* The subject as it is if it is plain, or else as encoded words (RFC 2047), which end between characters. */
static void
write_subject(FILE *out, char *subject)
{
	size_t n = strlen(subject);

	for (char *c = subject; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || *c == 127)
			*c = ' ';
	fputs("Subject:", out);
	if (is_plain(subject) && strstr(subject, "=?") == NULL)
		fprintf(out, " %s", subject);
	else
		for (size_t start = 0, end; start < n; start = end)
		{
			end = n - start > WORD_BYTES ? start + WORD_BYTES : n;
			while (end < n && end > start + 1 && ((unsigned char) subject[end] & 0xC0) == 0x80)
				end--;
			fputs(start == 0 ? " =?UTF-8?B?" : "\n =?UTF-8?B?", out);
			write_base64(out, (unsigned char *) subject + start, end - start);
			fputs("?=", out);
		}
	fputc('\n', out);
}

static void
write_body(FILE *out, const char *body)
{
	size_t n = strlen(body);

	if (is_plain(body))
	{
		fprintf(out, "Content-Transfer-Encoding: 7bit\n\n%s%s", body, n > 0 && body[n - 1] == '\n' ? "" : "\n");
		return;
	}
	fputs("Content-Transfer-Encoding: base64\n\n", out);
	for (size_t start = 0; start < n; start += LINE_BYTES)
	{
		write_base64(out, (const unsigned char *) body + start, n - start > LINE_BYTES ? LINE_BYTES : n - start);
		fputc('\n', out);
	}
}

char *
message_write(const char *to, const char *from, const char *subject, const char *body, const char *key)
{
	char *message = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&message, &size);
	char *own_subject = strdup(subject);
	time_t now = time(NULL);
	struct tm utc;
	char date[64];

	if (out == NULL || own_subject == NULL)
	{
		if (out != NULL)
			fclose(out);
		free(message);
		free(own_subject);
		return NULL;
	}
	/* The locale is C, so the names of days and months are English. */
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&now, &utc));
	if (from != NULL)
		fprintf(out, "From: %s\n", from);
	fprintf(out, "To: %s\n", to);
	write_subject(out, own_subject);
	fprintf(out, "Date: %s\nMessage-ID: <%s@mnist-hil>\nAuto-Submitted: auto-generated\n", date, key);
	fputs("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n", out);
	write_body(out, body);
	free(own_subject);
	if (fclose(out) != 0)
	{
		free(message);
		return NULL;
	}
	return message;
}
