/* One pass of garbage collection: LIST objects -> read the manifest M -> what M's checkpoints and
 * history need
 * -> LIST pins and look at them -> judge -> delete -> commit (PROTOCOL "Garbage collection").
 * Deletions go by what was read in `manifest`. One request at a time but for the deletions. The
 * looks are in compactor_look.c. */
#include "compactor/compactor_gc_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "manifest/check.h"
#include "base/sometimes.h"

static const char *const prefixes[] = {"manifest-log/", "probe/", "jobs/",
                                       "nodes/",        "sst/",   "wal/"};
#define PREFIXES (sizeof prefixes / sizeof *prefixes)
#define DELETES_MAX 8 /* single deletes under way, where the store has no multi-delete */

/* ---- beginning and end */

enum firn_status firn_compactor__gc_create(struct firn_compactor *c)
{
    struct compactor_gc *g = firn_calloc(1, sizeof *g);
    if (!g)
        return FIRN_LIMIT;
    struct firn_garbage_options o = {
        .table_grace_ns = c->settings->table_grace_ns,
        .pin_ttl_ns = c->settings->pin_ttl_ns,
    };
    enum firn_status s = firn_garbage_create(&o, &g->collector);
    if (s != FIRN_OK) {
        firn_free(g);
        return s;
    }
    g->c = c;
    firn_buf_init(&g->objects, SIZE_MAX);
    firn_buf_init(&g->pins, SIZE_MAX);
    firn_buf_init(&g->doomed, SIZE_MAX);
    firn_buf_init(&g->deleted, SIZE_MAX);
    firn_buf_init(&g->chain, SIZE_MAX);
    firn_buf_init(&g->checkpoints, SIZE_MAX);
    c->gc = g;
    return FIRN_OK;
}

static void drop_checkpoints(struct compactor_gc *g)
{
    Firn__Manifest **m = (Firn__Manifest **)(void *)g->checkpoints.data;
    for (size_t i = 0; i < g->checkpoints.len / sizeof *m; i++)
        firn_pb_manifest_free(m[i]);
    g->checkpoints.len = 0;
}

/* Forget all of this pass; the buffers, the chain and the collector stay for the next. */
static void drop_pass(struct compactor_gc *g)
{
    firn_store_op_clear(&g->op);
    firn_arena_clear(&g->arena);
    firn_budget_set(&g->c->budget, FIRN_BUDGET_PINNED, 0);
    g->objects.len = g->pins.len = g->doomed.len = g->deleted.len = 0;
    drop_checkpoints(g);
    firn_manifest_unref(g->manifest);
    g->manifest = NULL;
    firn_free(g->single);
    g->single = NULL;
}

void firn_compactor__gc_free(struct firn_compactor *c)
{
    struct compactor_gc *g = c->gc;
    if (!g)
        return;
    drop_pass(g);
    firn_buf_clear(&g->objects);
    firn_buf_clear(&g->pins);
    firn_buf_clear(&g->doomed);
    firn_buf_clear(&g->deleted);
    firn_buf_clear(&g->chain);
    firn_buf_clear(&g->checkpoints);
    firn_garbage_free(g->collector);
    firn_free(g);
    c->gc = NULL;
}

uint64_t firn_compactor__grace_ns(const struct firn_compactor *c)
{
    const struct firn_settings *s = c->settings;
    uint64_t max = s->table_grace_ns > s->wal_grace_ns ? s->table_grace_ns : s->wal_grace_ns;
    return max > s->pin_ttl_ns ? max : s->pin_ttl_ns;
}

uint64_t firn_compactor__gc_interval_ns(const struct firn_compactor *c)
{
    const struct firn_settings *s = c->settings;
    uint64_t min = s->table_grace_ns < s->wal_grace_ns ? s->table_grace_ns : s->wal_grace_ns;
    min /= 4;
    if (min < c->settings->compactor_poll_min_ns)
        min = c->settings->compactor_poll_min_ns;
    return min < 60 * FIRN_SEC ? min : 60 * FIRN_SEC;
}

/* A slot below `kept`, which goes when wal_grace has passed since one of our passes first saw that
 * kept: that may be later than is_quiet() has it, which counts from our claim, when the first pass
 * took long. Seals (I3) and slots of other databases stay. */
static bool slot_waits(const struct compactor_gc *g, const struct gc_object *o)
{
    struct firn_name n;
    return o->size != FIRN_SEAL_BYTES && firn_name_parse(firn_slice_str(o->name), &n) == FIRN_OK &&
           n.kind == FIRN_NAME_SLOT && n.db == firn_id_short(&g->manifest->db) &&
           firn_place_cmp(n.place, g->manifest->kept) < 0;
}

/* Is there something that a later pass may delete? The notes of living nodes are no reason to
 * hurry. */
static bool is_waiting(const struct compactor_gc *g)
{
    const struct gc_object *o = (const struct gc_object *)(const void *)g->objects.data;
    if (!g->manifest ||
        g->manifest->pb->n_garbage > g->deleted.len / sizeof(struct firn_table_name))
        return true;
    for (size_t i = 0; i < g->objects.len / sizeof *o; i++)
        if (strncmp(o[i].name, "pins/", 5) == 0 || strncmp(o[i].name, "probe/", 6) == 0 ||
            strncmp(o[i].name, "jobs/", 5) == 0 || slot_waits(g, &o[i]))
            return true;
    return false;
}

void firn_compactor__gc_end(struct compactor_gc *g, enum firn_status s, const struct firn_err *err)
{
    struct firn_compactor *c = g->c;
    struct compactor_pass p = {
        .status = s, .deleted = g->ndeleted, .raised = g->raised, .waiting = is_waiting(g)};
    if (err)
        p.err = *err;
    drop_pass(g);
    firn_compactor__collected(c, &p);
    firn_compactor__settled(c);
}

/* ---- requests, one at a time */

void firn_compactor__gc_submit(struct compactor_gc *g, enum firn_os_op op, const char *key,
                               void (*done)(struct compactor_gc *g))
{
    firn_store_op_clear(&g->op);
    firn_store_op_init(&g->op);
    g->op.req.op = op;
    g->op.req.key = key;
    g->op.done = firn_compactor__gc_done;
    g->op.arg = g;
    g->then = done;
    firn_store_submit(g->c->store, &g->op);
}

void firn_compactor__gc_done(struct firn_store_op *op)
{
    struct compactor_gc *g = op->arg;
    if (g->cancelled)
        firn_compactor__gc_end(g, FIRN_TRANSIENT, NULL);
    else
        g->then(g);
}

void firn_compactor__gc_cancel(struct firn_compactor *c)
{
    struct compactor_gc *g = c->gc;
    g->cancelled = true;
    firn_store_cancel(c->store, &g->op);
    firn_manifest_read_cancel(c->mnode, &g->read);
    for (size_t i = 0; g->single && i < DELETES_MAX; i++)
        firn_store_cancel(c->store, &g->single[i].op);
}

/* A request failed in a way that ends the pass? Then it is ended. */
bool firn_compactor__gc_failed(struct compactor_gc *g, enum firn_status s)
{
    if (s == FIRN_OK)
        return false;
    struct firn_err err = g->op.req.err;
    firn_compactor__gc_end(g, s, &err);
    return true;
}

/* ---- LIST objects */

static void listed(struct compactor_gc *g);

static void list(struct compactor_gc *g)
{
    g->nlisted = 0;
    firn_compactor__gc_submit(g, FIRN_OS_LIST, prefixes[g->prefix], listed);
}

enum firn_status firn_compactor__gc_note(struct compactor_gc *g, struct firn_buf *to,
                                         const struct firn_os_entry *e)
{
    struct firn_slice name = firn_arena_copy(&g->arena, firn_slice_of(e->key, strlen(e->key) + 1));
    struct gc_object o = {(const char *)name.data, e->size, {NULL, 0}};
    enum firn_status s = name.data ? firn_buf_append(to, &o, sizeof o) : FIRN_LIMIT;
    firn_budget_set(&g->c->budget, FIRN_BUDGET_PINNED, g->arena.used_bytes + to->cap);
    return s;
}

static void read_manifest(struct compactor_gc *g);

static void listed(struct compactor_gc *g)
{
    if (firn_compactor__gc_failed(g, g->op.status))
        return;
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; s == FIRN_OK && i < g->op.req.page.count; i++, g->nlisted++)
        s = firn_compactor__gc_note(g, &g->objects, &g->op.req.page.entry[i]);
    if (firn_compactor__gc_failed(g, s))
        return;
    if (g->op.req.page.next && g->nlisted < GC_LISTED_MAX) {
        struct firn_slice next = firn_slice_str(g->op.req.page.next);
        struct firn_slice cursor =
            firn_arena_copy(&g->arena, firn_slice_of(next.data, next.len + 1));
        if (firn_compactor__gc_failed(g, cursor.data ? FIRN_OK : FIRN_LIMIT))
            return;
        firn_store_op_clear(&g->op);
        g->op.req.cursor = (const char *)cursor.data;
        firn_store_submit(g->c->store, &g->op);
        return;
    }
    if (++g->prefix < PREFIXES)
        list(g);
    else
        read_manifest(g);
}

void firn_compactor__gc_start(struct firn_compactor *c)
{
    struct compactor_gc *g = c->gc;
    g->cancelled = g->raised = false;
    g->ndeleted = g->prefix = 0;
    c->pending++;
    list(g);
}

/* ---- read M */

static void manifest_read(struct firn_manifest_read *r)
{
    struct compactor_gc *g = r->arg;
    struct firn_err err = r->err;
    enum firn_status s = g->cancelled ? FIRN_TRANSIENT : r->status;
    /* Who may not commit may not delete either: it does not know what else refers to objects. */
    if (s == FIRN_OK)
        s = firn_manifest_check_features(r->manifest->pb, true, &err);
    if (s != FIRN_OK) {
        firn_compactor__gc_end(g, s, &err);
        return;
    }
    g->manifest = r->manifest;
    firn_manifest_ref(g->manifest);
    firn_compactor__gc_look(g);
}

static void read_manifest(struct compactor_gc *g)
{
    g->read = (struct firn_manifest_read){.done = manifest_read, .arg = g};
    firn_manifest_read(g->c->mnode, &g->read);
}

/* ---- judge */

static enum firn_status doom(struct compactor_gc *g, const char *name)
{
    return firn_buf_append(&g->doomed, &name, sizeof name);
}

static bool is_garbage(const struct compactor_gc *g, const char *name)
{
    const Firn__Manifest *m = g->manifest->pb;
    struct firn_name n;
    if (firn_name_parse(firn_slice_str(name), &n) != FIRN_OK || n.kind != FIRN_NAME_TABLE)
        return false;
    for (size_t i = 0; i < m->n_garbage; i++)
        if ((enum firn_role)m->garbage[i]->role == n.table.role &&
            m->garbage[i]->epoch == n.table.epoch && m->garbage[i]->number == n.table.number)
            return true;
    return false;
}

/* What the LISTs showed, but for M's garbage, which is dealt with already. */
static enum firn_status judge_all(struct compactor_gc *g, const struct firn_buf *objects)
{
    const struct gc_object *o = (const struct gc_object *)(const void *)objects->data;
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; s == FIRN_OK && i < objects->len / sizeof *o; i++) {
        struct firn_seen seen = {firn_slice_str(o[i].name), o[i].etag};
        bool is_seal = o[i].size == FIRN_SEAL_BYTES;
        if (!is_garbage(g, o[i].name) &&
            firn_garbage_judge(g->collector, &seen, is_seal, false) == FIRN_DELETE)
            s = doom(g, o[i].name);
    }
    return s;
}

/* M's garbage, whether a LIST showed it or not: an earlier pass may have deleted it and not come to
 * say so. The names that are doomed come first, in the order of `deleted`. */
static enum firn_status judge_garbage(struct compactor_gc *g)
{
    const Firn__Manifest *m = g->manifest->pb;
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; s == FIRN_OK && i < m->n_garbage; i++) {
        const Firn__Garbage *x = m->garbage[i];
        struct firn_table_name t = {(enum firn_role)x->role, x->epoch, x->number};
        char text[FIRN_NAME_MAX];
        firn_name_table(text, firn_id_short(&g->manifest->db), &t);
        struct firn_seen seen = {firn_slice_str(text), {NULL, 0}};
        if (firn_garbage_judge(g->collector, &seen, false, false) != FIRN_DELETE)
            continue;
        struct firn_slice name = firn_arena_copy(&g->arena, firn_slice_of(text, strlen(text) + 1));
        s = name.data ? doom(g, (const char *)name.data) : FIRN_LIMIT;
        if (s == FIRN_OK)
            s = firn_buf_append(&g->deleted, &t, sizeof t);
    }
    return s;
}

static enum firn_status begin_pass(struct compactor_gc *g)
{
    struct firn_pass pass = {
        .m = g->manifest,
        .checkpoints = (const Firn__Manifest *const *)(const void *)g->checkpoints.data,
        .ncheckpoints = g->checkpoints.len / sizeof(Firn__Manifest *),
        .pins = (const struct firn_pin_seen *)(const void *)g->pins.data,
        .npins = g->pins.len / sizeof(struct firn_pin_seen),
        .chain = (const struct firn_chain_link *)(const void *)g->chain.data,
        .nchain = g->chain.len / sizeof(struct firn_chain_link),
        .chain_whole = g->chain_whole,
        .now_ns = firn_boot_ns(g->c->env),
    };
    return firn_garbage_begin(g->collector, &pass);
}

static void delete_next(struct compactor_gc *g);

void firn_compactor__gc_judge(struct compactor_gc *g)
{
    enum firn_status s = begin_pass(g);
    if (s == FIRN_OK) {
        s = judge_garbage(g);
        if (s == FIRN_OK)
            s = judge_all(g, &g->objects);
        firn_garbage_end(g->collector);
    }
    struct firn_err err = {"judging objects: memory is short"};
    if (s != FIRN_OK) {
        firn_compactor__gc_end(g, s, &err);
        return;
    }
    g->next_doomed = 0;
    delete_next(g);
}

/* ---- delete */

static void commit(struct compactor_gc *g);

static size_t doomed(const struct compactor_gc *g)
{
    return g->doomed.len / sizeof(const char *);
}

static const char *const *doomed_at(const struct compactor_gc *g, size_t i)
{
    return (const char *const *)(const void *)g->doomed.data + i;
}

/* The garbage among the names that could not be deleted stays in the manifest. */
static void keep_garbage(struct compactor_gc *g, size_t from, size_t count)
{
    struct firn_table_name *t = (struct firn_table_name *)(void *)g->deleted.data;
    for (size_t i = from; i < from + count && i < g->deleted.len / sizeof *t; i++)
        t[i].number = UINT64_MAX;
}

static void many_deleted(struct compactor_gc *g)
{
    if (firn_compactor__gc_failed(g, g->op.status))
        return;
    size_t n = g->op.req.nkeys;
    if (g->op.req.nfailed)
        keep_garbage(g, g->next_doomed, n);
    g->ndeleted += n - g->op.req.nfailed;
    g->next_doomed += n;
    delete_next(g);
}

static void delete_many(struct compactor_gc *g)
{
    size_t n = doomed(g) - g->next_doomed;
    firn_store_op_clear(&g->op);
    firn_store_op_init(&g->op);
    g->op.req.op = FIRN_OS_DELETE_MANY;
    g->op.req.key = "";
    g->op.req.keys = doomed_at(g, g->next_doomed);
    g->op.req.nkeys = n < FIRN_OS_DELETE_MANY_MAX ? n : FIRN_OS_DELETE_MANY_MAX;
    g->op.done = firn_compactor__gc_done;
    g->op.arg = g;
    g->then = many_deleted;
    firn_store_submit(g->c->store, &g->op);
}

static void one_deleted(struct firn_store_op *op)
{
    struct gc_single *x = op->arg;
    struct compactor_gc *g = x->gc;
    g->singles--;
    if (op->status == FIRN_OK)
        g->ndeleted++;
    else
        keep_garbage(g, x->at, 1);
    x->busy = false;
    firn_store_op_clear(op);
    delete_next(g);
}

static void delete_one(struct compactor_gc *g, struct gc_single *x)
{
    x->gc = g;
    x->at = g->next_doomed++;
    x->busy = true;
    firn_store_op_init(&x->op);
    x->op.req.op = FIRN_OS_DELETE;
    x->op.req.key = *doomed_at(g, x->at);
    x->op.done = one_deleted;
    x->op.arg = x;
    g->singles++;
    firn_store_submit(g->c->store, &x->op);
}

static void delete_next(struct compactor_gc *g)
{
    if (g->c->dialect.delete_many && !g->cancelled && g->next_doomed < doomed(g)) {
        delete_many(g);
        return;
    }
    if (!g->single)
        g->single = firn_calloc(DELETES_MAX, sizeof *g->single);
    for (size_t i = 0; g->single && !g->cancelled && i < DELETES_MAX; i++)
        if (!g->single[i].busy && g->next_doomed < doomed(g))
            delete_one(g, &g->single[i]);
    if (g->singles)
        return;
    if (g->cancelled || !g->single)
        firn_compactor__gc_end(g, g->single ? FIRN_TRANSIENT : FIRN_LIMIT, NULL);
    else
        commit(g);
}

/* ---- commit: forget the garbage that is gone, raise kept */

static void committed(struct firn_intent *it)
{
    struct compactor_gc *g = it->arg;
    if (it->status == FIRN_OK && g->c->state == COMPACTOR_WORKING)
        firn_compactor__take_manifest(g->c, it->manifest, true);
    FIRN_SOMETIMES_IF(it->status == FIRN_OK && g->raised, "compactor: kept raised");
    if (it->status != FIRN_OK)
        g->raised = false;
    struct firn_err err = it->err;
    firn_compactor__gc_end(g, it->status, &err);
}

static void commit(struct compactor_gc *g)
{
    struct firn_table_name *t = (struct firn_table_name *)(void *)g->deleted.data;
    size_t n = 0;
    for (size_t i = 0; i < g->deleted.len / sizeof *t; i++)
        if (t[i].number != UINT64_MAX)
            t[n++] = t[i];
    struct firn_place kept = firn_garbage_kept_max(g->manifest->pb, NULL);
    g->raised = firn_place_cmp(kept, g->manifest->kept) > 0;
    if (n == 0 && !g->raised) {
        firn_compactor__gc_end(g, FIRN_OK, NULL);
        return;
    }
    g->intent = (struct firn_collect_intent){
        .base = {.done = committed, .arg = g}, .deleted = t, .ndeleted = n};
    if (g->raised)
        g->intent.kept = kept;
    firn_manifest_collect(g->c->mnode, &g->intent);
}
