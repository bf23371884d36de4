/*
 * mail.h: send events by mail, through a sendmail program.
 */
#ifndef NOTIFY_MAIL_H
#define NOTIFY_MAIL_H

#include <stdint.h>

#include "notify/answer.h"

typedef struct
{
	const char *program; /* is run with -t -i */
	const char *to;
	const char *from; /* or NULL */
	int64_t timeout_ms;
} MailRoute;

/*
 * Send a mail.  key: for its Message-ID, the same whenever the mail is repeated.  Subject and body are UTF-8.  Exit
 * status 0 of the program means delivered; EX_DATAERR, EX_NOUSER and EX_NOHOST that it refuses this mail; any other
 * status, and none within the time limit, is a failure.  A program that does not end is killed.
 */
extern void mail_send(const MailRoute *route, const char *subject, const char *body, const char *key, Answer *answer);

#endif /* NOTIFY_MAIL_H */
