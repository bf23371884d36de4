/*
 * options.c: the command line.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notify/log.h"
#include "notify/options.h"

static const char help[] =
	"mnist_hil_notify sends the events of a database with extension mnist_hil to a webhook or by mail.\n"
	"\n"
	"Usage: mnist_hil_notify [OPTION]... (--webhook URL | --webhook-file FILE | --mail ADDRESS)\n"
	"\n"
	"  --conninfo STRING    how to connect: libpq's connection string or URI (default: PGHOST, PGDATABASE, ...)\n"
	"  --name NAME          of this notifier; the database remembers by it what was sent (default: "
	"mnist_hil_notify)\n"
	"\n"
	"  --webhook URL        POST each event there; other users can see the URL in the list of processes\n"
	"  --webhook-file FILE  the same, with the URL in the first line of a file\n"
	"  --format FORMAT      of the JSON: generic (default) or slack\n"
	"  --mail ADDRESS       mail each event to this address, or to several separated by commas\n"
	"  --from ADDRESS       the sender of the mails\n"
	"  --sendmail PROGRAM   takes the mails, with -t -i (default: /usr/sbin/sendmail)\n"
	"\n"
	"  --kinds KIND,...     send only events of these kinds\n"
	"  --except KIND,...    do not send events of these kinds\n"
	"  --all                a new notifier begins at the oldest event (default: with the events from now on)\n"
	"  --once               send what there is, and exit\n"
	"\n"
	"  --timeout SECONDS    of sending an event (default: 15)\n"
	"  --retry SECONDS      until the second attempt; doubles with each further one (default: 1)\n"
	"  --retry-max SECONDS  the longest time between attempts (default: 300)\n"
	"  --refusals N         attempts after which an event that the receiver refuses is given up (default: 10)\n"
	"  --poll SECONDS       how often to look for events without a notification (default: 60)\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 after SIGTERM or SIGINT, or if --once has sent everything; 1 if --once has not; 2 if an option "
	"is\n"
	"wrong; 3 if another process with the same name is at work (--once; without it, the process waits for its "
	"turn).\n";

static void
wrong(const char *what)
{
	note("%s; see --help", what);
	exit(EXIT_USAGE);
}

/* A time in seconds, as milliseconds. */
static int64_t
seconds(const char *option, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0.01 && value <= 86400))
	{
		note("--%s is a time in seconds, from 0.01 to 86400; see --help", option);
		exit(EXIT_USAGE);
	}
	return (int64_t) (value * 1000);
}

static int
refusals(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0' || value < 1 || value > 1000000)
		wrong("--refusals is a number, from 1 to 1000000");
	return (int) value;
}

/* A list of kinds of events. */
static const char *
kinds(const char *text)
{
	if (*text == '\0' || strspn(text, "abcdefghijklmnopqrstuvwxyz_,") != strlen(text))
		wrong("kinds of events are separated by commas, without spaces");
	return text;
}

static const char *
address(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char) *c < ' ' || (unsigned char) *c >= 127)
			wrong("addresses of mails are printable ASCII");
	if (strchr(text, '@') == NULL && strspn(text, " ") == strlen(text))
		wrong("the address of mails is empty");
	return text;
}

static const char *
name(const char *text)
{
	if (*text == '\0' || strlen(text) > 63 ||
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") != strlen(text))
		wrong("a name has 1 to 63 letters, digits, underscores, periods and hyphens");
	return text;
}

/* The first line of a file, without spaces around it. */
static char *
first_line(const char *path)
{
	char line[8192];
	FILE *file = fopen(path, "re");
	char *start = line + 0;
	size_t length;

	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
	{
		note("cannot read the URL from file %s: %s", path, errno != 0 ? strerror(errno) : "it is empty");
		exit(EXIT_USAGE);
	}
	fclose(file);
	start += strspn(start, " \t\r\n");
	length = strcspn(start, " \t\r\n");
	start[length] = '\0';
	return strdup(start);
}

enum
{
	OPTION_CONNINFO = 256,
	OPTION_NAME,
	OPTION_WEBHOOK,
	OPTION_WEBHOOK_FILE,
	OPTION_FORMAT,
	OPTION_MAIL,
	OPTION_FROM,
	OPTION_SENDMAIL,
	OPTION_KINDS,
	OPTION_EXCEPT,
	OPTION_ALL,
	OPTION_ONCE,
	OPTION_TIMEOUT,
	OPTION_RETRY,
	OPTION_RETRY_MAX,
	OPTION_REFUSALS,
	OPTION_POLL,
	OPTION_HELP,
	OPTION_VERSION
};

static const struct option long_options[] = {
	{"conninfo", required_argument, NULL, OPTION_CONNINFO},
	{"name", required_argument, NULL, OPTION_NAME},
	{"webhook", required_argument, NULL, OPTION_WEBHOOK},
	{"webhook-file", required_argument, NULL, OPTION_WEBHOOK_FILE},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"mail", required_argument, NULL, OPTION_MAIL},
	{"from", required_argument, NULL, OPTION_FROM},
	{"sendmail", required_argument, NULL, OPTION_SENDMAIL},
	{"kinds", required_argument, NULL, OPTION_KINDS},
	{"except", required_argument, NULL, OPTION_EXCEPT},
	{"all", no_argument, NULL, OPTION_ALL},
	{"once", no_argument, NULL, OPTION_ONCE},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"retry", required_argument, NULL, OPTION_RETRY},
	{"retry-max", required_argument, NULL, OPTION_RETRY_MAX},
	{"refusals", required_argument, NULL, OPTION_REFUSALS},
	{"poll", required_argument, NULL, OPTION_POLL},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

/* Options that are texts. */
static void
read_text(Options *options, int option, char *text)
{
	switch (option)
	{
		case OPTION_CONNINFO:
			options->conninfo = text;
			break;
		case OPTION_NAME:
			options->name = name(text);
			break;
		case OPTION_WEBHOOK:
			free(options->webhook);
			options->webhook = strdup(text);
			break;
		case OPTION_WEBHOOK_FILE:
			free(options->webhook);
			options->webhook = first_line(text);
			break;
		case OPTION_FORMAT:
			if (strcmp(text, "slack") != 0 && strcmp(text, "generic") != 0)
				wrong("--format is generic or slack");
			options->slack = strcmp(text, "slack") == 0;
			break;
		case OPTION_MAIL:
			options->mail = address(text);
			break;
		case OPTION_FROM:
			options->from = address(text);
			break;
		case OPTION_SENDMAIL:
			options->sendmail = text;
			break;
		case OPTION_KINDS:
			options->kinds = kinds(text);
			break;
		case OPTION_EXCEPT:
			options->except = kinds(text);
			break;
		default:
			exit(EXIT_USAGE); /* getopt_long has written why */
	}
}

static void
read_option(Options *options, int option, char *text)
{
	switch (option)
	{
		case OPTION_ALL:
			options->all = true;
			break;
		case OPTION_ONCE:
			options->once = true;
			break;
		case OPTION_TIMEOUT:
			options->timeout_ms = seconds("timeout", text);
			break;
		case OPTION_RETRY:
			options->retry_ms = seconds("retry", text);
			break;
		case OPTION_RETRY_MAX:
			options->retry_max_ms = seconds("retry-max", text);
			break;
		case OPTION_REFUSALS:
			options->refusals = refusals(text);
			break;
		case OPTION_POLL:
			options->poll_ms = seconds("poll", text);
			break;
		case OPTION_HELP:
			fputs(help, stdout);
			exit(0);
		case OPTION_VERSION:
			puts("mnist_hil_notify " MNIST_HIL_VERSION);
			exit(0);
		default:
			read_text(options, option, text);
	}
}

void
options_read(Options *options, int argc, char **argv)
{
	int option;

	*options = (Options){
		.conninfo = "",
		.name = "mnist_hil_notify",
		.sendmail = "/usr/sbin/sendmail",
		.timeout_ms = 15000,
		.retry_ms = 1000,
		.retry_max_ms = 300000,
		.poll_ms = 60000,
		.refusals = 10,
	};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		read_option(options, option, optarg);
	if (optind < argc)
		wrong("there is an argument that belongs to no option");
	if ((options->webhook == NULL) == (options->mail == NULL))
		wrong("give a webhook or an address of mails, and not both");
	if (options->retry_max_ms < options->retry_ms)
		wrong("--retry-max is less than --retry");
}
