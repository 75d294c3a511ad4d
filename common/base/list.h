/* Intrusive circular doubly-linked list. A head is a node that is not an element. */
#ifndef FIRN_BASE_LIST_H
#define FIRN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct firn_list {
    struct firn_list *prev, *next;
};

#define FIRN_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Walk a list; the body may unlink `it` itself (and only it). `it` and `nx` are node pointers. */
#define FIRN_LIST_EACH(it, nx, head)                                                               \
    for (struct firn_list *it = (head)->next, *nx = it->next; it != (head); it = nx, nx = it->next)

static inline void firn_list_init(struct firn_list *l)
{
    l->prev = l->next = l;
}
/* True for an empty head, and for an initialised node that is in no list. */
static inline bool firn_list_empty(const struct firn_list *l)
{
    return l->next == l;
}
static inline void firn_list_insert_before(struct firn_list *at, struct firn_list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}
static inline void firn_list_push(struct firn_list *head, struct firn_list *n)
{
    firn_list_insert_before(head, n); /* at the end */
}
static inline void firn_list_push_front(struct firn_list *head, struct firn_list *n)
{
    firn_list_insert_before(head->next, n);
}
/* Unlink and re-initialise; harmless on a node that is in no list (but was initialised). */
static inline void firn_list_remove(struct firn_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    firn_list_init(n);
}
static inline struct firn_list *firn_list_pop(struct firn_list *head)
{
    if (firn_list_empty(head))
        return NULL;
    struct firn_list *n = head->next;
    firn_list_remove(n);
    return n;
}
/* Move all elements of `from` to the end of `to`; `from` is empty afterwards. */
static inline void firn_list_splice(struct firn_list *to, struct firn_list *from)
{
    if (firn_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    firn_list_init(from);
}

#endif
