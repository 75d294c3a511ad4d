/* Status codes shared by every room, and the message that goes with one. */
#ifndef FIRN_BASE_STATUS_H
#define FIRN_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#define FIRN_MUST_USE __attribute__((warn_unused_result))
#define FIRN_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum firn_status {
    FIRN_OK = 0,
    FIRN_ABSENT,    /* what was asked for is not there (404) */
    FIRN_CONFLICT,  /* a condition did not hold (412): somebody else decided; look */
    FIRN_UNCHANGED, /* a conditional read found the copy named by the caller (304) */
    FIRN_FENCED,    /* a newer epoch owns the database; this role must stop */
    FIRN_TRANSIENT, /* nothing was done; a later try may succeed */
    FIRN_UNCERTAIN, /* may or may not have been done, now or later */
    FIRN_CORRUPT,   /* bytes that are not what they must be */
    FIRN_LIMIT,     /* a bound was met: size, memory, time budget */
    FIRN_INVALID,   /* the caller's or user's input is wrong */
    FIRN_DENIED,    /* no permission (403) or no credentials */
    FIRN_AGAIN,     /* not resident: fetch what was named, then call again */
    FIRN_BUG,       /* an impossible state, reported instead of continued */
};

/* The constant name of a status, for logs and tests. Never NULL. */
const char *firn_status_name(enum firn_status s);

/* A message for people: what was wrong, with which value, what to do. Always NUL-terminated; a
 * longer text is cut. An empty text means that nothing was said. */
struct firn_err {
    char text[512];
};

/* Format a message into `err` (NULL is allowed and ignored) unless it already holds one (the first
 * error wins), and return `s`, so that `return firn_fail(err, FIRN_INVALID, "…")` reads well. */
enum firn_status firn_fail(struct firn_err *err, enum firn_status s, const char *fmt, ...)
    FIRN_PRINTF(3, 4);

#endif
