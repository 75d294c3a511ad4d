#include "base/assert.h"
#include "base/mem.h"
#include "lsm/lsm_priv.h"

#define READAHEAD_BYTES_DEFAULT ((uint64_t)1 << 20)
#define FETCH_BYTES_DEFAULT ((uint64_t)64 << 20)

/* Call done() of every read that is ready now; one that becomes ready meanwhile has a turn of its
 * own. */
static void call_ready(void *arg)
{
    struct firn_lsm *l = arg;
    struct firn_list due;
    firn_list_init(&due);
    firn_list_splice(&due, &l->ready);
    for (struct firn_list *n; (n = firn_list_pop(&due)) != NULL;) {
        struct firn_read *r = FIRN_CONTAINER(n, struct firn_read, ready);
        r->done(r);
    }
}

static void shrink(void *arg)
{
    struct firn_lsm *l = arg;
    firn_cache_shrink(l->cache);
}

enum firn_status firn_lsm_create(const struct firn_env *env, struct firn_store *store,
                                 const struct firn_lsm_options *o, struct firn_lsm **out)
{
    struct firn_lsm *l = firn_calloc(1, sizeof *l);
    if (!l)
        return FIRN_LIMIT;
    l->env = env;
    l->store = store;
    l->options = *o;
    if (!l->options.readahead_bytes)
        l->options.readahead_bytes = READAHEAD_BYTES_DEFAULT;
    if (!l->options.fetch_bytes_max)
        l->options.fetch_bytes_max = FETCH_BYTES_DEFAULT;
    l->next_read_id = 1;
    firn_list_init(&l->queued);
    firn_list_init(&l->ready);
    l->ready_defer.fn = call_ready;
    l->ready_defer.arg = l;
    if (firn_cache_create(o->cache_bytes, &l->cache) != FIRN_OK) {
        firn_free(l);
        return FIRN_LIMIT;
    }
    if (o->budget) {
        o->budget->reclaim = shrink;
        o->budget->reclaim_arg = l;
        firn_cache_set_budget(l->cache, o->budget);
    }
    *out = l;
    return FIRN_OK;
}

bool firn_lsm_idle(const struct firn_lsm *l)
{
    return l->nactive == 0 && firn_list_empty(&l->queued);
}

void firn_lsm_free(struct firn_lsm *l)
{
    if (!l)
        return;
    FIRN_ASSERT(firn_lsm_idle(l) && firn_list_empty(&l->ready) && l->nhandles == 0);
    if (l->ready_defer.queued)
        firn_defer_cancel(l->env, &l->ready_defer);
    if (l->options.budget)
        l->options.budget->reclaim = NULL;
    firn_cache_free(l->cache);
    firn_codec_ctx_clear(&l->codec);
    firn_free(l->handle);
    firn_free(l);
}

const struct firn_lsm_stats *firn_lsm_stats_of(const struct firn_lsm *l)
{
    /* The cache keeps its own part; the caller's copy is brought up to date here. */
    struct firn_lsm_stats *s = (struct firn_lsm_stats *)(uintptr_t)&l->stats;
    const struct firn_cache_stats *c = firn_cache_stats_of(l->cache);
    s->cache_bytes = c->bytes;
    s->cache_entries = c->entries;
    s->pinned_bytes = c->pinned_bytes;
    s->evictions = c->evictions;
    return s;
}
