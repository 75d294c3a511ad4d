/* Event codes of log records: which keyspace event a record stands for. Codes are part of the
 * format: never renumbered. A reader that meets a code it does not know delivers no event for it.
 */
#ifndef FIRN_FORMAT_EVENT_H
#define FIRN_FORMAT_EVENT_H

#include <stdbool.h>

enum firn_event {
    FIRN_EVENT_NONE = 0,
    FIRN_EVENT_SET = 1,
    FIRN_EVENT_SETRANGE = 2,
    FIRN_EVENT_INCRBY = 3,
    FIRN_EVENT_INCRBYFLOAT = 4,
    FIRN_EVENT_APPEND = 5,
    FIRN_EVENT_DEL = 6,
    FIRN_EVENT_EXPIRE = 7,
    FIRN_EVENT_EXPIRED = 8,
    FIRN_EVENT_PERSIST = 9,
    FIRN_EVENT_RENAME_FROM = 10,
    FIRN_EVENT_RENAME_TO = 11,
    FIRN_EVENT_COPY_TO = 12,
    FIRN_EVENT_SETBIT = 13,
    FIRN_EVENT_SET_EXPIRE = 14, /* SET with a time to live: the events set and expire */
    /* INCREX that also sets or removes the time to live: two events each */
    FIRN_EVENT_INCRBY_EXPIRE = 15,
    FIRN_EVENT_INCRBY_PERSIST = 16,
    FIRN_EVENT_INCRBYFLOAT_EXPIRE = 17,
    FIRN_EVENT_INCRBYFLOAT_PERSIST = 18,
    FIRN_EVENT_PUBLISH = 32,  /* of PUBLISH records: an ordinary channel */
    FIRN_EVENT_SPUBLISH = 33, /* a shard channel */
};

/* Redis's name of the event ("incrby"), of the first one for codes that stand for two; NULL for
 * NONE, the PUBLISH codes and unknown ones. */
const char *firn_event_name(unsigned code);
/* The name of the second event ("expire" of SET_EXPIRE); NULL for codes that stand for one. */
const char *firn_event_second_name(unsigned code);

/* Do these classes (notify-keyspace-events) ask for expired events: 'x' or 'A', and K or E to say
 * on which channels? Then the writer logs them (docs/PROTOCOL.md, "Time"). */
bool firn_events_want_expired(const char *classes);

#endif
