#include "resp/reply.h"

#include "base/assert.h"
#include "resp/command.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 24 /* a type byte, a 64-bit number, CRLF */

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

size_t firn_format_u64(char p[20], uint64_t v)
{
    char tmp[20];
    size_t at = sizeof tmp;
    while (v >= 100) {
        at -= 2;
        memcpy(tmp + at, digit_pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        at -= 2;
        memcpy(tmp + at, digit_pairs + v * 2, 2);
    } else {
        tmp[--at] = (char)('0' + v);
    }
    memcpy(p, tmp + at, sizeof tmp - at);
    return sizeof tmp - at;
}

size_t firn_format_i64(char p[21], int64_t v)
{
    if (v >= 0)
        return firn_format_u64(p, (uint64_t)v);
    p[0] = '-';
    return 1 + firn_format_u64(p + 1, 0 - (uint64_t)v);
}

size_t firn_format_double(char p[32], double v)
{
    if (isnan(v) || isinf(v)) {
        const char *s = isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
        size_t n = strlen(s);
        memcpy(p, s, n);
        return n;
    }
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(p, 32, "%.*g", digits, v);
        if (strtod(p, NULL) == v)
            break;
    }
    return (size_t)n;
}

void firn_reply_clear(struct firn_reply *r)
{
    firn_buf_clear(&r->buf);
    r->failed = r->no_memory = false;
}

/* Room for n more bytes at the address returned, or NULL and `failed`. */
static inline uint8_t *room(struct firn_reply *r, size_t n)
{
    if (__builtin_expect(r->buf.cap - r->buf.len < n || r->failed, 0)) {
        if (r->failed || firn_buf_reserve(&r->buf, n) != FIRN_OK) {
            if (!r->failed)
                r->no_memory = r->buf.max - r->buf.len >= n;
            r->failed = true;
            return NULL;
        }
    }
    return r->buf.data + r->buf.len;
}

/* "<type><v>\r\n" at p; gives its length. */
static inline size_t put_header(uint8_t *p, char type, uint64_t v)
{
    p[0] = (uint8_t)type;
    size_t n = 1;
    if (v < 10)
        p[n++] = (uint8_t)('0' + v);
    else
        n += firn_format_u64((char *)p + 1, v);
    p[n] = '\r';
    p[n + 1] = '\n';
    return n + 2;
}

static void header(struct firn_reply *r, char type, uint64_t v)
{
    uint8_t *p = room(r, HEADER_MAX);
    if (p)
        r->buf.len += put_header(p, type, v);
}

void firn_reply_raw(struct firn_reply *r, const void *data, size_t len)
{
    uint8_t *p = room(r, len);
    if (p && len) {
        memcpy(p, data, len);
        r->buf.len += len;
    }
}

/* "<type><text>\r\n" */
static void line(struct firn_reply *r, char type, const char *text, size_t n)
{
    uint8_t *p = room(r, n + 3);
    if (!p)
        return;
    p[0] = (uint8_t)type;
    memcpy(p + 1, text, n);
    p[n + 1] = '\r';
    p[n + 2] = '\n';
    r->buf.len += n + 3;
}

void firn_reply_simple(struct firn_reply *r, const char *text)
{
    line(r, '+', text, strlen(text));
}

void firn_reply_ok(struct firn_reply *r)
{
    firn_reply_raw(r, "+OK\r\n", 5);
}

void firn_reply_error_slice(struct firn_reply *r, struct firn_slice text)
{
    r->errors++;
    if (r->stats)
        firn_error_stats_count(r->stats, text);
    size_t at = r->buf.len;
    line(r, '-', text.len ? (const char *)text.data : "", text.len);
    if (r->failed)
        return;
    uint8_t *p = r->buf.data + at + 1;
    for (size_t i = 0; i < text.len; i++) {
        if (p[i] == '\r' || p[i] == '\n')
            p[i] = ' ';
    }
}

void firn_reply_error(struct firn_reply *r, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    FIRN_ASSERT(n >= 0);
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    firn_reply_error_slice(r, firn_slice_of(text, len));
}

void firn_reply_i64(struct firn_reply *r, int64_t v)
{
    uint8_t *p = room(r, HEADER_MAX);
    if (!p)
        return;
    if (v >= 0) {
        r->buf.len += put_header(p, ':', (uint64_t)v);
        return;
    }
    p[0] = ':';
    size_t n = 1 + firn_format_i64((char *)p + 1, v);
    p[n] = '\r';
    p[n + 1] = '\n';
    r->buf.len += n + 2;
}

uint8_t *firn_reply_bulk_space(struct firn_reply *r, size_t len)
{
    if (len > r->buf.max) { /* also keeps the sum below from wrapping */
        r->failed = true;
        return NULL;
    }
    uint8_t *p = room(r, len + HEADER_MAX + 2);
    if (!p)
        return NULL;
    size_t n = put_header(p, '$', len);
    p[n + len] = '\r';
    p[n + len + 1] = '\n';
    r->buf.len += n + len + 2;
    return p + n;
}

void firn_reply_bulk(struct firn_reply *r, struct firn_slice s)
{
    uint8_t *p = firn_reply_bulk_space(r, s.len);
    if (p && s.len)
        memcpy(p, s.data, s.len);
}

void firn_reply_str(struct firn_reply *r, const char *s)
{
    firn_reply_bulk(r, firn_slice_str(s));
}

void firn_reply_bulk_u64(struct firn_reply *r, uint64_t v)
{
    char p[20];
    firn_reply_bulk(r, firn_slice_of(p, firn_format_u64(p, v)));
}

void firn_reply_bulk_printf(struct firn_reply *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    FIRN_ASSERT(n >= 0);
    uint8_t *p = firn_reply_bulk_space(r, (size_t)n);
    if (!p)
        return;
    /* vsnprintf ends with a NUL, where the CR stands. */
    va_start(ap, fmt);
    (void)vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    p[n] = '\r';
}

void firn_reply_null(struct firn_reply *r)
{
    if (r->resp >= 3)
        firn_reply_raw(r, "_\r\n", 3);
    else
        firn_reply_raw(r, "$-1\r\n", 5);
}

void firn_reply_null_array(struct firn_reply *r)
{
    if (r->resp >= 3)
        firn_reply_raw(r, "_\r\n", 3);
    else
        firn_reply_raw(r, "*-1\r\n", 5);
}

void firn_reply_array(struct firn_reply *r, size_t n)
{
    header(r, '*', n);
}

void firn_reply_map(struct firn_reply *r, size_t pairs)
{
    if (r->resp >= 3)
        header(r, '%', pairs);
    else
        header(r, '*', pairs * 2);
}

void firn_reply_set(struct firn_reply *r, size_t n)
{
    header(r, r->resp >= 3 ? '~' : '*', n);
}

void firn_reply_push(struct firn_reply *r, size_t n)
{
    header(r, r->resp >= 3 ? '>' : '*', n);
}

void firn_reply_double(struct firn_reply *r, double v)
{
    char p[32];
    firn_reply_double_text(r, firn_slice_of(p, firn_format_double(p, v)));
}

void firn_reply_double_text(struct firn_reply *r, struct firn_slice text)
{
    if (r->resp >= 3)
        line(r, ',', (const char *)text.data, text.len);
    else
        firn_reply_bulk(r, text);
}

void firn_reply_bool(struct firn_reply *r, bool v)
{
    if (r->resp >= 3)
        firn_reply_raw(r, v ? "#t\r\n" : "#f\r\n", 4);
    else
        firn_reply_i64(r, v);
}

void firn_reply_verbatim(struct firn_reply *r, const char ext[3], struct firn_slice s)
{
    if (r->resp < 3) {
        firn_reply_bulk(r, s);
        return;
    }
    size_t at = r->buf.len;
    uint8_t *p = firn_reply_bulk_space(r, s.len + 4);
    if (!p)
        return;
    r->buf.data[at] = '=';
    memcpy(p, ext, 3);
    p[3] = ':';
    if (s.len)
        memcpy(p + 4, s.data, s.len);
}

void firn_reply_bignum(struct firn_reply *r, const char *digits)
{
    if (r->resp >= 3)
        line(r, '(', digits, strlen(digits));
    else
        firn_reply_str(r, digits);
}

size_t firn_reply_defer_array(struct firn_reply *r)
{
    return r->buf.len;
}

void firn_reply_fill_array(struct firn_reply *r, size_t place, size_t n)
{
    uint8_t head[HEADER_MAX];
    size_t len = put_header(head, '*', n);
    if (!room(r, len))
        return;
    FIRN_ASSERT(place <= r->buf.len);
    uint8_t *at = r->buf.data + place;
    memmove(at + len, at, r->buf.len - place);
    memcpy(at, head, len);
    r->buf.len += len;
}
