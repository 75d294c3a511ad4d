#include "engine/tx_priv.h"

#include "base/mem.h"
#include "lsm/memtable.h"

/* ---- the group */

/* A value that stays where it is for as long as the group may need it. */
static bool is_argument(const struct firn_eval *x, struct firn_slice value)
{
    for (size_t i = x->argc; i-- > 0;)
        if (x->argv[i].data == value.data && x->argv[i].len == value.len)
            return true;
    return false;
}

/* The whole is refused, whatever the commands before this one did. */
static enum firn_status refuse(struct firn_eval *x)
{
    x->tx->whole = true;
    return FIRN_INVALID;
}

enum firn_status firn_engine__tx_add(struct firn_eval *x, const struct firn_record *r, bool copy)
{
    struct firn_group *g = &x->e->group;
    if (firn_engine__check_group(x, g->n + 1, g->bytes + firn_record_size(r)) != FIRN_OK)
        return refuse(x);
    if (r->kind == FIRN_RECORD_RANGEDEL && g->ranges == FIRN_TX_RANGES_MAX) {
        firn_reply_error(x->out,
                         "ERR more than %d range deletes in one transaction; nothing was "
                         "applied",
                         FIRN_TX_RANGES_MAX);
        return refuse(x);
    }
    struct firn_record mine = *r;
    if (copy && r->value.len && !is_argument(x, r->value)) {
        mine.value = firn_arena_copy(&g->arena, r->value);
        if (!mine.value.data)
            return FIRN_LIMIT;
    }
    return firn_engine__group_add(g, &mine);
}

enum firn_status firn_engine__tx_step(struct firn_eval *x)
{
    if (++x->tx->steps <= FIRN_TX_STEPS_MAX)
        return FIRN_OK;
    firn_reply_error(x->out,
                     "ERR the transaction would have to walk over more than %d keys in one step; "
                     "nothing was applied",
                     FIRN_TX_STEPS_MAX);
    return refuse(x);
}

/* ---- what was written so far, as a view */

static enum firn_status show_record(struct firn_memtable *m, const struct firn_record *r,
                                    uint64_t seqno)
{
    if (r->kind == FIRN_RECORD_RANGEDEL)
        return firn_memtable_add_range(m, r->key, r->end_key, seqno);
    if (r->kind != FIRN_RECORD_PUT && r->kind != FIRN_RECORD_DEL)
        return FIRN_OK;
    struct firn_entry e = {.key = r->key,
                           .value = r->value,
                           .seqno = seqno,
                           .expiry_ms = r->expiry_ms,
                           .kind = r->kind};
    return firn_memtable_add(m, &e);
}

enum firn_status firn_engine__tx_show(struct firn_eval *x)
{
    struct firn_tx *tx = x->tx;
    if (!tx || x->group_from == 0)
        return FIRN_OK;
    enum firn_status st = FIRN_OK;
    if (!tx->mem)
        st = firn_memtable_create(&tx->mem);
    if (st == FIRN_OK && !tx->view)
        st = firn_view_overlay(tx->x->view, tx->mem, &tx->view);
    while (st == FIRN_OK && tx->shown < x->group_from) {
        /* Above all that is applied, as the commit will have it; the true seqnos come with that. */
        st =
            show_record(tx->mem, &x->e->group.rec[tx->shown], x->db->applied_seqno + 1 + tx->shown);
        tx->shown += st == FIRN_OK;
    }
    if (st != FIRN_OK)
        return st;
    x->view = tx->view;
    x->max_seqno = UINT64_MAX;
    return FIRN_OK;
}

/* ---- a pass */

bool firn_engine__may_write(const struct firn_command *cmd)
{
    return cmd->flags & (FIRN_CMD_WRITE | FIRN_CMD_MAY_REPLICATE);
}

bool firn_engine__touches_data(const struct firn_command_entry *e)
{
    return !e->own && (firn_engine__may_write(e->cmd) || e->cmd->flags & FIRN_CMD_READONLY);
}

static bool named(const struct firn_command_entry *e, const char *name)
{
    return strcmp(e->name, name) == 0;
}

/* What a command that runs later does to those behind it: which database, which protocol. */
static void follow(const struct firn_tx_cmd *c, uint8_t *ns, struct firn_reply *out)
{
    int64_t v;
    if (!c->entry->own || c->argc != 2 || !firn_parse_i64(c->argv[1], &v))
        return;
    if (named(c->entry, "select") && v >= 0 && v < FIRN_DATABASES)
        *ns = (uint8_t)(FIRN_NS_DB0 + v);
    else if (named(c->entry, "hello") && (v == 2 || v == 3))
        out->resp = (uint8_t)v;
}

static struct firn_eval inner(struct firn_tx *tx, size_t i)
{
    struct firn_eval x = *tx->x;
    x.cmd = tx->cmd[i].entry->cmd;
    x.argc = tx->cmd[i].argc;
    x.argv = tx->cmd[i].argv;
    x.tx = tx;
    x.nth = i;
    x.group_from = x.e->group.n;
    x.held = NULL;
    x.gated = false;
    return x;
}

/* What was appended from `at` on takes the place of all that was appended for the whole. */
static enum firn_status only_error(struct firn_tx *tx, size_t at)
{
    struct firn_buf *b = &tx->x->out->buf;
    memmove(b->data + tx->mark, b->data + at, b->len - at);
    b->len -= at - tx->mark;
    return FIRN_INVALID;
}

static enum firn_status too_cold(struct firn_eval *x)
{
    firn_reply_error(x->out,
                     "ERR the transaction would have to fetch more than %llu bytes to read all it "
                     "asks for in one step; nothing was applied",
                     (unsigned long long)FIRN_TX_COLD_BYTES_MAX);
    return FIRN_INVALID;
}

static enum firn_status evaluate(struct firn_tx *tx, size_t i, uint8_t ns)
{
    struct firn_reply *out = tx->x->out;
    struct firn_group *g = &tx->x->e->group;
    size_t at = out->buf.len;
    uint64_t errors = out->errors;
    struct firn_eval x = inner(tx, i);
    x.ns = ns;
    tx->touched = true;
    enum firn_status st = tx->cmd[i].run ? tx->cmd[i].run(&x) : firn_engine__handler(x.cmd)(&x);
    firn_engine__range_close(x.s);
    if (st != FIRN_OK && st != FIRN_INVALID)
        return st;
    if (st == FIRN_INVALID)
        firn_engine__group_truncate(g, x.group_from);
    else if (x.s->track.on)
        firn_engine__track_read(&x);
    if (tx->whole)
        return only_error(tx, at);
    tx->whole = out->failed;
    if (out->failed)
        return FIRN_INVALID; /* larger than an output buffer may be: the connection is closed */
    if (tx->strict && (st == FIRN_INVALID || x.unmet)) {
        tx->failed_at = i;
        tx->unmet = st == FIRN_OK;
        return only_error(tx, tx->unmet ? out->buf.len : at);
    }
    tx->cmd[i].entry->stat.failed += out->errors != errors;
    return FIRN_OK;
}

/* The keys that the rest will look at are fetched with what is missing already. */
void firn_engine__tx_note_misses(struct firn_tx *tx, size_t from, uint8_t ns)
{
    struct firn_key_ref ref[64];
    struct firn_entry ignored;
    for (size_t i = from; i < tx->n; i++) {
        const struct firn_tx_cmd *c = &tx->cmd[i];
        struct firn_eval x = inner(tx, i);
        follow(c, &ns, &(struct firn_reply){0});
        x.ns = ns;
        if (!firn_engine__touches_data(c->entry) ||
            !firn_engine__looks_at_keys(x.db, x.cmd, x.argc))
            continue;
        size_t n = firn_command_keys(x.cmd, x.argc, x.argv, ref, sizeof ref / sizeof *ref);
        for (size_t k = 0; n != FIRN_KEYS_INVALID && k < n && k < sizeof ref / sizeof *ref; k++) {
            struct firn_slice user = c->argv[ref[k].index], key;
            if (user.len > FIRN_USER_KEY_MAX || firn_engine__key(&x, user, &key) != FIRN_OK)
                continue;
            enum firn_status st = firn_view_get(x.view, &x.s->read, key, x.max_seqno, &ignored);
            if (st != FIRN_OK && st != FIRN_ABSENT && st != FIRN_AGAIN)
                return;
        }
    }
}

enum firn_status firn_engine__tx_pass(struct firn_tx *tx)
{
    struct firn_eval *x = tx->x;
    struct firn_reply *out = x->out;
    struct firn_engine_stats *stat = &x->e->stat;
    uint64_t hits = stat->hits, misses = stat->misses, hidden = stat->expired_hidden;
    uint8_t ns = x->ns, resp = out->resp;
    size_t i = 0;
    enum firn_status st = FIRN_OK;
    (void)firn_engine__now(x); /* one for all */
    if (x->view && !x->held) { /* records may borrow values from it up to the commit */
        firn_view_ref(x->view);
        x->held = x->view;
    }
    tx->first_cursor = x->e->cursors.next_id;
    x->s->read.keep = true; /* every block that was fetched stays: each pass gets further */
    for (; i < tx->n && st == FIRN_OK; i++) {
        struct firn_tx_cmd *c = &tx->cmd[i];
        if (firn_engine__touches_data(c->entry)) {
            st = evaluate(tx, i, ns);
            continue;
        }
        c->reply_at = out->buf.len;
        tx->effects++;
        follow(c, &ns, out);
    }
    out->resp = resp;
    if (st != FIRN_AGAIN)
        return st;
    stat->hits = hits; /* the next pass counts them */
    stat->misses = misses;
    stat->expired_hidden = hidden;
    if (x->s->wait.kind != FIRN_WAIT_NONE)
        return st;
    if (x->s->read.fetched_bytes > FIRN_TX_COLD_BYTES_MAX) {
        out->buf.len = tx->mark;
        tx->whole = true;
        return too_cold(x);
    }
    firn_engine__tx_note_misses(tx, i, ns);
    return st;
}

enum firn_status firn_engine__tx_commit(struct firn_tx *tx)
{
    struct firn_eval *x = tx->x;
    const struct firn_group *g = &x->e->group;
    size_t at = x->out->buf.len;
    enum firn_status st = FIRN_OK;
    if (g->n > 0) {
        /* What commands made of what they read may be more than was asked for before. */
        st = firn_engine__write_ready(x, g->bytes + 2 * FIRN_RECORD_OVERHEAD);
        if (st == FIRN_OK)
            st = firn_engine__commit(x);
    } else if (tx->touched && x->db->writable) {
        st = firn_engine__noop(x);
    }
    tx->committed = st == FIRN_OK;
    return st == FIRN_INVALID ? only_error(tx, at) : st;
}

/* ---- what runs after the commit */

static void run_effect(struct firn_tx *tx, size_t i)
{
    struct firn_tx_cmd *c = &tx->cmd[i];
    struct firn_eval x = inner(tx, i);
    uint64_t errors = x.out->errors;
    if (c->entry->own) {
        firn_conn_run_own(x.s->c, x.cmd, c->argc, c->argv);
    } else {
        x.ns = (uint8_t)(FIRN_NS_DB0 + firn_conn_db(x.s->c));
        size_t at = x.out->buf.len;
        enum firn_status st = firn_engine__handler(x.cmd)(&x);
        if (st != FIRN_OK && st != FIRN_INVALID) {
            x.out->buf.len = at;
            firn_reply_error(x.out, "ERR '%s' could not be run inside of a transaction: %s",
                             c->entry->name, firn_status_name(st));
        }
    }
    c->entry->stat.failed += x.out->errors != errors;
}

bool firn_engine__tx_cut(struct firn_reply *out, size_t mark, struct firn_buf *to)
{
    firn_buf_init(to, out->buf.max);
    if (firn_buf_append(to, out->buf.data + mark, out->buf.len - mark) != FIRN_OK) {
        out->failed = true; /* the connection is closed: it does not learn what was committed */
        return false;
    }
    out->buf.len = mark;
    return true;
}

void firn_engine__tx_effects(struct firn_tx *tx)
{
    if (!tx->effects)
        return;
    struct firn_reply *out = tx->x->out;
    size_t mark = tx->mark;
    struct firn_buf data;
    if (!firn_engine__tx_cut(out, mark, &data))
        return;
    size_t from = 0;
    tx->running = true;
    for (size_t i = 0; i < tx->n; i++) {
        if (firn_engine__touches_data(tx->cmd[i].entry))
            continue;
        size_t upto = tx->cmd[i].reply_at - mark;
        firn_reply_raw(out, data.data + from, upto - from);
        from = upto;
        run_effect(tx, i);
    }
    firn_reply_raw(out, data.data + from, data.len - from);
    firn_buf_clear(&data);
}

void firn_engine__tx_clear(struct firn_tx *tx)
{
    struct firn_engine *e = tx->x->e;
    if (!tx->committed && tx->first_cursor < e->cursors.next_id) {
        firn_engine__cursors_drop(&e->cursors, tx->first_cursor);
        firn_engine__remembered(e);
    }
    tx->x->s->read.keep = false;
    firn_view_unref(tx->view);
    firn_memtable_unref(tx->mem);
    tx->view = NULL;
    tx->mem = NULL;
}
