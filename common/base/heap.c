#include "base/heap.h"

#include "base/assert.h"
#include "base/mem.h"

static void place(struct firn_heap *h, size_t i, struct firn_heap_node *n)
{
    h->node[i] = n;
    n->pos = i;
}

static void sift_up(struct firn_heap *h, size_t i)
{
    struct firn_heap_node *n = h->node[i];
    for (; i > 1 && h->node[i / 2]->key > n->key; i /= 2)
        place(h, i, h->node[i / 2]);
    place(h, i, n);
}

static void sift_down(struct firn_heap *h, size_t i)
{
    struct firn_heap_node *n = h->node[i];
    for (;;) {
        size_t c = i * 2;
        if (c > h->len)
            break;
        if (c < h->len && h->node[c + 1]->key < h->node[c]->key)
            c++;
        if (h->node[c]->key >= n->key)
            break;
        place(h, i, h->node[c]);
        i = c;
    }
    place(h, i, n);
}

enum firn_status firn_heap_push(struct firn_heap *h, struct firn_heap_node *n)
{
    FIRN_ASSERT(n->pos == 0);
    if (h->len + 1 >= h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;
        struct firn_heap_node **p = firn_realloc(h->node, cap * sizeof(struct firn_heap_node *));
        if (!p)
            return FIRN_LIMIT;
        h->node = p;
        h->cap = cap;
    }
    h->len++;
    place(h, h->len, n);
    sift_up(h, h->len);
    return FIRN_OK;
}

void firn_heap_remove(struct firn_heap *h, struct firn_heap_node *n)
{
    size_t i = n->pos;
    if (i == 0)
        return;
    FIRN_ASSERT(h->node[i] == n);
    n->pos = 0;
    struct firn_heap_node *last = h->node[h->len--];
    if (last == n)
        return;
    place(h, i, last);
    sift_up(h, i);
    sift_down(h, last->pos);
}

struct firn_heap_node *firn_heap_min(const struct firn_heap *h)
{
    return h->len ? h->node[1] : NULL;
}

void firn_heap_clear(struct firn_heap *h)
{
    firn_free(h->node);
    *h = (struct firn_heap){0};
}
