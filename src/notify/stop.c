/*
 * stop.c: time, and the end of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "notify/stop.h"

static int pipe_fds[2] = {-1, -1};
static timer_t hard_timer;
static volatile sig_atomic_t wanted;
static volatile int64_t wanted_at;

int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
on_stop(int signal)
{
	struct itimerspec hard = {.it_value = {STOP_HARD_MS / 1000, STOP_HARD_MS % 1000 * 1000000L}};
	int saved = errno;

	(void) signal;
	if (!wanted)
	{
		wanted_at = now_ms();
		wanted = 1;
		timer_settime(hard_timer, 0, &hard, NULL);
		if (write(pipe_fds[1], "", 1) < 0)
			errno = 0; /* the pipe is full, hence readable */
	}
	errno = saved;
}

/* libpq's connecting and the resolver of names do not return for a signal. */
static void
on_hard_stop(int signal)
{
	(void) signal;
	_exit(0);
}

bool
stop_install(void)
{
	struct sigaction action = {.sa_handler = on_stop};
	struct sigaction hard = {.sa_handler = on_hard_stop};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};

	return pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) == 0 && timer_create(CLOCK_MONOTONIC, &event, &hard_timer) == 0 &&
		   sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
		   sigaction(SIGALRM, &hard, NULL) == 0 && sigaction(SIGPIPE, &ignore, NULL) == 0;
}

bool
stop_wanted(void)
{
	return wanted;
}

int
stop_fd(void)
{
	return pipe_fds[0];
}

int64_t
stop_time_left(int64_t deadline, int64_t grace_ms)
{
	int64_t now = now_ms();

	if (wanted && wanted_at + grace_ms < deadline)
		deadline = wanted_at + grace_ms;
	return deadline > now ? deadline - now : 0;
}

void
stop_sleep(int64_t ms)
{
	int64_t deadline = now_ms() + ms;
	struct pollfd fd = {pipe_fds[0], POLLIN, 0};

	while (!wanted)
	{
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return;
		poll(&fd, 1, left > 60000 ? 60000 : (int) left);
	}
}

bool
stop_poll(int fd, short events, int64_t deadline, int64_t grace_ms)
{
	for (;;)
	{
		struct pollfd fds[2] = {{fd, events, 0}, {pipe_fds[0], POLLIN, 0}};
		int64_t left = stop_time_left(deadline, grace_ms);

		if (left <= 0)
			return false;
		/* After the signal the pipe stays readable. */
		if (poll(fds, wanted ? 1 : 2, left > 60000 ? 60000 : (int) left) > 0 && fds[0].revents != 0)
			return true;
	}
}
