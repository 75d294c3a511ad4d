/* gc --dry-run: what a pass of the collector would do with each object. The verdicts are those of
 * the pure rules in manifest/garbage.h, asked twice. First as they stand: this program has watched
 * nothing yet, so whatever must age first is kept. Then as if all graces had passed and every pin
 * had been renewed: what is deletable only then waits for a grace. The order of looking is the
 * collector's: LIST objects, read the manifest M, its checkpoints' copies, history, the pins. */
#include "ctl/ctl_priv.h"

#include "base/arena.h"
#include "base/mem.h"
#include "format/pin.h"
#include "format/seal.h"
#include "manifest/garbage.h"

#include <inttypes.h>
#include <stdio.h>

#define LATER_NS (UINT64_C(1) << 62) /* behind every grace */

struct gc_object {
    const char *name; /* in the arena */
    uint64_t size;
    bool now; /* the first verdict */
};

struct gc {
    struct firn_manifest_node *node;
    struct firn_manifest_read read;
    struct firn_manifest *manifest; /* M, referenced */
    struct firn_garbage_collector *collector;
    struct firn_arena arena;
    struct firn_buf objects;     /* struct gc_object each, pins last */
    struct firn_buf pins;        /* struct firn_pin_seen each */
    struct firn_buf checkpoints; /* Firn__Manifest * each, owned */
    struct firn_buf chain;       /* struct firn_chain_link each */
    bool chain_whole;
    uint64_t parent_version;
    struct firn_id parent_nonce;
    size_t at, first_pin;
    uint64_t count[3], bytes[3]; /* by enum outcome */
};

enum outcome { GC_DELETE, GC_WAIT, GC_KEEP };

static struct gc_object *object(struct gc *g, size_t i)
{
    return (struct gc_object *)(void *)g->objects.data + i;
}

static size_t objects(const struct gc *g)
{
    return g->objects.len / sizeof(struct gc_object);
}

void firn_ctl__gc_free(struct firn_ctl *c)
{
    struct gc *g = c->state;
    Firn__Manifest **m = (Firn__Manifest **)(void *)g->checkpoints.data;
    for (size_t i = 0; i < g->checkpoints.len / sizeof *m; i++)
        firn_pb_manifest_free(m[i]);
    firn_buf_clear(&g->checkpoints);
    firn_buf_clear(&g->objects);
    firn_buf_clear(&g->pins);
    firn_buf_clear(&g->chain);
    firn_arena_clear(&g->arena);
    firn_garbage_free(g->collector);
    firn_manifest_unref(g->manifest);
    firn_manifest_node_free(g->node);
    firn_free(g);
}

static void stopped(void *arg)
{
    firn_ctl__end(arg, CTL_OK);
}

static const char *copy_name(struct gc *g, const char *name)
{
    return (const char *)firn_arena_copy(&g->arena, firn_slice_of(name, strlen(name) + 1)).data;
}

static enum firn_status note_object(struct firn_ctl *c, const struct firn_os_entry *e)
{
    struct gc *g = c->state;
    struct gc_object o = {copy_name(g, e->key), e->size, false};
    return o.name ? firn_buf_append(&g->objects, &o, sizeof o) : FIRN_LIMIT;
}

/* ---- reporting */

static bool in_garbage(const Firn__Manifest *m, const struct firn_table_name *t)
{
    for (size_t i = 0; i < m->n_garbage; i++)
        if ((enum firn_role)m->garbage[i]->role == t->role && m->garbage[i]->epoch == t->epoch &&
            m->garbage[i]->number == t->number)
            return true;
    return false;
}

/* Why it goes, waits or stays, as far as its name and the verdicts tell. */
static const char *reason(const struct gc *g, const struct gc_object *o, enum outcome how)
{
    const Firn__Manifest *m = g->manifest->pb;
    bool pinned = g->pins.len > 0;
    struct firn_name n;
    if (firn_name_parse(firn_slice_str(o->name), &n) != FIRN_OK)
        return "no name of Firn's";
    switch (n.kind) {
    case FIRN_NAME_SLOT:
        if (n.db != firn_id_short(&g->manifest->db))
            return "of another database id";
        if (how == GC_WAIT)
            return "below kept; waits for wal-grace";
        return o->size == FIRN_SEAL_BYTES ? "a seal: never deleted" : "at or behind kept";
    case FIRN_NAME_TABLE:
        if (n.db != firn_id_short(&g->manifest->db))
            return "of another database id";
        if (how == GC_DELETE)
            return "nothing refers to it, and nobody may commit it any more";
        if (how == GC_WAIT)
            return "garbage; waits for table-grace";
        if (in_garbage(m, &n.table))
            return pinned ? "garbage; a checkpoint, a reference or a pin still needs it"
                          : "garbage; a checkpoint or a reference still needs it";
        return "in use, or not committed yet";
    case FIRN_NAME_MANIFEST:
        return "the manifest";
    case FIRN_NAME_MANIFEST_LOG:
        return how == GC_WAIT ? "old or off the chain; waits for table-grace"
                              : "history, or named by a checkpoint";
    case FIRN_NAME_PIN:
        return "a pin; goes when it was not renewed for pin-ttl";
    case FIRN_NAME_JOB:
    case FIRN_NAME_NODE:
    case FIRN_NAME_PROBE:
        return how == GC_WAIT ? "waits for pin-ttl and table-grace, unless it changes"
                              : "of a node that holds a role";
    }
    return "";
}

static void report(struct firn_ctl *c)
{
    static const char *const word[] = {"delete", "wait", "keep"};
    struct gc *g = c->state;
    char a[CTL_SIZE_MAX], b[CTL_SIZE_MAX], k[CTL_SIZE_MAX];
    for (size_t i = 0; i < objects(g); i++) {
        const struct gc_object *o = object(g, i);
        struct firn_seen seen = {firn_slice_str(o->name), {NULL, 0}};
        bool later = firn_garbage_judge(g->collector, &seen, o->size == FIRN_SEAL_BYTES, false) ==
                     FIRN_DELETE;
        enum outcome how = o->now ? GC_DELETE : later ? GC_WAIT : GC_KEEP;
        g->count[how]++;
        g->bytes[how] += o->size;
        firn_ctl__print(c, "%s\t%" PRIu64 "\t%s\t%s\n", word[how], o->size, o->name,
                        reason(g, o, how));
    }
    firn_ctl__print(c,
                    "gc: version %" PRIu64 ": %" PRIu64 " to delete now (%s), %" PRIu64
                    " waiting (%s), %" PRIu64 " kept (%s)\n",
                    g->manifest->version, g->count[GC_DELETE],
                    firn_ctl__size(g->bytes[GC_DELETE], a), g->count[GC_WAIT],
                    firn_ctl__size(g->bytes[GC_WAIT], b), g->count[GC_KEEP],
                    firn_ctl__size(g->bytes[GC_KEEP], k));
}

static void report_kept(struct firn_ctl *c)
{
    struct gc *g = c->state;
    struct firn_place kept = g->manifest->kept;
    struct firn_place max = firn_garbage_kept_max(g->manifest->pb, NULL);
    if (firn_place_cmp(max, kept) > 0)
        firn_ctl__print(
            c, "gc: kept %" PRIu64 "/%" PRIu64 " may be raised to %" PRIu64 "/%" PRIu64 "\n",
            kept.epoch, kept.slot, max.epoch, max.slot);
}

/* ---- judging */

static enum firn_status begin_pass(struct gc *g, uint64_t now_ns)
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
        .now_ns = now_ns,
    };
    return firn_garbage_begin(g->collector, &pass);
}

/* Every pin as if it had been renewed. */
static void renew_pins(struct gc *g)
{
    struct firn_pin_seen *p = (struct firn_pin_seen *)(void *)g->pins.data;
    for (size_t i = 0; i < g->pins.len / sizeof *p; i++)
        p[i].seen.etag = firn_slice_str("renewed");
}

static void judge(struct firn_ctl *c)
{
    struct gc *g = c->state;
    enum firn_status s = begin_pass(g, 0);
    for (size_t i = 0; s == FIRN_OK && i < objects(g); i++) {
        struct gc_object *o = object(g, i);
        struct firn_seen seen = {firn_slice_str(o->name), {NULL, 0}};
        o->now = firn_garbage_judge(g->collector, &seen, o->size == FIRN_SEAL_BYTES, false) ==
                 FIRN_DELETE;
    }
    if (s == FIRN_OK) {
        firn_garbage_end(g->collector);
        renew_pins(g);
        s = begin_pass(g, LATER_NS);
    }
    if (s != FIRN_OK) {
        firn_ctl__fail_memory(c);
        return;
    }
    report_kept(c);
    report(c);
    firn_garbage_end(g->collector);
    firn_manifest_node_stop(g->node, stopped, c);
}

/* ---- pins, listed behind M */

static void next_pin(struct firn_ctl *c);

static void got_pin(struct firn_ctl *c)
{
    struct gc *g = c->state;
    const struct gc_object *o = object(g, g->at++);
    if (c->op.status != FIRN_OK && c->op.status != FIRN_ABSENT) {
        firn_ctl__fail_read(c);
        return;
    }
    if (c->op.status == FIRN_OK) {
        struct firn_pin pin = {.version = 0};
        struct firn_pin_seen seen = {.seen = {firn_slice_str(o->name), {NULL, 0}}};
        seen.readable = firn_pin_decode(firn_buf_slice(&c->op.req.reply), &g->manifest->db, &pin,
                                        NULL) == FIRN_OK;
        seen.version = pin.version;
        if (firn_buf_append(&g->pins, &seen, sizeof seen) != FIRN_OK) {
            firn_ctl__fail_memory(c);
            return;
        }
    }
    next_pin(c);
}

static void next_pin(struct firn_ctl *c)
{
    struct gc *g = c->state;
    if (g->at < objects(g))
        firn_ctl__get(c, object(g, g->at)->name, 0, 0, 64 * 1024, got_pin);
    else
        judge(c);
}

static void pins_listed(struct firn_ctl *c)
{
    struct gc *g = c->state;
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    g->at = g->first_pin;
    next_pin(c);
}

static void list_pins(struct firn_ctl *c, bool chain_whole)
{
    struct gc *g = c->state;
    g->chain_whole = chain_whole;
    g->first_pin = objects(g);
    firn_ctl__list(c, "pins/", NULL, note_object, pins_listed);
}

/* ---- checkpoints' copies and history: a copy that is missing leaves things undecided, so kept */

static void get_copy(struct firn_ctl *c, uint64_t version, const struct firn_id *nonce,
                     void (*then)(struct firn_ctl *c))
{
    char key[FIRN_NAME_MAX];
    firn_name_manifest_log(key, version, nonce);
    firn_ctl__get(c, key, 0, 0, FIRN_MANIFEST_HEADER_BYTES + FIRN_MANIFEST_RAW_MAX, then);
}

/* *m is NULL when the copy is gone or damaged. False: it has ended. */
static bool take_copy(struct firn_ctl *c, Firn__Manifest **m)
{
    *m = NULL;
    if (c->op.status == FIRN_ABSENT)
        return true;
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return false;
    }
    if (firn_manifest_decode(firn_buf_slice(&c->op.req.reply), m, NULL) != FIRN_OK)
        *m = NULL;
    return true;
}

static void next_link(struct firn_ctl *c);

static void got_link(struct firn_ctl *c)
{
    struct gc *g = c->state;
    const Firn__Manifest *now = g->manifest->pb;
    Firn__Manifest *m;
    if (!take_copy(c, &m))
        return;
    if (!m) {
        list_pins(c, false);
        return;
    }
    uint64_t age = now->log_time_ms > m->log_time_ms ? now->log_time_ms - m->log_time_ms : 0;
    struct firn_chain_link link = {m->version, firn_pb_id(&m->nonce),
                                   age <= now->settings->history_ms};
    g->parent_version = m->parent_version;
    g->parent_nonce = firn_pb_id(&m->parent_nonce);
    firn_pb_manifest_free(m);
    if (firn_buf_append(&g->chain, &link, sizeof link) != FIRN_OK)
        firn_ctl__fail_memory(c);
    else if (link.in_history)
        next_link(c);
    else
        list_pins(c, true);
}

static void next_link(struct firn_ctl *c)
{
    struct gc *g = c->state;
    if (g->manifest->pb->settings->history_ms == 0 || firn_id_none(&g->parent_nonce))
        list_pins(c, true);
    else
        get_copy(c, g->parent_version, &g->parent_nonce, got_link);
}

static void next_checkpoint(struct firn_ctl *c);

static void got_checkpoint(struct firn_ctl *c)
{
    struct gc *g = c->state;
    Firn__Manifest *m;
    if (!take_copy(c, &m))
        return;
    if (!m) {
        firn_ctl__print(c, "gc: %s of checkpoint %s cannot be read: nothing of it is deleted\n",
                        c->key, g->manifest->pb->checkpoints[g->at]->id);
    } else if (firn_buf_append(&g->checkpoints, &m, sizeof m) != FIRN_OK) {
        firn_pb_manifest_free(m);
        firn_ctl__fail_memory(c);
        return;
    }
    g->at++;
    next_checkpoint(c);
}

static void next_checkpoint(struct firn_ctl *c)
{
    struct gc *g = c->state;
    const Firn__Manifest *m = g->manifest->pb;
    if (g->at < m->n_checkpoints) {
        struct firn_id nonce = firn_pb_id(&m->checkpoints[g->at]->nonce);
        get_copy(c, m->checkpoints[g->at]->version, &nonce, got_checkpoint);
        return;
    }
    g->parent_version = m->parent_version;
    g->parent_nonce = firn_pb_id(&m->parent_nonce);
    next_link(c);
}

/* ---- LIST objects, read M */

static void got_manifest(struct firn_manifest_read *r)
{
    struct firn_ctl *c = r->arg;
    struct gc *g = c->state;
    if (r->status == FIRN_OK) {
        g->manifest = r->manifest;
        firn_manifest_ref(g->manifest);
        next_checkpoint(c);
    } else if (r->status == FIRN_ABSENT) {
        firn_ctl__fail(c, "there is no database at %s: it has no object \"manifest\"",
                       c->env->store->url);
    } else {
        firn_ctl__fail(c, "manifest: %s",
                       r->err.text[0] ? r->err.text : firn_status_name(r->status));
    }
}

/* Pins are listed again behind M: forget those of now. */
static enum firn_status note_no_pin(struct firn_ctl *c, const struct firn_os_entry *e)
{
    return strncmp(e->key, "pins/", 5) == 0 ? FIRN_OK : note_object(c, e);
}

static void listed(struct firn_ctl *c)
{
    struct gc *g = c->state;
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    g->read = (struct firn_manifest_read){
        .deadline_ns = firn_boot_ns(c->env) + CTL_DEADLINE_NS, .done = got_manifest, .arg = c};
    firn_manifest_read(g->node, &g->read);
}

void firn_ctl__gc(struct firn_ctl *c)
{
    struct firn_manifest_options mo = {.interval_ns = 0};
    struct firn_garbage_options co = {
        .table_grace_ns = c->settings->table_grace_ns,
        .pin_ttl_ns = c->settings->pin_ttl_ns,
    };
    struct gc *g = firn_calloc(1, sizeof *g);
    c->state = g;
    if (!g || firn_manifest_node_create(c->env, c->store, &mo, &g->node) != FIRN_OK ||
        firn_garbage_create(&co, &g->collector) != FIRN_OK) {
        firn_ctl__fail_memory(c);
        return;
    }
    firn_buf_init(&g->objects, SIZE_MAX);
    firn_buf_init(&g->pins, SIZE_MAX);
    firn_buf_init(&g->checkpoints, SIZE_MAX);
    firn_buf_init(&g->chain, SIZE_MAX);
    firn_ctl__list(c, "", NULL, note_no_pin, listed);
}
