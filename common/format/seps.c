#include "format/seps.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "format/entry.h"

size_t firn_seps_room(size_t count, size_t len)
{
    size_t places = (count + 1) * sizeof(uint32_t);
    return count * sizeof(uint64_t) + places + len;
}

void firn_seps_begin(struct firn_seps_maker *m, void *room, uint32_t count)
{
    m->prefix = room;
    m->at = (uint32_t *)(void *)(m->prefix + count);
    m->bytes = (uint8_t *)(void *)(m->at + count + 1);
    m->count = count;
    m->pushed = 0;
    m->at[0] = 0;
}

bool firn_seps_push(struct firn_seps_maker *m, struct firn_slice sep)
{
    FIRN_ASSERT(m->pushed < m->count);
    uint32_t i = m->pushed++, to = m->at[i];
    struct firn_slice before = {NULL, 0};
    if (i > 0)
        before = firn_slice_of(m->bytes + m->at[i - 1], to - m->at[i - 1]);
    if (i > 0 ? firn_slice_cmp(before, sep) >= 0 : sep.len > 0)
        return false;
    if (sep.len)
        memcpy(m->bytes + to, sep.data, sep.len);
    m->at[i + 1] = to + (uint32_t)sep.len;
    return true;
}

struct firn_seps firn_seps_end(const struct firn_seps_maker *m)
{
    FIRN_ASSERT(m->pushed == m->count);
    struct firn_seps s = {.count = m->count, .prefix = m->prefix, .at = m->at, .bytes = m->bytes};
    if (s.count > 1) { /* they ascend: what the first and the last share, all share */
        struct firn_slice a = firn_seps_get(&s, 1), b = firn_seps_get(&s, s.count - 1);
        s.common = (uint32_t)firn_shared_len(a.data, b.data, a.len < b.len ? a.len : b.len);
    }
    for (uint32_t i = 0; i < s.count; i++)
        m->prefix[i] = i ? firn_key_prefix(firn_seps_get(&s, i), s.common) : 0;
    return s;
}

bool firn_seps_same(const struct firn_seps *a, const struct firn_seps *b)
{
    if (a->count != b->count)
        return false;
    size_t places = ((size_t)a->count + 1) * sizeof a->at[0];
    return memcmp(a->at, b->at, places) == 0 &&
           (a->at[a->count] == 0 || memcmp(a->bytes, b->bytes, a->at[a->count]) == 0);
}

/* How many of the n numbers are below p: a binary search whose steps are conditional moves. */
static uint32_t count_below(const uint64_t *array, uint32_t n, uint64_t p)
{
    const uint64_t *base = array;
    while (n > 1) {
        uint32_t half = n / 2;
        base += (base[half - 1] < p) ? half : 0;
        n -= half;
    }
    return (uint32_t)(base - array) + (n == 1 && *base < p);
}

uint32_t firn_seps_find(const struct firn_seps *s, struct firn_slice key)
{
    FIRN_ASSERT(s->count > 0);
    if (s->count == 1)
        return 0;
    /* Separator 0 is empty: what the others share stands first. */
    if (key.len < s->common || !firn_same_bytes(key.data, s->bytes, s->common))
        return firn_slice_cmp(key, firn_slice_of(s->bytes, s->common)) < 0 ? 0 : s->count - 1;
    uint64_t p = firn_key_prefix(key, s->common);
    uint32_t lo = 1 + count_below(s->prefix + 1, s->count - 1, p), hi = s->count;
    if (lo == s->count || s->prefix[lo] != p)
        return lo - 1;
    if (p < UINT64_MAX)
        hi = 1 + count_below(s->prefix + 1, s->count - 1, p + 1);
    while (lo < hi) { /* among separators with equal prefixes: the first above key */
        uint32_t mid = lo + (hi - lo) / 2;
        if (firn_slice_cmp(firn_seps_get(s, mid), key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1;
}
