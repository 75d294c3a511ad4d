/* Slices borrow bytes, buffers own them. */
#ifndef FIRN_BASE_SLICE_H
#define FIRN_BASE_SLICE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct firn_slice {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;
};

static inline struct firn_slice firn_slice_of(const void *data, size_t len)
{
    return (struct firn_slice){(const uint8_t *)data, len};
}

/* Of a C string, without its NUL. */
static inline struct firn_slice firn_slice_str(const char *s)
{
    return firn_slice_of(s, strlen(s));
}

/* memcmp order, shorter first on a tie: the order of all keys. */
static inline int firn_slice_cmp(struct firn_slice a, struct firn_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline bool firn_slice_eq(struct firn_slice a, struct firn_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool firn_slice_starts(struct firn_slice a, struct firn_slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

/* Equal to the C string `s`, ASCII case ignored. */
bool firn_slice_ieq(struct firn_slice a, const char *s);

/* A growable byte buffer that never exceeds `max`. Zero-initialised with a max is a valid empty
 * buffer; clear() frees. */
struct firn_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
};

static inline void firn_buf_init(struct firn_buf *b, size_t max)
{
    *b = (struct firn_buf){.max = max};
}

/* Free the bytes; the buffer is empty again and keeps its max. NULL-safe. */
void firn_buf_clear(struct firn_buf *b);

/* Make room for `more` bytes behind len. FIRN_LIMIT when max would be passed or memory is short;
 * then nothing has changed. Amortised O(1). */
enum firn_status firn_buf_reserve(struct firn_buf *b, size_t more) FIRN_MUST_USE;

/* Append bytes (which must not lie in the buffer itself). FIRN_LIMIT as above: nothing appended. */
enum firn_status firn_buf_append(struct firn_buf *b, const void *data, size_t len) FIRN_MUST_USE;

/* Append formatted text, without a NUL. */
enum firn_status firn_buf_printf(struct firn_buf *b, const char *fmt, ...)
    FIRN_PRINTF(2, 3) FIRN_MUST_USE;

/* Drop the first n bytes (n ≤ len) by moving the rest down. */
void firn_buf_consume(struct firn_buf *b, size_t n);

static inline struct firn_slice firn_buf_slice(const struct firn_buf *b)
{
    return firn_slice_of(b->data, b->len);
}

#endif
