#include "sim/history.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdlib.h>

#define CAP_MIN 64

void *hist_room(void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return array;
    *cap = *cap ? 2 * *cap : CAP_MIN;
    void *more = firn_realloc(array, *cap * size);
    FIRN_ASSERT(more);
    return more;
}

int64_t hist_number(struct firn_slice s)
{
    char text[32];
    size_t len = s.len < sizeof text - 1 ? s.len : sizeof text - 1;
    if (len)
        memcpy(text, s.data, len);
    text[len] = 0;
    return strtoll(text, NULL, 10);
}

/* ---- interned bytes */

static void enter(struct hist_names *n, uint32_t id)
{
    size_t i = n->name[id].hash & (n->buckets - 1);
    while (n->bucket[i])
        i = (i + 1) & (n->buckets - 1);
    n->bucket[i] = id;
}

static void more_buckets(struct hist_names *n)
{
    firn_free(n->bucket);
    n->buckets = n->buckets ? 2 * n->buckets : (size_t)4 * CAP_MIN;
    n->bucket = firn_calloc(n->buckets, sizeof *n->bucket);
    FIRN_ASSERT(n->bucket);
    for (uint32_t id = 1; id <= n->count; id++)
        enter(n, id);
}

uint32_t hist_intern(struct hist_names *n, struct firn_slice bytes)
{
    if (2 * ((size_t)n->count + 1) > n->buckets)
        more_buckets(n);
    uint32_t hash = (uint32_t)firn_xxh3(bytes.data, bytes.len);
    for (size_t i = hash & (n->buckets - 1); n->bucket[i]; i = (i + 1) & (n->buckets - 1)) {
        uint32_t id = n->bucket[i];
        if (n->name[id].hash == hash && firn_slice_eq(hist_name_of(n, id), bytes))
            return id;
    }
    n->name = hist_room(n->name, &n->cap, (size_t)n->count + 1, sizeof *n->name);
    uint32_t id = ++n->count;
    n->name[id] = (struct hist_name){n->bytes.len, (uint32_t)bytes.len, hash};
    enum firn_status kept = firn_buf_append(&n->bytes, bytes.data, bytes.len);
    FIRN_ASSERT(kept == FIRN_OK);
    enter(n, id);
    return id;
}

struct firn_slice hist_name_of(const struct hist_names *n, uint32_t id)
{
    FIRN_ASSERT(id <= n->count);
    if (!id || !n->name[id].len)
        return firn_slice_of("", 0);
    return firn_slice_of(n->bytes.data + n->name[id].at, n->name[id].len);
}

static void names_clear(struct hist_names *n)
{
    firn_free(n->name);
    firn_free(n->bucket);
    firn_buf_clear(&n->bytes);
}

/* ---- operations */

void hist_init(struct hist *h)
{
    *h = (struct hist){0};
    firn_buf_init(&h->keys.bytes, SIZE_MAX);
    firn_buf_init(&h->values.bytes, SIZE_MAX);
}

void hist_clear(struct hist *h)
{
    names_clear(&h->keys);
    names_clear(&h->values);
    firn_free(h->op);
    firn_free(h->action);
    firn_free(h->arg);
    firn_free(h->item);
    firn_free(h->word);
    hist_init(h);
}

uint32_t hist_begin(struct hist *h, const struct hist_who *who, uint64_t now_ns)
{
    h->op = hist_room(h->op, &h->ops_cap, h->ops, sizeof *h->op);
    h->op[h->ops] = (struct hist_op){
        .who = *who,
        .form = HIST_PLAIN,
        .outcome = HIST_UNKNOWN,
        .invoked_ns = now_ns,
        .replied_ns = HIST_NEVER,
        .action = (uint32_t)h->actions,
        .word = (uint32_t)h->words,
    };
    return (uint32_t)h->ops++;
}

void hist_exec(struct hist *h, uint32_t op)
{
    h->op[op].form = HIST_EXEC;
}

void hist_again(struct hist *h, uint32_t op)
{
    struct hist_op *o = &h->op[op];
    o->again |= o->outcome == HIST_UNKNOWN;
    o->outcome = HIST_UNKNOWN;
    o->replied_ns = HIST_NEVER;
}

bool hist_writes(const struct hist *h, const struct hist_op *op)
{
    for (uint32_t i = 0; i < op->thens + op->elses; i++) {
        unsigned verb = h->action[op->action + op->compares + i].verb;
        if (verb >= HIST_SET && verb != HIST_COMPARE)
            return true;
    }
    return false;
}
