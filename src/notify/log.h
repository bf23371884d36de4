/*
 * log.h: messages to standard error, where systemd's journal takes them.
 */
#ifndef NOTIFY_LOG_H
#define NOTIFY_LOG_H

/* Write a line.  Control characters in it become spaces, so that no text from elsewhere can begin a line. */
extern void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* NOTIFY_LOG_H */
