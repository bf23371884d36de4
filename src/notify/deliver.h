/*
 * deliver.h: send the events, one after the other.
 */
#ifndef NOTIFY_DELIVER_H
#define NOTIFY_DELIVER_H

#include "notify/options.h"

/* Do what the options say, until the process is to end.  Returns its exit status. */
extern int deliver(const Options *options);

#endif /* NOTIFY_DELIVER_H */
