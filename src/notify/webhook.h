/*
 * webhook.h: POST events to a URL.
 */
#ifndef NOTIFY_WEBHOOK_H
#define NOTIFY_WEBHOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "notify/answer.h"

typedef struct Webhook Webhook;

/* Prepare to POST to a URL (http or https), with a time limit.  NULL: it is not such a URL; a message was written. */
extern Webhook *webhook_open(const char *url, int64_t timeout_ms);

/* Scheme, host and port of the URL.  The rest of it is a secret. */
extern const char *webhook_place(const Webhook *webhook);

/*
 * POST a JSON document, with this Idempotency-Key.  A status 2xx means delivered, 400, 413, 415 and 422 that the
 * receiver refuses this event.  Other answers, and none, are failures.  Redirections are not followed.
 */
extern void webhook_send(Webhook *webhook, const char *json, const char *key, Answer *answer);

extern void webhook_close(Webhook *webhook);

#endif /* NOTIFY_WEBHOOK_H */
