#include "resp/glob.h"

static uint8_t fold(uint8_t c, bool nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* The class at p->data[at] (behind '['): does c belong to it? *at moves behind its ']'. A class
 * without an end ends with the pattern. */
static bool class_has(struct firn_slice p, size_t *at, uint8_t c, bool nocase)
{
    size_t i = *at;
    bool negated = i < p.len && p.data[i] == '^';
    bool found = false;
    i += negated;
    while (i < p.len && p.data[i] != ']') {
        if (p.data[i] == '\\' && p.len - i >= 2) {
            i++;
            found |= fold(p.data[i], nocase) == c;
            i++;
        } else if (p.len - i >= 3 && p.data[i + 1] == '-') {
            uint8_t lo = fold(p.data[i], nocase), hi = fold(p.data[i + 2], nocase);
            found |= lo <= hi ? c >= lo && c <= hi : c >= hi && c <= lo;
            i += 3;
        } else {
            found |= fold(p.data[i], nocase) == c;
            i++;
        }
    }
    *at = i < p.len ? i + 1 : i;
    return found != negated;
}

/* Match one byte against the element at *at (not '*'); *at moves behind the element. */
static bool element_matches(struct firn_slice p, size_t *at, uint8_t byte, bool nocase)
{
    uint8_t c = fold(byte, nocase);
    uint8_t e = p.data[(*at)++];
    if (e == '?')
        return true;
    if (e == '[')
        return class_has(p, at, c, nocase);
    if (e == '\\' && *at < p.len)
        e = p.data[(*at)++];
    return fold(e, nocase) == c;
}

bool firn_glob_match(struct firn_slice pattern, struct firn_slice s, bool nocase)
{
    size_t pi = 0, si = 0;
    size_t star = SIZE_MAX, star_si = 0; /* behind the last '*', and where its match ends */
    for (;;) {
        if (pi < pattern.len && pattern.data[pi] == '*') {
            star = ++pi;
            star_si = si;
            if (pi == pattern.len)
                return true;
            continue;
        }
        if (si == s.len)
            return pi == pattern.len;
        if (pi < pattern.len && element_matches(pattern, &pi, s.data[si], nocase)) {
            si++;
            continue;
        }
        if (star == SIZE_MAX)
            return false;
        pi = star; /* let the last '*' take one byte more */
        si = ++star_si;
    }
}

size_t firn_glob_prefix(struct firn_slice pattern)
{
    size_t n = 0;
    while (n < pattern.len && pattern.data[n] != '*' && pattern.data[n] != '?' &&
           pattern.data[n] != '[' && pattern.data[n] != '\\')
        n++;
    return n;
}
