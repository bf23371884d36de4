/*
 * mail.c: send events by mail, through a sendmail program.
 *
 * The program takes whatever it has read as the mail when its input ends.  So if it must not go on, it is killed
 * before its input is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "notify/mail.h"
#include "notify/message.h"
#include "notify/stop.h"

/* How often to look whether the program has ended. */
#define WAIT_STEP_MS 20

/* In the child process: become the program, with the pipe as standard input. */
static void
become(const MailRoute *route, int input)
{
	char *const arguments[] = {(char *) route->program, "-t", "-i", NULL};

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	unsetenv("PGPASSWORD");
	if (dup2(input, STDIN_FILENO) == STDIN_FILENO)
		execv(route->program, arguments);
	_exit(EX_OSERR);
}

/* Start the program.  Returns its process id and the end of the pipe to write to; -1: errno says why not. */
static pid_t
start(const MailRoute *route, int *input)
{
	int fds[2];
	pid_t child;

	if (access(route->program, X_OK) != 0 || pipe2(fds, O_CLOEXEC) != 0)
		return -1;
	child = fork();
	if (child == 0)
		become(route, fds[0]);
	close(fds[0]);
	if (child < 0)
		close(fds[1]);
	else
	{
		setpgid(child, child); /* whoever comes first */
		fcntl(fds[1], F_SETFL, O_NONBLOCK);
	}
	*input = fds[1];
	return child;
}

/* Write the message.  false: it was not taken before the deadline.  A program that stops reading is no error. */
static bool
feed(int input, const char *message, int64_t deadline)
{
	size_t n = strlen(message);

	while (n > 0)
	{
		ssize_t written = write(input, message, n);

		if (written >= 0)
		{
			message += written;
			n -= (size_t) written;
		}
		else if (errno == EPIPE)
			return true;
		else if (errno == EAGAIN ? !stop_poll(input, POLLOUT, deadline, STOP_SENDING_MS) : errno != EINTR)
			return false;
	}
	return true;
}

/* Wait for the end of the program.  false: it did not end before the deadline. */
static bool
await(pid_t child, int64_t deadline, int *status)
{
	for (;;)
	{
		pid_t ended = waitpid(child, status, WNOHANG);

		if (ended == child)
			return true;
		if ((ended < 0 && errno != EINTR) || stop_time_left(deadline, STOP_SENDING_MS) == 0)
			return false;
		poll(NULL, 0, WAIT_STEP_MS);
	}
}

/* Judge how the program ended. */
static void
judge(int status, Answer *answer)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == 0)
		answer->state = ANSWER_DELIVERED;
	else if (code < 0)
		snprintf(answer->error, sizeof(answer->error), "sendmail was ended by signal %d", WTERMSIG(status));
	else
	{
		if (code == EX_DATAERR || code == EX_NOUSER || code == EX_NOHOST)
			answer->state = ANSWER_REFUSED;
		snprintf(answer->error, sizeof(answer->error), "sendmail exited with status %d%s", code,
				 code == EX_TEMPFAIL ? " (temporary failure)" : "");
	}
}

void
mail_send(const MailRoute *route, const char *subject, const char *body, const char *key, Answer *answer)
{
	char *message = message_write(route->to, route->from, subject, body, key);
	int64_t deadline = now_ms() + route->timeout_ms;
	int input = -1;
	int status = 0;
	pid_t child = -1;
	bool ended = false;

	*answer = (Answer){.state = ANSWER_FAILED};
	if (message != NULL)
		child = start(route, &input);
	if (child < 0)
	{
		snprintf(answer->error, sizeof(answer->error), "sendmail could not be started: %s", strerror(errno));
		free(message);
		return;
	}
	if (feed(input, message, deadline))
	{
		close(input);
		input = -1;
		ended = await(child, deadline, &status);
	}
	if (ended)
		judge(status, answer);
	else
	{
		kill(-child, SIGKILL);
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			continue;
		if (input >= 0)
			close(input);
		if (stop_wanted())
			answer->state = ANSWER_STOPPED;
		snprintf(answer->error, sizeof(answer->error), "sendmail did not end in time");
	}
	free(message);
}
