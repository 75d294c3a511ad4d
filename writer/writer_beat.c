/* Heartbeats of the active writer: it undertakes one by a commit (its claim, or an intent of its
 * own when the setting changed) and from then on rewrites nodes/<node id> that often (PROTOCOL
 * "Standby and failover"). Nothing depends on them but when a standby tries to take over. */
#include "writer/writer_priv.h"

#include <inttypes.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The pace in ms: the quickest of what a standby may go by, 0 = none. */
static uint64_t pace(const struct firn_writer *w)
{
    const struct writer_beat *b = &w->beat;
    uint64_t ms = b->kept_ms;
    if (firn_boot_ns(w->db.env) < b->old_until_ns)
        ms = least(ms, b->old_ms);
    if (b->committing)
        ms = least(ms, b->intent.heartbeat_kept_ms);
    return ms;
}

static void arm(struct firn_writer *w)
{
    uint64_t ms = pace(w);
    if (ms && writer_claimed(w) && !firn_timer_running(&w->beat.timer))
        firn_timer_start(w->db.env, &w->beat.timer, ms * FIRN_MS);
}

static void beat_done(struct firn_store_op *op)
{
    struct firn_writer *w = op->arg;
    w->beat.busy = false;
    if (op->status != FIRN_OK)
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "heartbeat not written", "status=%s why=%s",
                       firn_status_name(op->status), op->req.err.text);
    firn_store_op_clear(op);
    firn_writer__settled(w);
}

static void beat(void *arg)
{
    struct firn_writer *w = arg;
    struct writer_beat *b = &w->beat;
    uint64_t ms = pace(w);
    if (!writer_claimed(w) || ms == 0)
        return;
    arm(w);
    if (b->busy)
        return; /* the store is slow: the next one tells more than two would */
    struct firn_beat body = {
        .db = w->manifest->db,
        .process_nonce = w->process_nonce,
        .epoch = w->epoch,
        .format = w->format,
        .count = ++b->count,
    };
    firn_beat_encode(&body, b->body);
    firn_store_op_init(&b->op);
    b->op.req.op = FIRN_OS_PUT;
    b->op.req.key = b->name;
    b->op.req.body = firn_slice_of(b->body, sizeof b->body);
    b->op.deadline_ns = firn_boot_ns(w->db.env) + ms * FIRN_MS;
    b->op.done = beat_done;
    b->op.arg = w;
    b->busy = true;
    w->pending++;
    firn_store_submit(w->db.store, &b->op);
}

static void undertaken(struct firn_intent *it)
{
    struct firn_writer *w = it->arg;
    struct writer_beat *b = &w->beat;
    b->committing = false;
    struct firn_err err = {0};
    if (it->status != FIRN_OK)
        firn_log_event(&w->obs->log, FIRN_LOG_WARN, "heartbeat not undertaken", "status=%s why=%s",
                       firn_status_name(it->status), it->err.text);
    else if (writer_live(w) && firn_writer__install_view(w, it->manifest, &err) != FIRN_OK)
        firn_writer__finish(w, FIRN_WRITER_FAILED, &err);
    firn_writer__settled(w);
}

void firn_writer__beat_follow(struct firn_writer *w)
{
    struct writer_beat *b = &w->beat;
    const Firn__Manifest *pb = w->manifest->pb;
    uint64_t kept = pb->writer->heartbeat_kept_ms, want = pb->settings->heartbeat_ms;
    if (!writer_claimed(w) || pb->writer->epoch != w->epoch)
        return;
    if (kept != b->kept_ms) {
        /* A standby may go by what it read before: the old pace for a while more. */
        b->old_ms = b->kept_ms;
        b->old_until_ns = firn_boot_ns(w->db.env) + w->settings->failover_after_ns;
        b->kept_ms = kept;
        firn_log_event(&w->obs->log, FIRN_LOG_INFO, "heartbeat", "every=%" PRIu64 "ms", kept);
        firn_timer_stop(w->db.env, &w->beat.timer);
        beat(w);
    }
    if (want == kept || b->committing || w->state != WRITER_SERVING)
        return;
    b->committing = true;
    w->pending++;
    b->intent = (struct firn_heartbeat_intent){.heartbeat_kept_ms = want};
    b->intent.base.done = undertaken;
    b->intent.base.arg = w;
    firn_manifest_heartbeat(w->mnode, &b->intent);
    /* A quicker one is kept before a standby can read that it is promised. */
    if (want && (kept == 0 || want < kept)) {
        firn_timer_stop(w->db.env, &b->timer);
        beat(w);
    }
}

void firn_writer__beat_stop(struct firn_writer *w)
{
    firn_timer_stop(w->db.env, &w->beat.timer);
    if (w->beat.busy)
        firn_store_cancel(w->db.store, &w->beat.op);
}

enum firn_status firn_writer__beat_init(struct firn_writer *w, struct firn_err *err)
{
    w->beat.timer.fn = beat;
    w->beat.timer.arg = w;
    if (firn_name_id(w->beat.name, FIRN_NAME_NODE, firn_slice_str(w->settings->node_id)) != FIRN_OK)
        return firn_fail(err, FIRN_INVALID, "node-id \"%s\" cannot name an object",
                         w->settings->node_id);
    return FIRN_OK;
}
