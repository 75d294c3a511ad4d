/* Inline requests and numbers: a line splits into arguments that are no longer than it, the same
 * each time; integers are taken as the C library would, if they are written as it writes them. */
#include "fuzz/fuzz.h"

#include "base/hash.h"
#include "resp/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct words {
    size_t n, bytes;
    uint64_t hash;
};

static enum firn_status emit(void *arg, struct firn_slice s)
{
    struct words *w = arg;
    w->n++;
    w->bytes += s.len;
    w->hash = firn_xxh3_seed(s.data, s.len, w->hash);
    return FIRN_OK;
}

static void number(struct firn_slice s)
{
    char text[24], *end;
    int64_t v;
    if (firn_parse_i64(s, &v)) {
        int len = snprintf(text, sizeof text, "%" PRId64, v);
        FIRN_ASSERT(firn_slice_eq(s, firn_slice_of(text, (size_t)len)));
        return;
    }
    if (s.len == 0 || s.len >= sizeof text || memchr(s.data, 0, s.len))
        return;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    errno = 0;
    long long want = strtoll(text, &end, 10);
    char again[24];
    (void)snprintf(again, sizeof again, "%lld", want);
    FIRN_ASSERT(errno || *end || strcmp(text, again) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_buf text;
    struct words once = {0}, twice = {0};
    uint8_t *copy = fuzz_copy(firn_slice_of(data, size));
    struct firn_slice line = firn_slice_of(copy, size);
    firn_buf_init(&text, size + 1);
    enum firn_status s = firn_parse_line(line, &text, emit, &once);
    FIRN_ASSERT(s == FIRN_OK || s == FIRN_INVALID);
    FIRN_ASSERT(once.bytes <= size && once.n <= size / 2 + 1);
    FIRN_ASSERT(firn_parse_line(line, &text, emit, &twice) == s);
    FIRN_ASSERT(once.n == twice.n && once.hash == twice.hash);
    firn_buf_clear(&text);
    number(line);
    free(copy);
    return 0;
}
