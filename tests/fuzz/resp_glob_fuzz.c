/* Glob patterns against a plain recursive matcher, on short inputs: the first byte says where the
 * pattern ends, the second whether case counts. */
#include "base/assert.h"
#include "resp/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* '*' tries every split; everything else is one element, for which the matcher under test is asked
 * with that element alone. Bounded by the lengths, which are small. */
static bool slow_match(struct firn_slice p, struct firn_slice s, bool nocase)
{
    if (p.len == 0)
        return s.len == 0;
    if (p.data[0] == '*') {
        struct firn_slice rest = {p.data + 1, p.len - 1};
        for (size_t i = 0; i <= s.len; i++) {
            if (slow_match(rest, firn_slice_of(s.data + i, s.len - i), nocase))
                return true;
        }
        return false;
    }
    if (s.len == 0)
        return false;
    size_t n = 1;
    if (p.data[0] == '\\' && p.len > 1) {
        n = 2;
    } else if (p.data[0] == '[') {
        n += n < p.len && p.data[n] == '^';
        while (n < p.len && p.data[n] != ']') {
            if (p.data[n] == '\\' && p.len - n >= 2)
                n += 2;
            else
                n += p.len - n >= 3 && p.data[n + 1] == '-' ? 3 : 1;
        }
        n += n < p.len;
    }
    return firn_glob_match(firn_slice_of(p.data, n), firn_slice_of(s.data, 1), nocase) &&
           slow_match(firn_slice_of(p.data + n, p.len - n), firn_slice_of(s.data + 1, s.len - 1),
                      nocase);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 26)
        return 0;
    size_t split = data[0] % (size - 1);
    struct firn_slice pattern = {data + 2, split < size - 2 ? split : size - 2};
    struct firn_slice s = {pattern.data + pattern.len, size - 2 - pattern.len};
    bool nocase = data[1] & 1;
    FIRN_ASSERT(firn_glob_match(pattern, s, nocase) == slow_match(pattern, s, nocase));
    FIRN_ASSERT(firn_glob_prefix(pattern) <= pattern.len);
    return 0;
}
