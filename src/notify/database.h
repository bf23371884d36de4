/*
 * database.h: the connection to the database, and what the notifier asks of it.
 *
 * One process at a time works under a name: the connection holds the advisory lock
 * (hashtext('mnist_hil_notify'), hashtext(NAME)) as long as it lasts.
 */
#ifndef NOTIFY_DATABASE_H
#define NOTIFY_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include "notify/options.h"

typedef struct Database Database;

typedef enum
{
	DATABASE_OPEN,
	DATABASE_BUSY,	/* another process with this name is at work (only with --once) */
	DATABASE_FAILED /* a message was written */
} DatabaseState;

/* An event to send.  The texts belong to the database, until the next call of database_next. */
typedef struct
{
	const char *id;
	const char *kind;
	int attempts; /* made so far */
	int refusals; /* of these, how many the receiver refused */
	const char *key;
	const char *payload;
	const char *slack;
	const char *subject;
	const char *body;
} Event;

/* Connect, take the lock (with --once do not wait for it), and LISTEN.  Close the database whatever the result. */
extern DatabaseState database_open(const Options *options, Database **database);

/* The number of events to send, at most 20, or -1: the connection is of no use any more; a message was written. */
extern int database_next(Database *database);

/* Event i of those that database_next found, from 0. */
extern Event database_event(const Database *database, int i);

/*
 * Record what became of an event: state is one of mnist_notify_done's.  error is empty if there is none.  false: it
 * could not be recorded; a message was written.
 */
extern bool database_done(Database *database, const char *id, const char *state, const char *error);

/* Wait for a notification, for at most ms.  false: the connection is lost. */
extern bool database_wait(Database *database, int64_t ms);

extern void database_close(Database *database);

#endif /* NOTIFY_DATABASE_H */
