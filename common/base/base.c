#include "base/assert.h"
#include "base/slice.h"
#include "base/status.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

const char *firn_status_name(enum firn_status s)
{
    switch (s) {
    case FIRN_OK:
        return "OK";
    case FIRN_ABSENT:
        return "ABSENT";
    case FIRN_CONFLICT:
        return "CONFLICT";
    case FIRN_UNCHANGED:
        return "UNCHANGED";
    case FIRN_FENCED:
        return "FENCED";
    case FIRN_TRANSIENT:
        return "TRANSIENT";
    case FIRN_UNCERTAIN:
        return "UNCERTAIN";
    case FIRN_CORRUPT:
        return "CORRUPT";
    case FIRN_LIMIT:
        return "LIMIT";
    case FIRN_INVALID:
        return "INVALID";
    case FIRN_DENIED:
        return "DENIED";
    case FIRN_AGAIN:
        return "AGAIN";
    case FIRN_BUG:
        return "BUG";
    }
    return "unknown";
}

enum firn_status firn_fail(struct firn_err *err, enum firn_status s, const char *fmt, ...)
{
    if (err && !err->text[0]) {
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return s;
}

_Noreturn void firn_assert_failed(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "firn: assertion failed: %s at %s:%d\n", expr, file, line);
    abort();
}

bool firn_slice_ieq(struct firn_slice a, const char *s)
{
    for (size_t i = 0; i < a.len; i++) {
        if (!s[i] || tolower(a.data[i]) != tolower((unsigned char)s[i]))
            return false;
    }
    return s[a.len] == '\0';
}
