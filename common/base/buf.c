#include "base/assert.h"
#include "base/mem.h"
#include "base/slice.h"

#include <stdio.h>

void firn_buf_clear(struct firn_buf *b)
{
    if (!b)
        return;
    firn_free(b->data);
    *b = (struct firn_buf){.max = b->max};
}

enum firn_status firn_buf_reserve(struct firn_buf *b, size_t more)
{
    if (more <= b->cap - b->len)
        return FIRN_OK;
    if (more > b->max || b->len > b->max - more)
        return FIRN_LIMIT;
    size_t cap = b->cap ? b->cap * 2 : 256;
    if (cap < b->len + more)
        cap = b->len + more;
    if (cap > b->max)
        cap = b->max;
    uint8_t *p = firn_realloc(b->data, cap);
    if (!p)
        return FIRN_LIMIT;
    b->data = p;
    b->cap = cap;
    return FIRN_OK;
}

enum firn_status firn_buf_append(struct firn_buf *b, const void *data, size_t len)
{
    enum firn_status s = firn_buf_reserve(b, len);
    if (s != FIRN_OK)
        return s;
    if (len) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
    return FIRN_OK;
}

enum firn_status firn_buf_printf(struct firn_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        return FIRN_BUG;
    enum firn_status s = firn_buf_reserve(b, (size_t)n + 1);
    if (s != FIRN_OK)
        return s;
    va_start(ap, fmt);
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return FIRN_OK;
}

void firn_buf_consume(struct firn_buf *b, size_t n)
{
    FIRN_ASSERT(n <= b->len);
    b->len -= n;
    if (b->len && n)
        memmove(b->data, b->data + n, b->len);
}
