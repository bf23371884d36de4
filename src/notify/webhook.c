/*
 * webhook.c: POST events to a URL, by libcurl.
 *
 * Each request has a connection of its own.  On a kept connection that the receiver has closed, libcurl would repeat
 * the request by itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "notify/log.h"
#include "notify/stop.h"
#include "notify/webhook.h"

#define CONNECT_TIMEOUT_MS 5000
/* A receiver cannot delay the next attempt by more than this. */
#define LONGEST_WAIT_MS (3600 * 1000)

struct Webhook
{
	CURL *easy;
	CURLM *multi;
	int64_t timeout_ms;
	char place[300];
};

/* Scheme, host and port.  false: this is no URL that we take. */
static bool
find_place(const char *url, char *place, size_t size)
{
	CURLU *parts = curl_url();
	char *scheme = NULL;
	char *host = NULL;
	char *port = NULL;
	bool good = parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
				curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
				(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
				curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
				curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;

	if (good)
		snprintf(place, size, "%s://%s:%s", scheme, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parts);
	return good;
}

/* What the receiver answers besides its status is of no interest. */
static size_t
ignore_body(char *data, size_t size, size_t n, void *argument)
{
	(void) data;
	(void) argument;
	return size * n;
}

Webhook *
webhook_open(const char *url, int64_t timeout_ms)
{
	Webhook *webhook = calloc(1, sizeof(*webhook));

	if (webhook == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		note("libcurl cannot be initialized");
		free(webhook);
		return NULL;
	}
	if (!find_place(url, webhook->place, sizeof(webhook->place)))
	{
		note("the webhook is not a URL that begins with http:// or https://");
		webhook_close(webhook);
		return NULL;
	}
	webhook->timeout_ms = timeout_ms;
	webhook->multi = curl_multi_init();
	webhook->easy = curl_easy_init();
	if (webhook->multi == NULL || webhook->easy == NULL ||
		curl_easy_setopt(webhook->easy, CURLOPT_URL, url) != CURLE_OK ||
		curl_easy_setopt(webhook->easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK)
	{
		note("libcurl does not take the URL of the webhook");
		webhook_close(webhook);
		return NULL;
	}
	curl_easy_setopt(webhook->easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(webhook->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(webhook->easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(webhook->easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(webhook->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(webhook->easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(webhook->easy, CURLOPT_CONNECTTIMEOUT_MS,
					 (long) (timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS));
	curl_easy_setopt(webhook->easy, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
	curl_easy_setopt(webhook->easy, CURLOPT_WRITEFUNCTION, ignore_body);
	curl_easy_setopt(webhook->easy, CURLOPT_USERAGENT, "mnist_hil_notify/" MNIST_HIL_VERSION);
	return webhook;
}

const char *
webhook_place(const Webhook *webhook)
{
	return webhook->place;
}

/* Perform the request.  false: the process is to end, and the request did not end in time. */
static bool
perform(Webhook *webhook, CURLcode *result)
{
	/* libcurl keeps the time limit itself; this one is in case it does not. */
	int64_t deadline = now_ms() + webhook->timeout_ms + 1000;
	bool ended = false;

	*result = CURLE_FAILED_INIT;
	if (curl_multi_add_handle(webhook->multi, webhook->easy) != CURLM_OK)
		return true;
	while (!ended)
	{
		struct curl_waitfd stop = {stop_fd(), CURL_WAIT_POLLIN, 0};
		int64_t left = stop_time_left(deadline, STOP_SENDING_MS);
		int running;
		int messages;
		CURLMsg *message;

		if (curl_multi_perform(webhook->multi, &running) != CURLM_OK)
			break;
		while ((message = curl_multi_info_read(webhook->multi, &messages)) != NULL)
			if (message->msg == CURLMSG_DONE)
			{
				*result = message->data.result;
				ended = true;
			}
		if (ended)
			break;
		if (left <= 0)
		{
			*result = CURLE_OPERATION_TIMEDOUT;
			break;
		}
		/* After the signal its pipe stays readable. */
		curl_multi_poll(webhook->multi, &stop, stop_wanted() ? 0 : 1, left > 1000 ? 1000 : (int) left, NULL);
	}
	curl_multi_remove_handle(webhook->multi, webhook->easy);
	return ended || !stop_wanted();
}

/* Judge the answer of a receiver that did not accept the event by its HTTP status. */
static void
judge_status(Webhook *webhook, long status, Answer *answer)
{
	curl_off_t wait = 0;

	snprintf(answer->error, sizeof(answer->error), "HTTP status %ld%s", status,
			 status >= 300 && status <= 399 ? " (redirections are not followed)" : "");
	if (status == 400 || status == 413 || status == 415 || status == 422)
		answer->state = ANSWER_REFUSED;
	if ((status == 429 || status == 503) &&
		curl_easy_getinfo(webhook->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK && wait > 0)
		answer->wait_ms = wait > LONGEST_WAIT_MS / 1000 ? LONGEST_WAIT_MS : (int64_t) wait * 1000;
}

void
webhook_send(Webhook *webhook, const char *json, const char *key, Answer *answer)
{
	struct curl_slist *headers = NULL;
	char key_header[200];
	CURLcode result;
	long status = 0;
	bool ended;

	*answer = (Answer){.state = ANSWER_FAILED};
	snprintf(key_header, sizeof(key_header), "Idempotency-Key: %s", key);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Expect:");
	headers = curl_slist_append(headers, key_header);
	curl_easy_setopt(webhook->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(webhook->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(json));
	curl_easy_setopt(webhook->easy, CURLOPT_POSTFIELDS, json);
	ended = perform(webhook, &result);
	curl_easy_getinfo(webhook->easy, CURLINFO_RESPONSE_CODE, &status);
	/* The status counts, even if the rest of the answer does not arrive. */
	if (status >= 200 && status <= 299)
		answer->state = ANSWER_DELIVERED;
	else if (!ended)
		answer->state = ANSWER_STOPPED;
	else if (result == CURLE_OK)
		judge_status(webhook, status, answer);
	else
		snprintf(answer->error, sizeof(answer->error), "%s", curl_easy_strerror(result));
	curl_easy_setopt(webhook->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(webhook->easy, CURLOPT_POSTFIELDS, NULL);
	curl_slist_free_all(headers);
}

void
webhook_close(Webhook *webhook)
{
	if (webhook == NULL)
		return;
	curl_easy_cleanup(webhook->easy);
	curl_multi_cleanup(webhook->multi);
	curl_global_cleanup();
	free(webhook);
}
