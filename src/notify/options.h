/*
 * options.h: the command line.
 */
#ifndef NOTIFY_OPTIONS_H
#define NOTIFY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct
{
	const char *conninfo; /* libpq's connection string; empty: only libpq's environment variables */
	const char *name;	  /* of the notifier in mnist_notifier */
	char *webhook;		  /* the URL, a secret; or NULL */
	bool slack;			  /* the form of the JSON */
	const char *mail;	  /* the address, or NULL; exactly one of webhook and mail is set */
	const char *from;	  /* the sender of mails, or NULL */
	const char *sendmail; /* the program */
	const char *kinds;	  /* kinds of events to send, separated by commas, or NULL */
	const char *except;	  /* kinds not to send, or NULL */
	bool all;			  /* a new notifier begins at the oldest event */
	bool once;			  /* send what there is, and exit */
	int64_t timeout_ms;	  /* of a delivery */
	int64_t retry_ms;	  /* after the first failure; it doubles with each further one */
	int64_t retry_max_ms; /* and does not become longer than this */
	int64_t poll_ms;	  /* how often to look for events without being notified */
	int refusals;		  /* after which an event is given up */
} Options;

/* Exit statuses. */
#define EXIT_DELIVERED 0
#define EXIT_NOT_DELIVERED 1
#define EXIT_USAGE 2
#define EXIT_BUSY 3

/* Read the command line.  Exits after --help and --version, and if something is wrong with it. */
extern void options_read(Options *options, int argc, char **argv);

#endif /* NOTIFY_OPTIONS_H */
