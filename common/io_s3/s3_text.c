/* Small texts: encodings, copies of foreign bytes, times. */
#include "io_s3/s3_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

char *firn_s3__printf(struct firn_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : firn_arena_alloc(a, (size_t)n + 1);
    if (!p)
        return NULL;
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

char *firn_s3__encode(struct firn_arena *a, const char *s, bool keep_slash)
{
    static const char digit[] = "0123456789ABCDEF";
    char *out = firn_arena_alloc(a, 3 * strlen(s) + 1);
    if (!out)
        return NULL;
    char *p = out;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (is_unreserved(c) || (c == '/' && keep_slash)) {
            *p++ = (char)c;
        } else {
            *p++ = '%';
            *p++ = digit[c >> 4];
            *p++ = digit[c & 15];
        }
    }
    *p = '\0';
    return out;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool firn_s3__decode(char *s, bool plus)
{
    char *out = s;
    while (*s) {
        if (*s == '%') {
            int high = hex_value(s[1]);
            int low = high < 0 ? -1 : hex_value(s[2]);
            if (low < 0 || high + low == 0)
                return false;
            *out++ = (char)(high * 16 + low);
            s += 3;
        } else {
            *out++ = plus && *s == '+' ? ' ' : *s;
            s++;
        }
    }
    *out = '\0';
    return true;
}

void firn_s3__hex(const uint8_t *in, size_t len, char *out)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digit[in[i] >> 4];
        out[2 * i + 1] = digit[in[i] & 15];
    }
    out[2 * len] = '\0';
}

void firn_s3__base64(const uint8_t *in, size_t len, char *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        v |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
        v |= i + 2 < len ? in[i + 2] : 0;
        *out++ = digit[v >> 18];
        *out++ = digit[v >> 12 & 63];
        *out++ = i + 1 < len ? digit[v >> 6 & 63] : '=';
        *out++ = i + 2 < len ? digit[v & 63] : '=';
    }
    *out = '\0';
}

void firn_s3__printable(struct firn_slice s, char *out, size_t cap)
{
    size_t n = s.len < cap - 1 ? s.len : cap - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.data[i] >= 0x20 && s.data[i] < 0x7f ? (char)s.data[i] : '?';
    out[n] = '\0';
}

bool firn_s3__copy(struct firn_slice s, char *out, size_t cap)
{
    out[0] = '\0';
    if (s.len >= cap)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f)
            return false;
    }
    if (s.len)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
    return true;
}

/* The number of `digits` decimal digits at *s, which moves behind them and behind the byte `then`
 * (0 = none); -1 when they are not there. */
static int number(const char **s, unsigned digits, char then)
{
    int v = 0;
    for (; digits; digits--, (*s)++) {
        if (!isdigit((unsigned char)**s))
            return -1;
        v = 10 * v + (**s - '0');
    }
    if (then && *(*s)++ != then)
        return -1;
    return v;
}

int64_t firn_s3__iso_time(const char *s)
{
    struct tm t = {0};
    static const struct {
        unsigned digits;
        char then;
    } part[] = {{4, '-'}, {2, '-'}, {2, 'T'}, {2, ':'}, {2, ':'}, {2, 0}};
    int v[6];
    for (size_t i = 0; i < 6; i++) {
        v[i] = number(&s, part[i].digits, part[i].then);
        if (v[i] < 0)
            return -1;
    }
    if (*s == '.') {
        do
            s++;
        while (isdigit((unsigned char)*s));
    }
    if (strcmp(s, "Z") != 0 && strcmp(s, "+00:00") != 0)
        return -1;
    if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 60)
        return -1;
    t.tm_year = v[0] - 1900;
    t.tm_mon = v[1] - 1;
    t.tm_mday = v[2];
    t.tm_hour = v[3];
    t.tm_min = v[4];
    t.tm_sec = v[5];
    time_t at = timegm(&t);
    return at < 0 ? -1 : at;
}
