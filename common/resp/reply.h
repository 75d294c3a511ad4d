/* Replies of the Redis protocol, versions 2 and 3. In version 2 the types of version 3 become what
 * Redis 7 makes of them (maps are arrays, null is a null bulk, doubles are bulks, …). Source:
 * redis.io/docs/reference/protocol-spec. */
#ifndef FIRN_RESP_REPLY_H
#define FIRN_RESP_REPLY_H

#include "base/slice.h"

struct firn_error_stats;

/* Where replies are appended. Zero-initialise (firn_reply_init). Appending never fails visibly:
 * when memory or buf.max ends, `failed` is set, nothing more is appended, and whoever owns the
 * reply gives it up (a connection is closed). */
struct firn_reply {
    struct firn_buf buf;
    struct firn_error_stats *stats; /* where errors are counted by prefix; may be NULL */
    uint64_t errors;                /* error replies appended so far, nested ones too */
    uint8_t resp;                   /* 2 or 3 */
    bool failed;                    /* something could not be appended, nothing is from then on: */
    bool no_memory;                 /* … for want of memory, not by the buffer's max */
};

static inline void firn_reply_init(struct firn_reply *r, size_t max, uint8_t resp)
{
    *r = (struct firn_reply){.buf = {.max = max}, .resp = resp};
}
void firn_reply_clear(struct firn_reply *r);

void firn_reply_raw(struct firn_reply *r, const void *data,
                    size_t len);                                /* bytes in protocol form */
void firn_reply_simple(struct firn_reply *r, const char *text); /* +text; no CR or LF */
void firn_reply_ok(struct firn_reply *r);                       /* +OK */
/* "-" and the text, whose first word is the code: "ERR …". CR and LF become blanks (as Redis). A
 * bytes argument goes in with %.*s; longer texts are cut at 1 KiB. */
void firn_reply_error(struct firn_reply *r, const char *fmt, ...) FIRN_PRINTF(2, 3);
void firn_reply_error_slice(struct firn_reply *r, struct firn_slice text);
void firn_reply_i64(struct firn_reply *r, int64_t v);
void firn_reply_bulk(struct firn_reply *r, struct firn_slice s);
void firn_reply_str(struct firn_reply *r, const char *s);   /* a C string as bulk */
void firn_reply_bulk_u64(struct firn_reply *r, uint64_t v); /* decimal digits as bulk */
void firn_reply_bulk_printf(struct firn_reply *r, const char *fmt, ...) FIRN_PRINTF(2, 3);
/* A bulk of len bytes to be written by the caller at the address returned, before anything else is
 * appended; NULL when failed. */
uint8_t *firn_reply_bulk_space(struct firn_reply *r, size_t len);
void firn_reply_null(struct firn_reply *r);       /* $-1 or _ */
void firn_reply_null_array(struct firn_reply *r); /* *-1 or _ */
/* Headers; the elements (pairs for maps) follow. */
void firn_reply_array(struct firn_reply *r, size_t n);
void firn_reply_map(struct firn_reply *r, size_t pairs);
void firn_reply_set(struct firn_reply *r, size_t n);
void firn_reply_push(struct firn_reply *r, size_t n);
void firn_reply_double(struct firn_reply *r, double v); /* shortest text that reads back as v */
/* The same for a number of another kind, given as its text. */
void firn_reply_double_text(struct firn_reply *r, struct firn_slice text);
void firn_reply_bool(struct firn_reply *r, bool v); /* :0 :1 or #f #t */
void firn_reply_verbatim(struct firn_reply *r, const char ext[3], struct firn_slice s);
void firn_reply_bignum(struct firn_reply *r, const char *digits);

/* For counts known only afterwards: mark the place of an array header, append the elements, then
 * insert it. Of nested ones the innermost is filled first. O(bytes between). */
size_t firn_reply_defer_array(struct firn_reply *r);
void firn_reply_fill_array(struct firn_reply *r, size_t place, size_t n);

/* Decimal digits at p, without a NUL; their number is returned. */
size_t firn_format_u64(char p[20], uint64_t v);
size_t firn_format_i64(char p[21], int64_t v);
/* Shortest decimal text that reads back as v ("3.5", "inf", "-inf", "nan"). */
size_t firn_format_double(char p[32], double v);

#endif
