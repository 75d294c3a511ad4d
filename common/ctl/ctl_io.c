/* One request at a time. */
#include "ctl/ctl_priv.h"

#include "base/mem.h"
#include "manifest/check.h"

#include <stdio.h>

static void done(struct firn_store_op *op)
{
    struct firn_ctl *c = op->arg;
    c->then(c);
}

/* c->key holds the name. */
static void submit(struct firn_ctl *c, enum firn_os_op what)
{
    c->op.req.op = what;
    c->op.req.key = c->key;
    c->op.deadline_ns = firn_boot_ns(c->env) + CTL_DEADLINE_NS;
    c->op.done = done;
    c->op.arg = c;
    firn_store_submit(c->store, &c->op);
}

static void begin(struct firn_ctl *c, const char *key, void (*then)(struct firn_ctl *c))
{
    firn_store_op_clear(&c->op);
    firn_store_op_init(&c->op);
    (void)snprintf(c->key, sizeof c->key, "%s", key);
    c->then = then;
}

void firn_ctl__get(struct firn_ctl *c, const char *key, uint64_t offset, uint64_t length,
                   uint64_t max, void (*then)(struct firn_ctl *c))
{
    begin(c, key, then);
    c->op.req.offset = offset;
    c->op.req.length = length;
    c->op.req.reply_max = max;
    submit(c, FIRN_OS_GET);
}

void firn_ctl__head(struct firn_ctl *c, const char *key, void (*then)(struct firn_ctl *c))
{
    begin(c, key, then);
    submit(c, FIRN_OS_HEAD);
}

/* --- LIST */

static void list_page(struct firn_ctl *c);

static void listed(struct firn_ctl *c)
{
    const struct firn_os_page *page = &c->op.req.page;
    enum firn_status s = c->op.status;
    for (size_t i = 0; s == FIRN_OK && i < page->count; i++)
        s = c->entry(c, &page->entry[i]);
    firn_free(c->cursor);
    c->cursor = NULL;
    if (s == FIRN_OK && page->next) {
        c->cursor = firn_strdup(page->next);
        if (c->cursor) {
            list_page(c);
            return;
        }
        s = FIRN_LIMIT;
    }
    c->op.status = s;
    c->list_then(c);
}

static void list_page(struct firn_ctl *c)
{
    firn_store_op_clear(&c->op);
    firn_store_op_init(&c->op);
    c->op.req.cursor = c->cursor;
    c->op.req.start_after = c->start_after;
    c->then = listed;
    submit(c, FIRN_OS_LIST);
}

void firn_ctl__list(struct firn_ctl *c, const char *prefix, const char *start_after,
                    enum firn_status (*entry)(struct firn_ctl *c, const struct firn_os_entry *e),
                    void (*then)(struct firn_ctl *c))
{
    (void)snprintf(c->key, sizeof c->key, "%s", prefix);
    firn_free(c->start_after);
    c->start_after = start_after ? firn_strdup(start_after) : NULL; /* a hint: may be lost */
    c->entry = entry;
    c->list_then = then;
    list_page(c);
}

/* --- what went wrong */

const char *firn_ctl__why(const struct firn_ctl *c)
{
    if (c->op.req.err.text[0])
        return c->op.req.err.text;
    switch (c->op.status) {
    case FIRN_ABSENT:
        return "it is not there";
    case FIRN_LIMIT:
        return "out of memory, or it is too large";
    case FIRN_TRANSIENT:
    case FIRN_UNCERTAIN:
        return "the store did not answer in time";
    case FIRN_DENIED:
        return "no permission";
    default:
        return firn_status_name(c->op.status);
    }
}

void firn_ctl__fail_read(struct firn_ctl *c)
{
    firn_ctl__fail(c, "cannot read %s: %s", c->key[0] ? c->key : "the store", firn_ctl__why(c));
}

/* --- the manifest */

static void got_manifest(struct firn_ctl *c)
{
    struct firn_err err = {0};
    Firn__Manifest *m = NULL;
    if (c->op.status == FIRN_ABSENT) {
        firn_ctl__fail(c, "there is no database at %s: it has no object \"manifest\"",
                       c->env->store->url);
        return;
    }
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    enum firn_status s = firn_manifest_decode(firn_buf_slice(&c->op.req.reply), &m, &err);
    if (s == FIRN_OK)
        s = firn_manifest_check_features(m, false, &err);
    if (s != FIRN_OK) {
        firn_pb_manifest_free(m);
        firn_ctl__fail(c, "manifest: %s", err.text[0] ? err.text : firn_status_name(s));
        return;
    }
    firn_pb_manifest_free(c->m);
    c->m = m;
    c->db = firn_pb_id(&m->database_id);
    c->manifest_then(c);
}

void firn_ctl__read_manifest(struct firn_ctl *c, void (*then)(struct firn_ctl *c))
{
    c->manifest_then = then;
    firn_ctl__get(c, FIRN_NAME_MANIFEST_TEXT, 0, 0,
                  FIRN_MANIFEST_HEADER_BYTES + FIRN_MANIFEST_RAW_MAX, got_manifest);
}
