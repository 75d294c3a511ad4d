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
    char text[256];
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

static uint8_t fold(uint8_t c, bool nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Match c against the class that begins behind the '[' at *at; moves *at behind its ']'. An unclosed
 * class ends with the pattern. */
static bool match_class(struct firn_slice p, size_t *at, uint8_t c, bool nocase)
{
    size_t i = *at;
    bool negated = i < p.len && p.data[i] == '^';
    bool hit = false;
    if (negated)
        i++;
    c = fold(c, nocase);
    while (i < p.len && p.data[i] != ']') {
        if (p.data[i] == '\\' && i + 1 < p.len) {
            hit |= fold(p.data[++i], nocase) == c;
        } else if (i + 2 < p.len && p.data[i + 1] == '-') {
            uint8_t low = fold(p.data[i], nocase), high = fold(p.data[i + 2], nocase);
            if (low > high) {
                uint8_t swap = low;
                low = high;
                high = swap;
            }
            hit |= c >= low && c <= high;
            i += 2;
        } else {
            hit |= fold(p.data[i], nocase) == c;
        }
        i++;
    }
    *at = i < p.len ? i + 1 : i;
    return hit != negated;
}

/* Match one pattern element other than '*' at *at against c; moves *at behind it. */
static bool match_one(struct firn_slice p, size_t *at, uint8_t c, bool nocase)
{
    uint8_t e = p.data[(*at)++];
    if (e == '?')
        return true;
    if (e == '[')
        return match_class(p, at, c, nocase);
    if (e == '\\' && *at < p.len)
        e = p.data[(*at)++];
    return fold(e, nocase) == fold(c, nocase);
}

bool firn_engine__glob(struct firn_slice p, struct firn_slice s, bool nocase)
{
    size_t pi = 0, si = 0;
    size_t star = SIZE_MAX, star_si = 0; /* where to go back to: behind the last '*' */
    while (si < s.len) {
        if (pi < p.len && p.data[pi] == '*') {
            star = ++pi;
            star_si = si;
            continue;
        }
        if (pi < p.len && match_one(p, &pi, s.data[si], nocase)) {
            si++;
            continue;
        }
        if (star == SIZE_MAX)
            return false;
        pi = star;
        si = ++star_si;
    }
    while (pi < p.len && p.data[pi] == '*')
        pi++;
    return pi == p.len;
}

size_t firn_engine__glob_prefix(struct firn_slice p)
{
    size_t n = 0;
    while (n < p.len && !memchr("*?[\\", p.data[n], 4))
        n++;
    return n;
}
