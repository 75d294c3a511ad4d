/* WATCH: which connections watch which keys, and what touches them. Every applied record passes
 * firn_engine__watch_touch; nothing is done for it while nobody watches. */
#ifndef FIRN_ENGINE_WATCH_PRIV_H
#define FIRN_ENGINE_WATCH_PRIV_H

#include "base/hashtab.h"
#include "base/list.h"
#include "format/record.h"

/* A connection's part. Zero-initialise and firn_list_init(&keys). */
struct firn_watcher {
    struct firn_list keys; /* struct firn_watch */
    unsigned n;
    size_t bytes; /* memory they hold */
    bool touched; /* one of them was changed since */
    /* What the watched keys were compared with lies below this gate: reads of DURABLE connections
     * must see it, or they could read an older value and still find the key untouched. */
    uint64_t gate;
};

/* The node's table. */
struct firn_watches {
    struct firn_hashtab keys; /* struct firn_watch, by key */
    struct firn_list all;     /* struct firn_watch */
    uint64_t seed;            /* of the hash: clients choose the keys */
};

void firn_engine__watches_init(struct firn_watches *t, uint64_t seed);
/* Watch an internal key: existed says whether it has a live value, expires_ms when that expires (0
 * = never). Watched already: nothing changes. LIMIT: memory. Amortised O(1). */
enum firn_status firn_engine__watch_add(struct firn_watches *t, struct firn_watcher *w,
                                        struct firn_slice key, bool existed,
                                        uint64_t expires_ms) FIRN_MUST_USE;
/* Forget all that w watches, and that it was touched. O(keys). */
void firn_engine__watch_clear(struct firn_watches *t, struct firn_watcher *w);
/* n records were applied: mark who watches a key they change. Deleting a key that was not there is
 * no change. O(n), for a range delete O(watched keys). */
void firn_engine__watch_touch(struct firn_watches *t, const struct firn_record *rec, size_t n);
/* Was a watched key changed, or has one expired by now that had not when it was watched? */
bool firn_engine__watch_failed(const struct firn_watcher *w, uint64_t now_ms);
/* The table's memory; nobody watches any more. */
void firn_engine__watches_free(struct firn_watches *t);

#endif
