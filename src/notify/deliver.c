/*
 * deliver.c: send the events, one after the other.
 *
 * An event is sent, and then recorded as delivered.  If the connection is lost between the two, the record is made
 * with the next connection, before anything else is sent.  So an event is repeated only if this process ends between
 * the two, or if the receiver took an event without saying so.
 *
 * After a failure the events are asked for again, because the event may have been erased meanwhile, and one with a
 * smaller id may have become visible.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "notify/answer.h"
#include "notify/database.h"
#include "notify/deliver.h"
#include "notify/log.h"
#include "notify/mail.h"
#include "notify/stop.h"
#include "notify/webhook.h"

typedef struct
{
	const Options *options;
	Webhook *webhook; /* or NULL: mail */
	MailRoute mail;
	Database *database;
	bool open;	/* the database can be asked */
	int lost;	/* consecutive failures of the database */
	int unsent; /* consecutive failures to send */
	/* What became of an event and is not recorded yet; an empty id: nothing. */
	char id[24];
	const char *state;
	Answer answer;
} Delivery;

typedef enum
{
	STEP_IDLE,	  /* nothing is left to send */
	STEP_RETRY,	  /* an event was not delivered */
	STEP_DATABASE /* the database does not answer, or the process is to end */
} Step;

/* The time until the next attempt: doubled with each failure, up to the longest, and then shortened by up to half. */
static int64_t
backoff(const Options *options, int failures)
{
	int64_t ms = options->retry_ms;

	for (int i = 1; i < failures && ms < options->retry_max_ms; i++)
		ms *= 2;
	if (ms > options->retry_max_ms)
		ms = options->retry_max_ms;
	return ms / 2 + (int64_t) ((double) (ms - ms / 2) * drand48());
}

/* Connect unless there is a connection. */
static DatabaseState
ensure_open(Delivery *d)
{
	DatabaseState state = DATABASE_OPEN;

	if (d->open)
		return DATABASE_OPEN;
	database_close(d->database);
	state = database_open(d->options, &d->database);
	d->open = state == DATABASE_OPEN;
	if (d->open)
		note("connected; sending to %s under the name %s",
			 d->webhook != NULL ? webhook_place(d->webhook) : d->options->mail, d->options->name);
	return state;
}

/* Record what became of the event that was sent last.  false: the database does not answer. */
static bool
record(Delivery *d)
{
	if (d->id[0] == '\0')
		return true;
	if (!database_done(d->database, d->id, d->state, d->answer.error))
		return false;
	d->id[0] = '\0';
	return true;
}

/* Send an event.  The answer is in d->answer, and d has what is to be recorded. */
static void
send_event(Delivery *d, const Event *event)
{
	Answer *answer = &d->answer;

	if (d->webhook != NULL)
		webhook_send(d->webhook, d->options->slack ? event->slack : event->payload, event->key, answer);
	else
		mail_send(&d->mail, event->subject, event->body, event->key, answer);

	if (answer->state == ANSWER_STOPPED)
	{
		note("event %s (%s) was being sent; it will be sent again", event->id, event->kind);
		return;
	}
	snprintf(d->id, sizeof(d->id), "%s", event->id);
	if (answer->state == ANSWER_DELIVERED)
	{
		d->state = "delivered";
		note("event %s (%s) delivered", event->id, event->kind);
	}
	else if (answer->state == ANSWER_REFUSED && event->refusals + 1 >= d->options->refusals)
	{
		d->state = "given up";
		note("event %s (%s) given up after %d attempts: %s", event->id, event->kind, event->attempts + 1,
			 answer->error);
	}
	else
	{
		d->state = answer->state == ANSWER_REFUSED ? "refused" : "failed";
		note("event %s (%s) not delivered, attempt %d: %s", event->id, event->kind, event->attempts + 1,
			 answer->error);
	}
}

/* Send what there is, in order. */
static Step
send_events(Delivery *d)
{
	int n;

	if (!record(d))
		return STEP_DATABASE;
	while ((n = database_next(d->database)) > 0)
	{
		d->lost = 0;
		for (int i = 0; i < n; i++)
		{
			Event event = database_event(d->database, i);
			bool settled;

			if (stop_wanted())
				return STEP_DATABASE;
			send_event(d, &event);
			if (d->answer.state == ANSWER_STOPPED)
				return STEP_DATABASE;
			settled = strcmp(d->state, "delivered") == 0 || strcmp(d->state, "given up") == 0;
			d->unsent = settled ? 0 : d->unsent + 1;
			if (!record(d))
				return STEP_DATABASE;
			if (!settled)
				return STEP_RETRY;
		}
	}
	d->lost = 0;
	return n == 0 ? STEP_IDLE : STEP_DATABASE;
}

/* Work as long as the process may. */
static int
work(Delivery *d)
{
	const Options *options = d->options;

	while (!stop_wanted())
	{
		DatabaseState state = ensure_open(d);
		Step step = state == DATABASE_OPEN ? send_events(d) : STEP_DATABASE;

		if (options->once)
			return step == STEP_IDLE ? EXIT_DELIVERED : state == DATABASE_BUSY ? EXIT_BUSY : EXIT_NOT_DELIVERED;
		if (step == STEP_IDLE)
			d->open = database_wait(d->database, options->poll_ms);
		else if (step == STEP_RETRY)
		{
			int64_t wait = backoff(options, d->unsent);

			stop_sleep(wait > d->answer.wait_ms ? wait : d->answer.wait_ms);
		}
		else if (!stop_wanted())
		{
			d->open = false;
			/* Release the lock and the server's process at once. */
			database_close(d->database);
			d->database = NULL;
			stop_sleep(backoff(options, ++d->lost));
		}
	}
	return EXIT_DELIVERED;
}

int
deliver(const Options *options)
{
	Delivery d = {
		.options = options,
		.mail = {options->sendmail, options->mail, options->from, options->timeout_ms},
	};
	int status;

	srand48((long) now_ms());
	if (options->webhook != NULL)
	{
		d.webhook = webhook_open(options->webhook, options->timeout_ms);
		if (d.webhook == NULL)
			return EXIT_USAGE;
	}
	status = work(&d);
	/* Without this the lost record would repeat the event at the next start. */
	if (d.id[0] != '\0' && d.open)
		record(&d);
	database_close(d.database);
	webhook_close(d.webhook);
	return status;
}
