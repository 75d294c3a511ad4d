#include "manifest/ages_priv.h"

#include "base/hash.h"
#include "base/mem.h"

#define CAP_MIN 256

static void hash_name(const char *prefix, struct firn_slice name, uint64_t out[2])
{
    uint64_t seed = firn_xxh3(prefix, strlen(prefix));
    out[0] = firn_xxh3_seed(name.data, name.len, seed);
    out[1] = firn_xxh3_seed(name.data, name.len, ~seed) | 1; /* never all zero */
}

/* Its place, or the free one where it belongs. cap > 0. */
static struct firn_manifest__age *find(const struct firn_manifest__ages *a, const uint64_t hash[2])
{
    size_t i = (size_t)hash[0] & (a->cap - 1);
    while (a->slot[i].hash[1] && (a->slot[i].hash[0] != hash[0] || a->slot[i].hash[1] != hash[1]))
        i = (i + 1) & (a->cap - 1);
    return &a->slot[i];
}

/* Move what `keep_pass` says (0: all) to a table of `cap` places. False: no memory, nothing
 * changed. */
static bool rebuild(struct firn_manifest__ages *a, size_t cap, uint64_t keep_pass)
{
    struct firn_manifest__ages b = {.cap = cap, .max = a->max, .pass = a->pass};
    b.slot = firn_calloc(cap, sizeof *b.slot);
    if (!b.slot)
        return false;
    for (size_t i = 0; i < a->cap; i++) {
        const struct firn_manifest__age *e = &a->slot[i];
        if (!e->hash[1] || (keep_pass && e->pass != keep_pass))
            continue;
        *find(&b, e->hash) = *e;
        b.count++;
    }
    firn_free(a->slot);
    *a = b;
    return true;
}

static bool make_room(struct firn_manifest__ages *a)
{
    if (a->count >= a->max)
        return false;
    if (a->count < a->cap / 4 * 3)
        return true;
    return rebuild(a, a->cap ? a->cap * 2 : CAP_MIN, 0);
}

void firn_manifest__ages_begin(struct firn_manifest__ages *a)
{
    a->pass++;
}

void firn_manifest__ages_end(struct firn_manifest__ages *a)
{
    size_t met = 0;
    for (size_t i = 0; i < a->cap; i++)
        met += a->slot[i].hash[1] && a->slot[i].pass == a->pass;
    if (met == a->count)
        return;
    size_t cap = CAP_MIN;
    while (met >= cap / 4 * 3)
        cap *= 2;
    if (!rebuild(a, cap, a->pass))
        firn_manifest__ages_clear(a); /* no memory to forget some: forget all, they wait anew */
}

void firn_manifest__ages_clear(struct firn_manifest__ages *a)
{
    firn_free(a->slot);
    a->slot = NULL;
    a->cap = a->count = 0;
}

uint64_t firn_manifest__age(struct firn_manifest__ages *a, const char *prefix,
                            struct firn_slice name, struct firn_slice tag, uint64_t now_ns)
{
    uint64_t hash[2], tag_hash = firn_xxh3(tag.data, tag.len);
    hash_name(prefix, name, hash);
    struct firn_manifest__age *e = a->cap ? find(a, hash) : NULL;
    if (!e || !e->hash[1]) {
        if (!make_room(a))
            return now_ns;
        e = find(a, hash);
        *e = (struct firn_manifest__age){{hash[0], hash[1]}, tag_hash, now_ns, a->pass};
        a->count++;
    } else if (e->tag != tag_hash) {
        e->tag = tag_hash;
        e->since_ns = now_ns;
    }
    e->pass = a->pass;
    return e->since_ns;
}

bool firn_manifest__age_of(const struct firn_manifest__ages *a, struct firn_slice name,
                           uint64_t *since_ns)
{
    uint64_t hash[2];
    hash_name("", name, hash);
    const struct firn_manifest__age *e = a->cap ? find(a, hash) : NULL;
    if (!e || !e->hash[1] || e->pass != a->pass)
        return false;
    *since_ns = e->since_ns;
    return true;
}
