/*
 * answer.h: what became of an attempt to send an event.
 */
#ifndef NOTIFY_ANSWER_H
#define NOTIFY_ANSWER_H

#include <stdint.h>

typedef enum
{
	ANSWER_DELIVERED,
	ANSWER_FAILED,	/* try again */
	ANSWER_REFUSED, /* the receiver does not want this event; try again, but not for ever */
	ANSWER_STOPPED	/* the process is to end; whether the event arrived is unknown */
} AnswerState;

typedef struct
{
	AnswerState state;
	int64_t wait_ms; /* the receiver wants no further attempt before; 0: it did not say */
	char error[256]; /* why, without secrets; empty if delivered */
} Answer;

#endif /* NOTIFY_ANSWER_H */
