#include "fakes/fake_priv.h"

#include "base/hash.h"

#include <stdlib.h>

/* Levels of a node follow from its name, so that the shape is the same on every run. */
static unsigned levels_of(const char *name)
{
    uint64_t h = firn_xxh3(name, strlen(name));
    unsigned n = 1;
    while (n < FAKE_TREE_LEVELS && (h & 3) == 0) {
        n++;
        h >>= 2;
    }
    return n;
}

/* The pointer on each level that leads to the first node ≥ name (> name, if behind). */
static void locate(const struct fake_tree *t, const char *name, bool behind,
                   struct fake_tree_node *const *link[FAKE_TREE_LEVELS])
{
    struct fake_tree_node *const *at = t->head;
    for (unsigned l = FAKE_TREE_LEVELS; l-- > 0;) {
        while (at[l]) {
            int c = strcmp(at[l]->name, name);
            if (c > 0 || (c == 0 && !behind))
                break;
            at = at[l]->next;
        }
        link[l] = &at[l];
    }
}

struct fake_tree_node *fake_tree_seek(const struct fake_tree *t, const char *name, bool behind)
{
    struct fake_tree_node *const *link[FAKE_TREE_LEVELS];
    locate(t, name, behind, link);
    return *link[0];
}

struct fake_tree_node *fake_tree_find(const struct fake_tree *t, const char *name)
{
    struct fake_tree_node *n = fake_tree_seek(t, name, false);
    return n && strcmp(n->name, name) == 0 ? n : NULL;
}

struct fake_tree_node *fake_tree_next(const struct fake_tree_node *n)
{
    return n->next[0];
}

void **fake_tree_put(struct fake_tree *t, const char *name)
{
    struct fake_tree_node *const *link[FAKE_TREE_LEVELS];
    locate(t, name, false, link);
    struct fake_tree_node *n = *link[0];
    if (n && strcmp(n->name, name) == 0)
        return &n->value;
    unsigned levels = levels_of(name);
    n = fake_alloc(sizeof *n + levels * sizeof n->next[0]);
    n->name = fake_strdup(name);
    for (unsigned l = 0; l < levels; l++) {
        struct fake_tree_node **from = (struct fake_tree_node **)(uintptr_t)link[l];
        n->next[l] = *from;
        *from = n;
    }
    t->count++;
    return &n->value;
}

void *fake_tree_remove(struct fake_tree *t, const char *name)
{
    struct fake_tree_node *const *link[FAKE_TREE_LEVELS];
    locate(t, name, false, link);
    struct fake_tree_node *n = *link[0];
    if (!n || strcmp(n->name, name) != 0)
        return NULL;
    for (unsigned l = 0; l < levels_of(name); l++)
        *(struct fake_tree_node **)(uintptr_t)link[l] = n->next[l];
    void *value = n->value;
    free(n->name);
    free(n);
    t->count--;
    return value;
}
