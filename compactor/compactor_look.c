/* What a pass of garbage collection looks at before it judges: the manifests of M's checkpoints,
 * the parent chain within the history window, the ETags of notes (probe/, jobs/, nodes/), the pins.
 */
#include "compactor/compactor_gc_priv.h"

#include "format/pin.h"

static void next_checkpoint(struct compactor_gc *g);
static void next_link(struct compactor_gc *g);
static void next_note(struct compactor_gc *g);
static void list_pins(struct compactor_gc *g);
static void next_pin(struct compactor_gc *g);

static enum firn_status get_copy(struct compactor_gc *g, uint64_t version,
                                 const struct firn_id *nonce, void (*then)(struct compactor_gc *g))
{
    char text[FIRN_NAME_MAX];
    firn_name_manifest_log(text, version, nonce);
    struct firn_slice name = firn_arena_copy(&g->arena, firn_slice_of(text, strlen(text) + 1));
    if (!name.data)
        return FIRN_LIMIT;
    firn_compactor__gc_submit(g, FIRN_OS_GET, (const char *)name.data, then);
    return FIRN_OK;
}

/* ---- checkpoints: a copy that is missing or damaged is left out, and then nothing of it is
 * deleted */

static void got_checkpoint(struct compactor_gc *g)
{
    Firn__Manifest *m = NULL;
    enum firn_status s = g->op.status;
    if (s == FIRN_OK &&
        firn_manifest_decode(firn_buf_slice(&g->op.req.reply), &m, NULL) == FIRN_OK) {
        s = firn_buf_append(&g->checkpoints, &m, sizeof m);
        if (s != FIRN_OK)
            firn_pb_manifest_free(m);
    }
    if (s != FIRN_ABSENT && firn_compactor__gc_failed(g, s))
        return;
    g->at++;
    next_checkpoint(g);
}

static void next_checkpoint(struct compactor_gc *g)
{
    const Firn__Manifest *m = g->manifest->pb;
    if (g->at == m->n_checkpoints) {
        g->at = 0;
        next_link(g);
        return;
    }
    struct firn_id nonce = firn_pb_id(&m->checkpoints[g->at]->nonce);
    (void)firn_compactor__gc_failed(
        g, get_copy(g, m->checkpoints[g->at]->version, &nonce, got_checkpoint));
}

void firn_compactor__gc_look(struct compactor_gc *g)
{
    g->at = 0;
    g->chain.len = 0;
    g->chain_whole = false;
    next_checkpoint(g);
}

/* ---- the chain: from M's parent back to where the history window ends */

/* The parent of the newest link walked to, and whether the walk is over. */
static void end_chain(struct compactor_gc *g, bool whole)
{
    g->chain_whole = whole;
    g->at = 0;
    next_note(g);
}

static void got_link(struct compactor_gc *g)
{
    const Firn__Manifest *now = g->manifest->pb;
    Firn__Manifest *m = NULL;
    if (g->op.status == FIRN_ABSENT ||
        (g->op.status == FIRN_OK &&
         firn_manifest_decode(firn_buf_slice(&g->op.req.reply), &m, NULL) != FIRN_OK)) {
        end_chain(g, false);
        return;
    }
    if (firn_compactor__gc_failed(g, g->op.status))
        return;
    struct firn_chain_link link = {m->version, firn_pb_id(&m->nonce), true};
    bool old = now->log_time_ms - m->log_time_ms > now->settings->history_ms;
    link.in_history = !old;
    g->parent_version = m->parent_version;
    g->parent_nonce = firn_pb_id(&m->parent_nonce);
    firn_pb_manifest_free(m);
    if (firn_compactor__gc_failed(g, firn_buf_append(&g->chain, &link, sizeof link)))
        return;
    if (old)
        end_chain(g, true);
    else
        next_link(g);
}

static void next_link(struct compactor_gc *g)
{
    const Firn__Manifest *m = g->manifest->pb;
    if (g->chain.len == 0) {
        g->parent_version = m->parent_version;
        g->parent_nonce = firn_pb_id(&m->parent_nonce);
    }
    if (m->settings->history_ms == 0 || firn_id_none(&g->parent_nonce)) {
        end_chain(g, true);
        return;
    }
    (void)firn_compactor__gc_failed(g, get_copy(g, g->parent_version, &g->parent_nonce, got_link));
}

/* ---- notes: a HEAD each for the ETag, which changes when they are written */

static enum firn_status keep_etag(struct compactor_gc *g, struct gc_object *o)
{
    struct firn_slice etag = firn_slice_str(g->op.req.reply_etag);
    o->etag = etag.len ? firn_arena_copy(&g->arena, etag) : firn_slice_of(NULL, 0);
    return etag.len && !o->etag.data ? FIRN_LIMIT : FIRN_OK;
}

static bool is_note(const char *name)
{
    return strncmp(name, "probe/", 6) == 0 || strncmp(name, "jobs/", 5) == 0 ||
           strncmp(name, "nodes/", 6) == 0;
}

static void got_note(struct compactor_gc *g)
{
    struct gc_object *o = (struct gc_object *)(void *)g->objects.data + g->at;
    if (g->op.status != FIRN_ABSENT && firn_compactor__gc_failed(g, g->op.status))
        return;
    if (g->op.status == FIRN_OK && firn_compactor__gc_failed(g, keep_etag(g, o)))
        return;
    g->at++;
    next_note(g);
}

static void next_note(struct compactor_gc *g)
{
    const struct gc_object *o = (const struct gc_object *)(const void *)g->objects.data;
    size_t n = g->objects.len / sizeof *o;
    while (g->at < n && !is_note(o[g->at].name))
        g->at++;
    if (g->at < n)
        firn_compactor__gc_submit(g, FIRN_OS_HEAD, o[g->at].name, got_note);
    else
        list_pins(g);
}

/* ---- pins, listed behind M: one that was there before it names a version that counts */

static void pins_listed(struct compactor_gc *g)
{
    if (firn_compactor__gc_failed(g, g->op.status))
        return;
    enum firn_status s = FIRN_OK;
    for (size_t i = 0; s == FIRN_OK && i < g->op.req.page.count; i++)
        s = firn_compactor__gc_note(g, &g->objects, &g->op.req.page.entry[i]);
    struct firn_slice next = {NULL, 0};
    if (s == FIRN_OK && g->op.req.page.next) {
        next = firn_slice_str(g->op.req.page.next);
        next = firn_arena_copy(&g->arena, firn_slice_of(next.data, next.len + 1));
        s = next.data ? FIRN_OK : FIRN_LIMIT;
    }
    if (firn_compactor__gc_failed(g, s))
        return;
    if (!next.data) {
        g->at = g->first_pin;
        next_pin(g);
        return;
    }
    firn_store_op_clear(&g->op);
    g->op.req.cursor = (const char *)next.data;
    firn_store_submit(g->c->store, &g->op);
}

static void list_pins(struct compactor_gc *g)
{
    g->first_pin = g->objects.len / sizeof(struct gc_object);
    firn_compactor__gc_submit(g, FIRN_OS_LIST, "pins/", pins_listed);
}

static void got_pin(struct compactor_gc *g)
{
    struct gc_object *o = (struct gc_object *)(void *)g->objects.data + g->at++;
    if (g->op.status != FIRN_ABSENT && firn_compactor__gc_failed(g, g->op.status))
        return;
    if (g->op.status == FIRN_OK) {
        struct firn_pin pin = {.version = 0};
        if (firn_compactor__gc_failed(g, keep_etag(g, o)))
            return;
        struct firn_pin_seen seen = {.seen = {firn_slice_str(o->name), o->etag}};
        seen.readable = firn_pin_decode(firn_buf_slice(&g->op.req.reply), &g->manifest->db, &pin,
                                        NULL) == FIRN_OK;
        seen.version = pin.version;
        if (firn_compactor__gc_failed(g, firn_buf_append(&g->pins, &seen, sizeof seen)))
            return;
    }
    next_pin(g);
}

static void next_pin(struct compactor_gc *g)
{
    const struct gc_object *o = (const struct gc_object *)(const void *)g->objects.data;
    if (g->at < g->objects.len / sizeof *o)
        firn_compactor__gc_submit(g, FIRN_OS_GET, o[g->at].name, got_pin);
    else
        firn_compactor__gc_judge(g);
}
