/*
 * mnist_hil_notify.c: a program that sends the events of a database elsewhere: to a webhook, or by mail.
 *
 * It is one process with one connection.  It listens on channel mnist_hil, asks mnist_notify_next for the events that
 * are to be sent, sends one after the other, and records each by mnist_notify_done (sql/notify.sql).  deliver.c has
 * the loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "notify/deliver.h"
#include "notify/log.h"
#include "notify/options.h"
#include "notify/stop.h"

int
main(int argc, char **argv)
{
	Options options;
	int status;

	options_read(&options, argc, argv);
	if (!stop_install())
	{
		note("signal handlers could not be installed: %s", strerror(errno));
		return EXIT_NOT_DELIVERED;
	}
	status = deliver(&options);
	free(options.webhook);
	return status;
}
