/*
 * stop.h: time, and the end of the process.
 *
 * SIGTERM and SIGINT ask the process to end.  What is being sent then gets a moment to finish, because an interrupted
 * request would be repeated at the next start.  A timer ends the process in any case before two seconds have passed.
 */
#ifndef NOTIFY_STOP_H
#define NOTIFY_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* How long after the signal a delivery may go on, and the record of it in the database: milliseconds. */
#define STOP_SENDING_MS 1000
#define STOP_RECORDING_MS 1400
#define STOP_HARD_MS 1700

/* Install the signal handlers.  false: the system refuses; errno says why. */
extern bool stop_install(void);

/* Whether the process was asked to end. */
extern bool stop_wanted(void);

/* Becomes readable when the process is asked to end. */
extern int stop_fd(void);

/* A clock that never goes back: milliseconds. */
extern int64_t now_ms(void);

/* The milliseconds left until the deadline, or until grace_ms after the signal if that is sooner; 0: none. */
extern int64_t stop_time_left(int64_t deadline, int64_t grace_ms);

/* Sleep.  Returns at once when the process is asked to end. */
extern void stop_sleep(int64_t ms);

/*
 * Wait until fd is ready for the events of poll.  false: it was not before the deadline, or before grace_ms after the
 * signal.
 */
extern bool stop_poll(int fd, short events, int64_t deadline, int64_t grace_ms);

#endif /* NOTIFY_STOP_H */
