/* Ordered index of the memtable: see memtable_priv.h. */
#include "base/assert.h"
#include "lsm/memtable_priv.h"

#define GROUP 16 /* keys inserted together */

/* The next eight bytes of key behind `skip`, zero-padded: compares as the bytes do, but for ties.
 */
static uint64_t prefix_of(struct firn_slice key, uint32_t skip)
{
    if (key.len >= (size_t)skip + 8)
        return firn_be64(key.data + skip);
    uint8_t b[8] = {0};
    if (key.len > skip)
        memcpy(b, key.data + skip, key.len - skip);
    return firn_be64(b);
}

static uint32_t common_prefix(const struct firn_mt_key *a, const struct firn_mt_key *b)
{
    uint32_t n = a->len < b->len ? a->len : b->len, i = 0;
    while (i < n && a->bytes[i] == b->bytes[i])
        i++;
    return i;
}

/* How many of n prefixes are < p (or_equal: ≤ p). */
static unsigned prefix_bound(const uint64_t *prefix, unsigned n, uint64_t p, bool or_equal)
{
    unsigned base = 0;
    while (n > 1) {
        unsigned half = n / 2;
        uint64_t at = prefix[base + half - 1];
        base += (or_equal ? at <= p : at < p) ? half : 0;
        n -= half;
    }
    if (n == 1)
        base += or_equal ? prefix[base] <= p : prefix[base] < p;
    return base;
}

/* How many of the node's keys are < key (or_equal: ≤ key). The key has the prefix of the fences. */
static unsigned node_bound(const struct firn_mt_node *n, struct firn_slice key, bool or_equal)
{
    uint64_t p = prefix_of(key, n->skip);
    unsigned lo = prefix_bound(n->prefix, n->count, p, false);
    if (lo == n->count || n->prefix[lo] != p)
        return lo;
    unsigned hi = lo + prefix_bound(n->prefix + lo, n->count - lo, p, true);
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int c = firn_slice_cmp(firn_mt_key_slice(n->key[mid]), key);
        if (or_equal ? c <= 0 : c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct firn_mt_inner *inner_of(const struct firn_mt_node *n)
{
    return FIRN_CONTAINER(n, struct firn_mt_inner, node);
}

struct path_step {
    struct firn_mt_node *node;
    unsigned index;                 /* inner: of the child taken; leaf: where the key belongs */
    struct firn_mt_key *low, *high; /* fences; NULL = none */
};

/* Fill path[level] for every level, root last. */
static void descend(const struct firn_mt_tree *t, struct firn_slice key, struct path_step *path)
{
    struct firn_mt_key *low = NULL, *high = NULL;
    struct firn_mt_node *n = t->root;
    for (; n->level > 0; n = inner_of(n)->child[path[n->level].index]) {
        unsigned i = node_bound(n, key, true);
        path[n->level] = (struct path_step){n, i, low, high};
        if (i > 0)
            low = n->key[i - 1];
        if (i < n->count)
            high = n->key[i];
    }
    path[0] = (struct path_step){n, node_bound(n, key, false), low, high};
}

/* The leaf that key belongs to. The key has the prefix that a node skips even if it is not in the
 * tree: it lies between the node's fences, and a node with an open fence skips nothing. */
static struct firn_mt_node *leaf_of(const struct firn_mt_tree *t, struct firn_slice key)
{
    struct firn_mt_node *n = t->root;
    while (n->level > 0)
        n = inner_of(n)->child[node_bound(n, key, true)];
    return n;
}

/* Set the node's skip from its fences and its prefixes from its keys. */
static void node_refit(struct firn_mt_node *n, const struct firn_mt_key *low,
                       const struct firn_mt_key *high)
{
    uint32_t skip = low && high ? common_prefix(low, high) : 0;
    if (skip == n->skip)
        return;
    n->skip = skip;
    for (unsigned i = 0; i < n->count; i++)
        n->prefix[i] = prefix_of(firn_mt_key_slice(n->key[i]), skip);
}

static void node_put(struct firn_mt_node *n, unsigned at, struct firn_mt_key *key)
{
    unsigned behind = n->count - at;
    memmove(n->prefix + at + 1, n->prefix + at, behind * sizeof *n->prefix);
    memmove(n->key + at + 1, n->key + at, behind * sizeof *n->key);
    n->prefix[at] = prefix_of(firn_mt_key_slice(key), n->skip);
    n->key[at] = key;
    n->count++;
}

static void inner_put(struct firn_mt_node *n, unsigned at, struct firn_mt_key *key,
                      struct firn_mt_node *right)
{
    struct firn_mt_inner *in = inner_of(n);
    memmove(in->child + at + 2, in->child + at + 1, (n->count - at) * sizeof *in->child);
    node_put(n, at, key);
    in->child[at + 1] = right;
}

/* Move the keys from `from` on to the empty node `right`, which has the same level. */
static void node_move(struct firn_mt_node *n, struct firn_mt_node *right, unsigned from)
{
    right->count = (uint16_t)(n->count - from);
    right->skip = n->skip;
    memcpy(right->prefix, n->prefix + from, right->count * sizeof *n->prefix);
    memcpy(right->key, n->key + from, right->count * sizeof *n->key);
    n->count = (uint16_t)from;
}

/* Split the full leaf of `s`, put key into it; returns the separator before `right`. */
static struct firn_mt_key *leaf_split(struct firn_mt_tree *t, const struct path_step *s,
                                      struct firn_mt_node *right, struct firn_mt_key *key)
{
    struct firn_mt_node *n = s->node;
    /* Ascending keys leave full leaves behind. */
    unsigned from = !s->high && s->index == n->count ? n->count : n->count / 2u;
    node_move(n, right, from);
    right->next = n->next;
    right->prev = n;
    if (right->next)
        right->next->prev = right;
    else
        t->last = right;
    n->next = right;
    if (s->index < from)
        node_put(n, s->index, key);
    else
        node_put(right, s->index - from, key);
    struct firn_mt_key *sep = right->key[0];
    node_refit(n, s->low, sep);
    node_refit(right, sep, s->high);
    return sep;
}

/* Split the full inner node of `s` and put (key, child) into it; returns the separator that goes
 * up. */
static struct firn_mt_key *inner_split(const struct path_step *s, struct firn_mt_node *right,
                                       struct firn_mt_key *key, struct firn_mt_node *child)
{
    struct firn_mt_node *n = s->node;
    unsigned mid = !s->high && s->index == n->count ? n->count - 1u : n->count / 2u;
    struct firn_mt_key *sep = n->key[mid];
    memcpy(inner_of(right)->child, inner_of(n)->child + mid + 1,
           (n->count - mid) * sizeof(struct firn_mt_node *));
    node_move(n, right, mid + 1);
    n->count = (uint16_t)mid; /* the separator itself goes up */
    if (s->index <= mid)
        inner_put(n, s->index, key, child);
    else
        inner_put(right, s->index - mid - 1, key, child);
    node_refit(n, s->low, sep);
    node_refit(right, sep, s->high);
    return sep;
}

static struct firn_mt_node *node_new(struct firn_mt_tree *t, unsigned level)
{
    size_t size = level ? sizeof(struct firn_mt_inner) : sizeof(struct firn_mt_node);
    struct firn_mt_node *n = firn_arena_alloc(t->arena, size);
    if (n) {
        n->count = 0;
        n->level = (uint16_t)level;
        n->skip = 0;
        n->next = n->prev = NULL;
    }
    return n;
}

static enum firn_status plant(struct firn_mt_tree *t, struct firn_mt_key *key)
{
    struct firn_mt_node *n = node_new(t, 0);
    if (!n)
        return FIRN_LIMIT;
    node_put(n, 0, key);
    t->root = t->first = t->last = n;
    t->levels = 1;
    t->keys = 1;
    t->gen++;
    return FIRN_OK;
}

static enum firn_status tree_insert(struct firn_mt_tree *t, struct firn_mt_key *key)
{
    if (!t->root)
        return plant(t, key);
    struct path_step path[FIRN_MT_LEVELS_MAX];
    struct firn_mt_node *fresh[FIRN_MT_LEVELS_MAX + 1];
    descend(t, firn_mt_key_slice(key), path);

    /* All nodes that splits will need are taken first, so that a failure changes nothing. */
    unsigned splits = 0;
    while (splits < t->levels && path[splits].node->count == FIRN_MT_FANOUT)
        splits++;
    bool grow = splits == t->levels;
    if (grow && t->levels == FIRN_MT_LEVELS_MAX)
        return FIRN_LIMIT;
    for (unsigned l = 0; l < splits + (grow ? 1u : 0u); l++)
        if (!(fresh[l] = node_new(t, l)))
            return FIRN_LIMIT;

    t->keys++;
    t->gen++;
    if (splits == 0) {
        node_put(path[0].node, path[0].index, key);
        return FIRN_OK;
    }
    struct firn_mt_key *sep = leaf_split(t, &path[0], fresh[0], key);
    unsigned l = 1;
    for (; l < splits; l++)
        sep = inner_split(&path[l], fresh[l], sep, fresh[l - 1]);
    if (!grow) {
        inner_put(path[l].node, path[l].index, sep, fresh[l - 1]);
        return FIRN_OK;
    }
    inner_of(fresh[l])->child[0] = t->root;
    inner_put(fresh[l], 0, sep, fresh[l - 1]);
    t->root = fresh[l];
    t->levels++;
    return FIRN_OK;
}

/* Find the leaves of n keys, so that the memory of all is on its way before the first is used. */
static void find_leaves(const struct firn_mt_tree *t, struct firn_mt_key *const *key, size_t n,
                        struct firn_mt_node **leaf)
{
    for (size_t i = 0; i < n; i++) {
        leaf[i] = leaf_of(t, firn_mt_key_slice(key[i]));
        for (size_t at = 0; at < sizeof(struct firn_mt_node); at += 128)
            __builtin_prefetch((const char *)leaf[i] + at, 1);
    }
}

enum firn_status firn_memtable__tree_insert(struct firn_mt_tree *t, struct firn_mt_key *const *key,
                                            size_t n, size_t *done)
{
    for (*done = 0; *done < n;) {
        struct firn_mt_node *leaf[GROUP];
        size_t group = n - *done < GROUP ? n - *done : GROUP;
        bool found = t->root != NULL;
        if (found)
            find_leaves(t, key + *done, group, leaf);
        for (size_t i = 0; i < group; i++, (*done)++) {
            struct firn_mt_key *k = key[*done];
            if (found && leaf[i]->count < FIRN_MT_FANOUT) {
                node_put(leaf[i], node_bound(leaf[i], firn_mt_key_slice(k), false), k);
                t->keys++;
                t->gen++;
                continue;
            }
            found = false; /* a split: what was found for the rest may be wrong */
            enum firn_status st = tree_insert(t, k);
            if (st != FIRN_OK)
                return st;
        }
    }
    return FIRN_OK;
}

const struct firn_mt_node *firn_memtable__tree_find(const struct firn_mt_tree *t,
                                                    struct firn_slice key, unsigned *index)
{
    if (!t->root)
        return NULL;
    const struct firn_mt_node *n = leaf_of(t, key);
    *index = node_bound(n, key, false);
    return n;
}

double firn_memtable__tree_rank(const struct firn_mt_tree *t, struct firn_slice key)
{
    if (!t->root)
        return 0;
    double rank = 0, share = 1;
    struct firn_mt_node *n = t->root;
    while (n->level > 0) {
        unsigned i = node_bound(n, key, true);
        share /= n->count + 1;
        rank += share * i;
        n = inner_of(n)->child[i];
    }
    return rank + share * node_bound(n, key, false) / n->count;
}

/* --- iterators */

enum { AT_INDEX, AT_GEN, AT_KEY }; /* what priv[] holds */

static const struct firn_mt_version *visible(const struct firn_mt_version *v, uint64_t max_seqno)
{
    while (v && v->seqno > max_seqno)
        v = v->older;
    return v;
}

enum firn_status firn_memtable_iter_init(struct firn_memtable_iter *it, struct firn_memtable *m,
                                         uint64_t max_seqno, bool reverse)
{
    enum firn_status st = firn_memtable__catch_up(m);
    if (st == FIRN_OK)
        *it = (struct firn_memtable_iter){.m = m, .max_seqno = max_seqno, .reverse = reverse};
    return st;
}

/* Stand at (leaf, index), or on from there in the iterator's direction, where a version is visible.
 */
static void settle(struct firn_memtable_iter *it, const struct firn_mt_node *n, long index)
{
    const struct firn_mt_version *v = NULL;
    const struct firn_mt_key *key = NULL;
    while (n) {
        if (index < 0) {
            n = n->prev;
            index = n ? n->count - 1 : 0;
            continue;
        }
        if (index >= n->count) {
            n = n->next;
            index = 0;
            continue;
        }
        key = n->key[index];
        v = visible(key->newest, it->max_seqno);
        if (v)
            break;
        index += it->reverse ? -1 : 1;
    }
    it->node = (void *)(uintptr_t)n;
    it->version = (void *)(uintptr_t)v;
    it->priv[AT_INDEX] = (uint64_t)index;
    it->priv[AT_GEN] = it->m->tree.gen;
    it->priv[AT_KEY] = (uintptr_t)key;
}

void firn_memtable_iter_seek(struct firn_memtable_iter *it, struct firn_slice key)
{
    const struct firn_mt_tree *t = &it->m->tree;
    if (it->reverse && key.len == 0) {
        settle(it, t->last, t->last ? t->last->count - 1 : 0);
        return;
    }
    unsigned index = 0;
    const struct firn_mt_node *n = firn_memtable__tree_find(t, key, &index);
    settle(it, n, (long)index - (it->reverse ? 1 : 0));
}

bool firn_memtable_iter_get(const struct firn_memtable_iter *it, struct firn_entry *out)
{
    const struct firn_mt_version *v = it->version;
    if (!v)
        return false;
    const struct firn_mt_key *k = (const struct firn_mt_key *)(uintptr_t)it->priv[AT_KEY];
    out->key = firn_mt_key_slice(k);
    out->value = firn_slice_of(v->value, v->value_len);
    out->seqno = v->seqno;
    out->expiry_ms = v->expiry_ms;
    out->kind = v->kind;
    return true;
}

void firn_memtable_iter_next(struct firn_memtable_iter *it)
{
    const struct firn_mt_version *v = it->version;
    if (!v)
        return;
    if (v->older) { /* older than a visible one: visible */
        it->version = v->older;
        return;
    }
    firn_memtable_iter_skip(it);
}

void firn_memtable_iter_skip(struct firn_memtable_iter *it)
{
    if (!it->version)
        return;
    const struct firn_mt_node *n = it->node;
    unsigned index = (unsigned)it->priv[AT_INDEX];
    if (it->priv[AT_GEN] != it->m->tree.gen) { /* keys came in: find our place again */
        const struct firn_mt_key *k = (const struct firn_mt_key *)(uintptr_t)it->priv[AT_KEY];
        n = firn_memtable__tree_find(&it->m->tree, firn_mt_key_slice(k), &index);
    }
    settle(it, n, (long)index + (it->reverse ? -1 : 1));
}
