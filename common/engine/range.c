/* Ordered walks over live keys for SCAN, KEYS, DBSIZE, KV.RANGE …: one moment of the database (a
 * view and a seqno) from the first entry to the last, over as many parks as it takes. */
#include "engine/engine_priv.h"

#include "base/sometimes.h"
#include "engine/tx_priv.h"

#define STEPS_PER_TURN 4096 /* entries looked at before the loop gets its turn */
#define LONG_WALK_SHARE 8   /* of pin-ttl: walks that last longer are kept by a pin */

static enum firn_status put_bounds(struct firn_range *r, const struct firn_range_bounds *b,
                                   struct firn_iter_options *o)
{
    uint8_t start_ns = b->ns, end_ns = b->ns;
    size_t end_len = b->end.len;
    if (!end_len)
        end_ns++; /* unbounded: up to the next namespace */
    r->bounds.len = 0;
    enum firn_status st = firn_buf_append(&r->bounds, &start_ns, 1);
    if (st == FIRN_OK)
        st = firn_buf_append(&r->bounds, b->start.data, b->start.len);
    if (st == FIRN_OK)
        st = firn_buf_append(&r->bounds, &end_ns, 1);
    if (st == FIRN_OK)
        st = firn_buf_append(&r->bounds, b->end.data, end_len);
    if (st != FIRN_OK)
        return st;
    o->start = firn_slice_of(r->bounds.data, 1 + b->start.len);
    o->end = firn_slice_of(r->bounds.data + 1 + b->start.len, 1 + end_len);
    return FIRN_OK;
}

enum firn_status firn_engine__range_open(struct firn_eval *x, const struct firn_range_bounds *b)
{
    struct firn_range *r = &x->s->range;
    enum firn_status st = firn_engine__tx_show(x);
    if (st != FIRN_OK)
        return st;
    struct firn_iter_options o = {
        .reverse = b->reverse,
        .keys_only = b->keys_only,
        .max_seqno = x->max_seqno,
        .now_ms = firn_engine__now(x),
    };
    if (!x->tx && o.max_seqno > x->db->applied_seqno)
        o.max_seqno = x->db->applied_seqno; /* later writes must not show up half-way */
    firn_engine__range_close(x->s);
    st = put_bounds(r, b, &o);
    if (st == FIRN_OK)
        st = firn_iter_create(x->view, &x->s->read, &o, &r->iter);
    if (st == FIRN_OK) {
        r->hold.seqno = o.max_seqno;
        firn_list_push(&x->e->holds, &r->hold.link);
    }
    r->opened_ns = firn_boot_ns(x->db->env);
    r->version = firn_engine__view_version(x->view);
    return st;
}

/* Would the collector's graces pass while it goes on like this? A snapshot's view is kept by the
 * snapshot. */
static bool needs_pin(const struct firn_eval *x)
{
    const struct firn_session *s = x->s;
    return x->db->pins && !s->at_snapshot && s->pinned.hold.state == FIRN_PIN_IDLE &&
           firn_boot_ns(x->db->env) - s->range.opened_ns >=
               x->db->settings->pin_ttl_ns / LONG_WALK_SHARE;
}

enum firn_status firn_engine__range_pin(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    bool open = firn_engine__range_is_open(s);
    enum firn_status st = firn_engine__pin_hold(x, &s->pinned);
    if (st == FIRN_OK && open && s->range.version >= s->pinned.hold.version) {
        firn_pins_use(&s->pinned.hold, s->range.version);
    } else if (st == FIRN_ABSENT && open) {
        st = FIRN_OK; /* it may come to its end without; a table that goes is an error then */
    } else if (st == FIRN_OK || st == FIRN_ABSENT) {
        firn_engine__range_close(s);
        st = firn_engine__pin_view(x, &s->pinned);
    }
    s->pin_wanted = st == FIRN_AGAIN;
    return st;
}

enum firn_status firn_engine__range_lost(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    if (s->pinned.hold.state == FIRN_PIN_LOST) {
        firn_reply_error(x->out, "KVGONE a table went while it was walked over: %s",
                         s->pinned.hold.err.text);
        return FIRN_INVALID;
    }
    FIRN_SOMETIMES("engine: a walk goes on under a pin");
    s->pin_wanted = true;
    firn_engine__range_close(s);
    firn_read_clear(&s->read);
    return FIRN_OK;
}

enum firn_status firn_engine__range_next(struct firn_eval *x, struct firn_entry *out)
{
    struct firn_range *r = &x->s->range;
    if (x->tx) { /* it cannot give its turn away */
        enum firn_status st = firn_engine__tx_step(x);
        if (st != FIRN_OK)
            return st;
    } else if (++r->steps > STEPS_PER_TURN) {
        r->steps = 0;
        x->s->pin_wanted = needs_pin(x);
        struct firn_wait w = {.kind = FIRN_WAIT_TURN};
        return firn_engine__await(x, &w);
    }
    return firn_iter_next(r->iter, out);
}

void firn_engine__range_close(struct firn_session *s)
{
    struct firn_range *r = &s->range;
    if (!r->iter)
        return;
    firn_iter_free(r->iter);
    r->iter = NULL;
    firn_list_remove(&r->hold.link);
    r->steps = 0;
    r->count = r->bytes = r->seen = r->expires = r->next_expiry_ms = 0;
    firn_reply_clear(&r->rows);
    firn_buf_clear(&r->bounds);
    firn_buf_clear(&r->last);
}
