#include "lsm/table_cut.h"

#include "base/assert.h"

void firn_table_cut_init(struct firn_table_cut *c, const struct firn_table_options *o,
                         uint64_t table_bytes, const struct firn_range_tomb *tomb, size_t tombs)
{
    *c = (struct firn_table_cut){.o = *o, .table_bytes = table_bytes, .tomb = tomb, .tombs = tombs};
    firn_buf_init(&c->from, FIRN_BOUND_MAX);
    firn_buf_init(&c->last, FIRN_KEY_MAX);
}

void firn_table_cut_clear(struct firn_table_cut *c)
{
    firn_table_builder_free(c->builder);
    c->builder = NULL;
    firn_buf_clear(&c->from);
    firn_buf_clear(&c->last);
    if (c->have_done)
        firn_table_object_clear(&c->done);
    c->have_done = false;
}

static enum firn_status want_builder(struct firn_table_cut *c)
{
    return c->builder ? FIRN_OK : firn_table_builder_create(&c->o, &c->builder);
}

/* The next fragment, or what a cut left of it. */
static struct firn_range_tomb current_tomb(const struct firn_table_cut *c)
{
    struct firn_range_tomb t = c->tomb[c->next_tomb];
    if (c->cut_through)
        t.start = firn_buf_slice(&c->from);
    return t;
}

/* Give the open table all range tombstones before `bound` (NULL: all), splitting the one across it.
 */
static enum firn_status add_tombs(struct firn_table_cut *c, const struct firn_slice *bound)
{
    while (c->next_tomb < c->tombs) {
        struct firn_range_tomb t = current_tomb(c);
        if (bound && firn_slice_cmp(t.start, *bound) >= 0)
            return FIRN_OK;
        bool across = bound && firn_before_end(*bound, t.end);
        if (across)
            t.end = *bound;
        enum firn_status s = want_builder(c);
        if (s == FIRN_OK)
            s = firn_table_builder_add_tomb(c->builder, &t);
        if (s != FIRN_OK)
            return s;
        if (across) {
            c->from.len = 0;
            c->cut_through = true;
            return firn_buf_append(&c->from, bound->data, bound->len);
        }
        c->cut_through = false;
        c->next_tomb++;
    }
    return FIRN_OK;
}

static enum firn_status close_table(struct firn_table_cut *c)
{
    FIRN_ASSERT(!c->have_done);
    enum firn_status s = firn_table_builder_finish(c->builder, &c->done);
    if (s != FIRN_OK)
        return s;
    firn_table_builder_free(c->builder);
    c->builder = NULL;
    c->have_done = true;
    c->o.name.number++;
    return FIRN_OK;
}

/* May the tables be cut between the last key and `key`? Only if the shortened bounds keep them
 * apart. */
static bool separable(const struct firn_table_cut *c, struct firn_slice key)
{
    uint8_t upper[FIRN_BOUND_MAX];
    size_t n = firn_bound_upper(firn_buf_slice(&c->last), true, upper);
    return firn_slice_cmp(firn_slice_of(upper, n), firn_bound_lower(key)) <= 0;
}

static bool is_large(const struct firn_table_cut *c)
{
    return firn_table_builder_bytes(c->builder) >= c->table_bytes ||
           (c->memory_max && firn_table_builder_memory(c->builder) >= c->memory_max);
}

enum firn_status firn_table_cut_add(struct firn_table_cut *c, const struct firn_entry *e,
                                    uint64_t hash, bool *ready)
{
    enum firn_status s = FIRN_OK;
    *ready = false;
    if (c->builder && is_large(c) && separable(c, e->key)) {
        struct firn_slice bound = firn_bound_lower(e->key);
        s = add_tombs(c, &bound);
        if (s == FIRN_OK)
            s = close_table(c);
        if (s != FIRN_OK)
            return s;
        *ready = true;
    }
    s = want_builder(c);
    if (s == FIRN_OK)
        s = firn_table_builder_add(c->builder, e, hash);
    c->last.len = 0;
    return s == FIRN_OK ? firn_buf_append(&c->last, e->key.data, e->key.len) : s;
}

enum firn_status firn_table_cut_finish(struct firn_table_cut *c, bool *ready)
{
    *ready = false;
    enum firn_status s = add_tombs(c, NULL);
    if (s != FIRN_OK || !c->builder)
        return s;
    s = close_table(c);
    *ready = s == FIRN_OK;
    return s;
}

struct firn_table_object firn_table_cut_take(struct firn_table_cut *c)
{
    FIRN_ASSERT(c->have_done);
    c->have_done = false;
    return c->done;
}
