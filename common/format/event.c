#include "format/event.h"

#include <stddef.h>
#include <string.h>

const char *firn_event_name(unsigned code)
{
    static const char *const name[] = {
        [FIRN_EVENT_SET] = "set",
        [FIRN_EVENT_SETRANGE] = "setrange",
        [FIRN_EVENT_INCRBY] = "incrby",
        [FIRN_EVENT_INCRBYFLOAT] = "incrbyfloat",
        [FIRN_EVENT_APPEND] = "append",
        [FIRN_EVENT_DEL] = "del",
        [FIRN_EVENT_EXPIRE] = "expire",
        [FIRN_EVENT_EXPIRED] = "expired",
        [FIRN_EVENT_PERSIST] = "persist",
        [FIRN_EVENT_RENAME_FROM] = "rename_from",
        [FIRN_EVENT_RENAME_TO] = "rename_to",
        [FIRN_EVENT_COPY_TO] = "copy_to",
        [FIRN_EVENT_SETBIT] = "setbit",
        [FIRN_EVENT_SET_EXPIRE] = "set",
        [FIRN_EVENT_INCRBY_EXPIRE] = "incrby",
        [FIRN_EVENT_INCRBY_PERSIST] = "incrby",
        [FIRN_EVENT_INCRBYFLOAT_EXPIRE] = "incrbyfloat",
        [FIRN_EVENT_INCRBYFLOAT_PERSIST] = "incrbyfloat",
    };
    return code < sizeof name / sizeof name[0] ? name[code] : NULL;
}

const char *firn_event_second_name(unsigned code)
{
    switch (code) {
    case FIRN_EVENT_SET_EXPIRE:
    case FIRN_EVENT_INCRBY_EXPIRE:
    case FIRN_EVENT_INCRBYFLOAT_EXPIRE:
        return "expire";
    case FIRN_EVENT_INCRBY_PERSIST:
    case FIRN_EVENT_INCRBYFLOAT_PERSIST:
        return "persist";
    default:
        return NULL;
    }
}

bool firn_events_want_expired(const char *classes)
{
    return strpbrk(classes, "KE") && strpbrk(classes, "xA");
}
