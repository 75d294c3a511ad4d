/* Numbered faults: see fake_strike.h. An ordinal is n * FIRN_FAKE_KINDS_MAX + the kind's number,
 * with n counted from 1 within the kind. */
#include "fakes/fake_priv.h"

#include "base/hash.h"

#include <stdlib.h>

static const char *const own_kinds[FAKE_KINDS] = {
    [FAKE_LOST_BEFORE] = "lost-before",
    [FAKE_LOST_AFTER] = "lost-after",
    [FAKE_LATE] = "late",
    [FAKE_TWICE] = "twice",
    [FAKE_500] = "500",
    [FAKE_503] = "503",
    [FAKE_409] = "409",
    [FAKE_REFUSED] = "refused",
    [FAKE_DENIED] = "denied",
    [FAKE_LOSER_500] = "loser-500",
    [FAKE_SHORT_READ] = "short-read",
    [FAKE_BIT_FLIP] = "bit-flip",
    [FAKE_SLOW] = "slow",
    [FAKE_NET_REFUSED] = "net-refused",
    [FAKE_NET_RESET] = "net-reset",
    [FAKE_NET_SLOW] = "net-slow",
    [FAKE_NET_CHOP] = "net-chop",
    [FAKE_NET_SILENT] = "net-silent",
    [FAKE_DISK_TORN] = "disk-torn",
    [FAKE_DISK_ROT] = "disk-rot",
    [FAKE_DISK_READ_ERROR] = "disk-read-error",
    [FAKE_DISK_WRITE_ERROR] = "disk-write-error",
    [FAKE_DISK_SLOW] = "disk-slow",
};

static size_t add_kind(struct fake_strikes *s, uint64_t seed, const char *name)
{
    FIRN_ASSERT(s->kinds < FIRN_FAKE_KINDS_MAX);
    struct fake_kind *k = &s->kind[s->kinds];
    k->name = name;
    k->rng.state = seed ^ firn_xxh3(name, strlen(name));
    return s->kinds++;
}

void fake_strikes_init(struct firn_fake_world *w)
{
    for (size_t i = 0; i < FAKE_KINDS; i++)
        (void)add_kind(&w->strikes, w->opt.seed, own_kinds[i]);
}

void fake_strikes_free(struct firn_fake_world *w)
{
    free(w->strikes.struck);
    free(w->strikes.set);
}

static size_t find_kind(const struct fake_strikes *s, const char *name)
{
    size_t i = 0;
    while (i < s->kinds && strcmp(s->kind[i].name, name) != 0)
        i++;
    return i;
}

static int by_ordinal(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool allowed(const struct fake_strikes *s, uint64_t ordinal)
{
    if (s->rule == FAKE_ALL)
        return true;
    bool in = s->set_count && bsearch(&ordinal, s->set, s->set_count, sizeof *s->set, by_ordinal);
    return in == (s->rule == FAKE_ONLY);
}

static void remember(struct fake_strikes *s, uint64_t ordinal)
{
    if (s->struck_count == s->struck_cap) {
        s->struck_cap = s->struck_cap ? s->struck_cap * 2 : 256;
        s->struck = realloc(s->struck, s->struck_cap * sizeof *s->struck);
        FIRN_ASSERT(s->struck != NULL);
    }
    s->struck[s->struck_count++] = ordinal;
}

bool fake_due(struct firn_fake_world *w, size_t kind, uint32_t ppm)
{
    return ppm && fake_rng_next(&w->strikes.kind[kind].rng) % 1000000 < ppm;
}

bool fake_claim(struct firn_fake_world *w, size_t kind)
{
    struct fake_strikes *s = &w->strikes;
    struct fake_kind *k = &s->kind[kind];
    uint64_t ordinal = ++k->due * FIRN_FAKE_KINDS_MAX + kind;
    if (!allowed(s, ordinal))
        return false;
    k->struck++;
    s->total++;
    s->rng.state = w->opt.seed ^ firn_xxh3(&ordinal, sizeof ordinal);
    remember(s, ordinal);
    fake_trace(w, FAKE_TRACE_STRIKE, ordinal);
    firn_fake_say(w, NULL, "strike #%llu %s", (unsigned long long)ordinal, k->name);
    return true;
}

bool fake_strike(struct firn_fake_world *w, size_t kind, uint32_t ppm)
{
    return fake_due(w, kind, ppm) && fake_claim(w, kind);
}

bool firn_fake_strike(struct firn_fake_world *w, const char *kind, uint32_t ppm)
{
    size_t k = find_kind(&w->strikes, kind);
    if (k == w->strikes.kinds)
        k = add_kind(&w->strikes, w->opt.seed, kind);
    return fake_strike(w, k, ppm);
}

uint64_t firn_fake_strike_random(struct firn_fake_world *w)
{
    return fake_rng_next(&w->strikes.rng);
}

uint64_t firn_fake_strikes(const struct firn_fake_world *w, const char *kind)
{
    if (!kind)
        return w->strikes.total;
    size_t k = find_kind(&w->strikes, kind);
    return k < w->strikes.kinds ? w->strikes.kind[k].struck : 0;
}

const char *firn_fake_strike_kind(const struct firn_fake_world *w, size_t number)
{
    return number < w->strikes.kinds ? w->strikes.kind[number].name : NULL;
}

const char *firn_fake_kind_of(const struct firn_fake_world *w, uint64_t ordinal)
{
    return firn_fake_strike_kind(w, ordinal % FIRN_FAKE_KINDS_MAX);
}

const uint64_t *firn_fake_struck(const struct firn_fake_world *w, size_t *count)
{
    *count = w->strikes.struck_count;
    return w->strikes.struck;
}

static void set_rule(struct firn_fake_world *w, enum fake_rule rule, const uint64_t *ordinal,
                     size_t count)
{
    struct fake_strikes *s = &w->strikes;
    free(s->set);
    s->set = fake_alloc(count * sizeof *s->set);
    if (count)
        memcpy(s->set, ordinal, count * sizeof *s->set);
    s->set_count = count;
    s->rule = rule;
    qsort(s->set, count, sizeof *s->set, by_ordinal);
}

void firn_fake_allow(struct firn_fake_world *w, const uint64_t *ordinal, size_t count)
{
    set_rule(w, FAKE_ONLY, ordinal, count);
}

void firn_fake_forbid(struct firn_fake_world *w, const uint64_t *ordinal, size_t count)
{
    set_rule(w, FAKE_BUT, ordinal, count);
}
