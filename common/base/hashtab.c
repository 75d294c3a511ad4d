#include "base/hashtab.h"

#include "base/assert.h"
#include "base/mem.h"

#define FIRST_CAP 16

static struct firn_hashtab_node **bucket_of(const struct firn_hashtab *t, uint64_t hash)
{
    return &t->bucket[hash & (t->cap - 1)];
}

/* Twice the buckets. When memory is short the chains just become longer. */
static void grow(struct firn_hashtab *t)
{
    size_t cap = t->cap ? t->cap * 2 : FIRST_CAP;
    struct firn_hashtab bigger = {.cap = cap, .len = t->len};
    bigger.bucket = firn_calloc(cap, sizeof(struct firn_hashtab_node *));
    if (!bigger.bucket)
        return;
    for (size_t i = 0; i < t->cap; i++) {
        struct firn_hashtab_node *n, *next;
        for (n = t->bucket[i]; n; n = next) {
            struct firn_hashtab_node **at = bucket_of(&bigger, n->hash);
            next = n->next;
            n->next = *at;
            *at = n;
        }
    }
    firn_free(t->bucket);
    *t = bigger;
}

enum firn_status firn_hashtab_add(struct firn_hashtab *t, struct firn_hashtab_node *n,
                                  uint64_t hash)
{
    if (t->len >= t->cap)
        grow(t);
    if (!t->cap)
        return FIRN_LIMIT;
    struct firn_hashtab_node **at = bucket_of(t, hash);
    n->hash = hash;
    n->next = *at;
    *at = n;
    t->len++;
    return FIRN_OK;
}

void firn_hashtab_remove(struct firn_hashtab *t, struct firn_hashtab_node *n)
{
    struct firn_hashtab_node **at = bucket_of(t, n->hash);
    while (*at != n) {
        FIRN_ASSERT(*at);
        at = &(*at)->next;
    }
    *at = n->next;
    n->next = NULL;
    t->len--;
}

static struct firn_hashtab_node *skip_to(struct firn_hashtab_node *n, uint64_t hash)
{
    while (n && n->hash != hash)
        n = n->next;
    return n;
}

struct firn_hashtab_node *firn_hashtab_find(const struct firn_hashtab *t, uint64_t hash)
{
    return t->cap ? skip_to(*bucket_of(t, hash), hash) : NULL;
}

struct firn_hashtab_node *firn_hashtab_next(const struct firn_hashtab_node *n)
{
    return skip_to(n->next, n->hash);
}

void firn_hashtab_clear(struct firn_hashtab *t)
{
    firn_free(t->bucket);
    *t = (struct firn_hashtab){0};
}
