#include "engine/watch_priv.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

struct firn_watch {
    struct firn_hashtab_node node; /* watches->keys */
    struct firn_list all;          /* watches->all */
    struct firn_list link;         /* watcher->keys */
    struct firn_watcher *watcher;
    uint64_t expires_ms; /* 0 = never, or it did not exist */
    bool existed;
    uint32_t len;
    uint8_t key[];
};

static struct firn_slice key_of(const struct firn_watch *w)
{
    return firn_slice_of(w->key, w->len);
}

static uint64_t hash_of(const struct firn_watches *t, struct firn_slice key)
{
    return firn_xxh3_seed(key.data, key.len, t->seed);
}

static struct firn_watch *watch_of(struct firn_hashtab_node *n)
{
    return n ? FIRN_CONTAINER(n, struct firn_watch, node) : NULL;
}

void firn_engine__watches_init(struct firn_watches *t, uint64_t seed)
{
    *t = (struct firn_watches){.seed = seed};
    firn_list_init(&t->all);
}

enum firn_status firn_engine__watch_add(struct firn_watches *t, struct firn_watcher *watcher,
                                        struct firn_slice key, bool existed, uint64_t expires_ms)
{
    uint64_t hash = hash_of(t, key);
    for (struct firn_watch *w = watch_of(firn_hashtab_find(&t->keys, hash)); w;
         w = watch_of(firn_hashtab_next(&w->node)))
        if (w->watcher == watcher && firn_slice_eq(key_of(w), key))
            return FIRN_OK;
    struct firn_watch *w = firn_malloc(sizeof *w + key.len);
    if (!w)
        return FIRN_LIMIT;
    *w = (struct firn_watch){
        .watcher = watcher, .existed = existed, .expires_ms = expires_ms, .len = (uint32_t)key.len};
    memcpy(w->key, key.data, key.len);
    if (firn_hashtab_add(&t->keys, &w->node, hash) != FIRN_OK) {
        firn_free(w);
        return FIRN_LIMIT;
    }
    firn_list_push(&t->all, &w->all);
    firn_list_push(&watcher->keys, &w->link);
    watcher->n++;
    watcher->bytes += sizeof *w + key.len;
    return FIRN_OK;
}

void firn_engine__watch_clear(struct firn_watches *t, struct firn_watcher *watcher)
{
    struct firn_list *n;
    while ((n = firn_list_pop(&watcher->keys))) {
        struct firn_watch *w = FIRN_CONTAINER(n, struct firn_watch, link);
        firn_hashtab_remove(&t->keys, &w->node);
        firn_list_remove(&w->all);
        firn_free(w);
    }
    watcher->n = 0;
    watcher->bytes = 0;
    watcher->touched = false;
}

static void touch_key(const struct firn_watches *t, struct firn_slice key, bool deletes)
{
    for (struct firn_watch *w = watch_of(firn_hashtab_find(&t->keys, hash_of(t, key))); w;
         w = watch_of(firn_hashtab_next(&w->node)))
        if ((w->existed || !deletes) && firn_slice_eq(key_of(w), key))
            w->watcher->touched = true;
}

static void touch_range(struct firn_watches *t, struct firn_slice start, struct firn_slice end)
{
    FIRN_LIST_EACH(it, nx, &t->all)
    {
        const struct firn_watch *w = FIRN_CONTAINER(it, struct firn_watch, all);
        if (w->existed && firn_slice_cmp(start, key_of(w)) <= 0 &&
            firn_slice_cmp(key_of(w), end) < 0)
            w->watcher->touched = true;
    }
}

void firn_engine__watch_touch(struct firn_watches *t, const struct firn_record *rec, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (rec[i].kind) {
        case FIRN_RECORD_PUT:
            touch_key(t, rec[i].key, false);
            break;
        case FIRN_RECORD_DEL:
        case FIRN_RECORD_EXPIRED:
            touch_key(t, rec[i].key, true);
            break;
        case FIRN_RECORD_RANGEDEL:
            touch_range(t, rec[i].key, rec[i].end_key);
            break;
        default: /* changes no key of a user's */
            break;
        }
    }
}

bool firn_engine__watch_failed(const struct firn_watcher *watcher, uint64_t now_ms)
{
    if (watcher->touched)
        return true;
    FIRN_LIST_EACH(it, nx, &watcher->keys)
    {
        const struct firn_watch *w = FIRN_CONTAINER(it, struct firn_watch, link);
        if (w->expires_ms && w->expires_ms <= now_ms)
            return true;
    }
    return false;
}

void firn_engine__watches_free(struct firn_watches *t)
{
    FIRN_ASSERT(t->keys.len == 0);
    firn_hashtab_clear(&t->keys);
}
