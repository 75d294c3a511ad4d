#include "engine/text_priv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool firn_engine__parse_u64(struct firn_slice s, uint64_t *out)
{
    if (s.len == 0 || s.len > 20)
        return false;
    if (s.data[0] == '0') {
        *out = 0;
        return s.len == 1;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c < '0' || c > '9')
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(c - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool firn_engine__parse_ld(struct firn_slice s, long double *out)
{
    char text[FIRN_ENGINE_LD_MAX];
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    uint8_t c = s.data[0];
    if (c == ' ' || (c >= '\t' && c <= '\r'))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end;
    errno = 0;
    long double v = strtold(text, &end);
    if ((size_t)(end - text) != s.len || isnan(v))
        return false;
    if (errno == ERANGE && (isinf(v) || fpclassify(v) == FP_ZERO))
        return false;
    *out = v;
    return true;
}

size_t firn_engine__format_ld(long double v, char out[FIRN_ENGINE_LD_MAX])
{
    int n = snprintf(out, FIRN_ENGINE_LD_MAX, "%.17Lf", v);
    size_t len = n < 0 ? 0 : (size_t)n;
    if (memchr(out, '.', len)) {
        while (out[len - 1] == '0')
            len--;
        if (out[len - 1] == '.')
            len--;
    }
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    out[len] = '\0';
    return len;
}
