/* Separators: rows that are taken are in order, give back what was pushed, and are searched as a
 * plain walk would. */
#include "fuzz/fuzz.h"

#include "format/seps.h"

#define ITEMS 64

static uint32_t walk(const struct firn_slice *sep, uint32_t n, struct firn_slice key)
{
    uint32_t i = n - 1;
    while (i && firn_slice_cmp(sep[i], key) > 0)
        i--;
    return i;
}

static void search(const struct firn_seps *s, const struct firn_slice *sep, struct firn_slice key)
{
    FIRN_ASSERT(firn_seps_find(s, key) == walk(sep, s->count, key));
}

/* Separators as the input gives them, up to and including the first that is out of order. */
static uint32_t take(struct fuzz_in *in, struct firn_slice *sep, bool *wrong)
{
    uint32_t n = 1;
    *wrong = false;
    while (n < ITEMS && fuzz_more(in) && !*wrong) {
        sep[n] = fuzz_short(in);
        *wrong = firn_slice_cmp(sep[n], sep[n - 1]) <= 0;
        n++;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_begin(data, size);
    struct firn_slice key = fuzz_short(&in), sep[ITEMS] = {{NULL, 0}};
    struct firn_seps_maker m;
    size_t len = 0;
    bool wrong;
    uint32_t n = take(&in, sep, &wrong);
    for (uint32_t i = 0; i < n; i++)
        len += sep[i].len;
    void *room = malloc(firn_seps_room(n, len));
    FIRN_ASSERT(room != NULL);
    firn_seps_begin(&m, room, n);
    for (uint32_t i = 0; i + wrong < n; i++)
        FIRN_ASSERT(firn_seps_push(&m, sep[i]));
    if (wrong) {
        FIRN_ASSERT(!firn_seps_push(&m, sep[n - 1]));
    } else {
        struct firn_seps s = firn_seps_end(&m);
        FIRN_ASSERT(s.count == n && firn_seps_same(&s, &s));
        for (uint32_t i = 0; i < n; i++) {
            FIRN_ASSERT(firn_slice_eq(firn_seps_get(&s, i), sep[i]));
            search(&s, sep, sep[i]);
        }
        search(&s, sep, key);
    }
    free(room);
    return 0;
}
