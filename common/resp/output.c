/* The output of a connection: a byte stream whose prefix has left, of which parts are held back
 * until their gates open. Everything behind a held part waits with it, so replies keep their order.
 */
#include "resp/conn_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#define COMPACT_BYTES (64 * 1024) /* sent bytes worth moving the rest down for */
#define KEEP_BYTES (256 * 1024)   /* an empty buffer larger than this is given back */

/* --- the ring */

static struct firn_held *held_at(const struct firn_conn *c, size_t i)
{
    return &c->held.at[(c->held.head + i) & (c->held.cap - 1)];
}

static bool held_push(struct firn_conn *c, const struct firn_held *h)
{
    struct firn_held_ring *r = &c->held;
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 8;
        struct firn_held *v = firn_malloc(cap * sizeof *v);
        if (!v)
            return false;
        for (size_t i = 0; i < r->n; i++)
            v[i] = *held_at(c, i);
        firn_free(r->at);
        r->at = v;
        r->cap = cap;
        r->head = 0;
    }
    r->n++;
    *held_at(c, r->n - 1) = *h;
    return true;
}

void firn_conn__held_clear(struct firn_conn *c)
{
    firn_free(c->held.at);
    c->held = (struct firn_held_ring){0};
    c->held_slot_max = 0;
    if (!firn_list_empty(&c->gated)) {
        firn_list_remove(&c->gated);
        c->srv->stats.gated--;
    }
}

static bool gate_open(const struct firn_server *s, uint64_t slot, uint64_t probe)
{
    return slot <= s->durable_slot && probe <= s->probe_done;
}

/* The ring has run empty. */
static void none_held(struct firn_conn *c)
{
    c->held_slot_max = 0;
    c->held.head = 0;
    if (c->held.cap > 1024)
        firn_conn__held_clear(c);
    if (!firn_list_empty(&c->gated)) {
        firn_list_remove(&c->gated);
        c->srv->stats.gated--;
    }
}

/* --- gates */

static bool same_gate(const struct firn_held *h, const struct firn_gate *g, uint64_t start)
{
    return h->end == start && h->slot == g->slot && h->probe == g->probe && h->kind == g->kind &&
           h->deadline_ns / FIRN_MS == g->deadline_ns / FIRN_MS && h->count < UINT32_MAX;
}

void firn_conn_gate(struct firn_conn *c, const struct firn_gate *gate)
{
    struct firn_server *s = c->srv;
    FIRN_ASSERT(c->in_exec);
    if (gate_open(s, gate->slot, gate->probe) || c->reply_off || c->reply_skip || c->out.failed)
        return;
    uint64_t start = c->out_base + c->mark;
    uint64_t end = c->out_base + c->out.buf.len;
    if (start == end)
        return;
    s->stats.gated_replies++;
    struct firn_held *last = c->held.n ? held_at(c, c->held.n - 1) : NULL;
    if (last && same_gate(last, gate, start)) {
        last->end = end;
        last->count++;
        return;
    }
    struct firn_held h = {start, end, gate->slot, gate->probe, gate->deadline_ns, 1, gate->kind};
    if (!held_push(c, &h)) {
        firn_conn_close(c, false);
        return;
    }
    if (gate->slot > c->held_slot_max)
        c->held_slot_max = gate->slot;
    if (firn_list_empty(&c->gated)) {
        firn_list_push(&s->gated, &c->gated);
        s->stats.gated++;
        if (!firn_timer_running(&s->expire_timer))
            firn_timer_start(s->env, &s->expire_timer, 25 * FIRN_MS);
    }
}

uint64_t firn_conn_gate_slot(const struct firn_conn *c)
{
    return c->held_slot_max > c->srv->durable_slot ? c->held_slot_max : 0;
}

void firn_conn__release(struct firn_conn *c)
{
    struct firn_held_ring *r = &c->held;
    size_t before = r->n;
    while (r->n && gate_open(c->srv, held_at(c, 0)->slot, held_at(c, 0)->probe)) {
        r->head = (r->head + 1) & (r->cap - 1);
        r->n--;
    }
    if (r->n == before)
        return;
    if (!r->n)
        none_held(c);
    firn_conn_dirty(c);
}

/* The connection's unsent output, written anew with some held replies replaced. */
struct rewrite {
    struct firn_conn *c;
    struct firn_reply out;
    size_t at; /* first byte of the old buffer not taken over */
};

static void take_until(struct rewrite *w, size_t end)
{
    firn_reply_raw(&w->out, w->c->out.buf.data + w->at, end - w->at);
    w->at = end;
}

/* Take over all held entries; gives how many replies were replaced. */
static size_t rewrite_held(struct rewrite *w,
                           struct firn_slice (*text)(void *arg, const struct firn_held *h),
                           void *arg)
{
    struct firn_conn *c = w->c;
    uint64_t old_base = c->out_base, new_base = c->out_base + c->sent;
    size_t kept = 0, replaced = 0;
    uint64_t slot_max = 0;
    for (size_t i = 0; i < c->held.n; i++) {
        struct firn_held h = *held_at(c, i);
        take_until(w, (size_t)(h.start - old_base));
        struct firn_slice t = text(arg, &h);
        if (t.len) {
            for (uint32_t k = 0; k < h.count; k++)
                firn_reply_error_slice(&w->out, t);
            w->at = (size_t)(h.end - old_base);
            replaced += h.count;
            continue;
        }
        uint64_t start = new_base + w->out.buf.len;
        take_until(w, (size_t)(h.end - old_base));
        h.start = start;
        h.end = new_base + w->out.buf.len;
        slot_max = h.slot > slot_max ? h.slot : slot_max;
        *held_at(c, kept++) = h;
    }
    c->held.n = kept;
    c->held_slot_max = slot_max;
    return replaced;
}

size_t firn_conn__replace(struct firn_conn *c,
                          struct firn_slice (*text)(void *arg, const struct firn_held *h),
                          void *arg)
{
    size_t i = 0;
    while (i < c->held.n && !text(arg, held_at(c, i)).len)
        i++;
    if (i == c->held.n)
        return 0;
    struct rewrite w = {.c = c, .at = c->sent};
    firn_reply_init(&w.out, c->out.buf.max, c->out.resp);
    w.out.stats = &c->srv->errors;
    size_t replaced = rewrite_held(&w, text, arg);
    /* A reply being written lies behind everything held. */
    size_t tail = c->in_exec ? c->out.buf.len - c->mark : 0;
    take_until(&w, c->out.buf.len);
    if (w.out.failed) {
        firn_reply_clear(&w.out);
        firn_conn_close(c, false);
        return replaced;
    }
    firn_buf_clear(&c->out.buf);
    c->out.buf = w.out.buf;
    c->mark = c->out.buf.len - tail;
    c->out_base += c->sent;
    c->sent = 0;
    if (!c->held.n)
        none_held(c);
    firn_conn__release(c); /* an open gate may have queued behind the replaced one */
    firn_conn_dirty(c);
    return replaced;
}

/* --- pushes */

void firn_conn__limit_subscriber(struct firn_conn *c)
{
    struct firn_server *s = c->srv;
    const struct firn_server_options *o = &s->opt;
    if (!c->subscriber || c->closing != FIRN_CONN_OPEN)
        return;
    /* Of a burst within one turn the socket may take much: only the rest counts. */
    if (c->out.buf.len - c->sent > o->pubsub_soft_bytes && !c->blocked)
        firn_conn__flush(c);
    size_t unsent = c->out.buf.len - c->sent;
    bool over = unsent > o->pubsub_bytes_max;
    if (unsent <= o->pubsub_soft_bytes) {
        c->over_soft_ns = 0;
    } else if (!over) {
        uint64_t now = firn_boot_ns(s->env);
        if (!c->over_soft_ns)
            c->over_soft_ns = now;
        over = now - c->over_soft_ns >= o->pubsub_soft_ns;
    }
    if (over) {
        s->stats.pubsub_limit_closed++;
        firn_conn_close(c, false);
    }
}

void firn_conn_push(struct firn_conn *c, struct firn_slice bytes)
{
    FIRN_ASSERT(!c->in_exec);
    if (c->closing != FIRN_CONN_OPEN)
        return;
    firn_reply_raw(&c->out, bytes.data, bytes.len);
    firn_conn_dirty(c); /* what failed for memory is closed there */
    firn_conn__limit_subscriber(c);
}

/* --- sending */

/* Index of the first byte that may not leave. */
static size_t send_end(const struct firn_conn *c)
{
    return c->held.n ? (size_t)(held_at(c, 0)->start - c->out_base) : c->out.buf.len;
}

size_t firn_conn__sendable(const struct firn_conn *c)
{
    return send_end(c) - c->sent;
}

size_t firn_conn__withheld(const struct firn_conn *c)
{
    return c->out.buf.len - send_end(c);
}

/* Everything before `sent` is gone: make room again. */
static void compact(struct firn_conn *c)
{
    struct firn_buf *b = &c->out.buf;
    if (c->sent == b->len) {
        c->out_base += b->len;
        b->len = 0;
        c->sent = 0;
        if (b->cap > KEEP_BYTES)
            firn_buf_clear(b);
    } else if (c->sent >= COMPACT_BYTES && c->sent >= b->len / 2) {
        c->out_base += c->sent;
        firn_buf_consume(b, c->sent);
        c->sent = 0;
    }
}

void firn_conn__flush(struct firn_conn *c)
{
    struct firn_server *s = c->srv;
    if (c->closing == FIRN_CONN_CLOSE_NOW)
        return;
    if (c->out.failed) { /* by a push outside exec */
        s->stats.output_limit_closed++;
        firn_conn_close(c, false);
        return;
    }
    size_t n = firn_conn__sendable(c);
    if (n && !c->blocked) {
        const struct firn_net *net = s->env->net;
        size_t took = net->vt->write(net->ctx, c->sock, c->out.buf.data + c->sent, n);
        FIRN_ASSERT(took <= n);
        c->sent += took;
        s->stats.net_out_bytes += took;
        c->blocked = took < n;
        compact(c);
    }
    if (c->closing == FIRN_CONN_CLOSE_FLUSH && c->out.buf.len == 0)
        firn_conn_close(c, false);
    else if (firn_conn__runnable(c))
        firn_conn__make_ready(c);
    firn_conn__settle(c);
}

void firn_conn_dirty(struct firn_conn *c)
{
    if (firn_list_empty(&c->dirty)) {
        firn_list_push(&c->srv->dirty, &c->dirty);
        firn_server__kick(c->srv);
    }
}
