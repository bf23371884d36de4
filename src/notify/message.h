/*
 * message.h: the text of a mail, as of RFC 5322 and 2045 to 2047.
 */
#ifndef NOTIFY_MESSAGE_H
#define NOTIFY_MESSAGE_H

/*
 * A whole mail with "\n" as the ends of lines, as sendmail takes it.  from may be NULL.  Subject and body are UTF-8;
 * control characters of the subject become spaces.  The caller frees it.  NULL: no memory.
 */
extern char *message_write(const char *to, const char *from, const char *subject, const char *body, const char *key);

#endif /* NOTIFY_MESSAGE_H */
