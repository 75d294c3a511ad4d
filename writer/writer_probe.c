#include "writer/writer_priv.h"

#include "base/assert.h"
#include "base/sometimes.h"

/* How often the manifest is read while L0 is too long for writes to go on at full speed. */
#define L0_POLL_NS (1 * FIRN_SEC)
/* Between a manifest read of a probe that failed and the next one. */
#define PROBE_REST_NS (500 * FIRN_MS)

/* --- views */

size_t firn_writer__l0_tables(const struct firn_writer *w)
{
    return w->db.view ? firn_view_l0_tables(w->db.view) : 0;
}

enum firn_status firn_writer__install_view(struct firn_writer *w, struct firn_manifest *m,
                                           struct firn_err *err)
{
    /* The floor is moved by our own flushes alone, so memory always reaches down to it (I8); but
     * only a newer manifest may follow, for what lies below the floor of one is not kept. */
    struct firn_view *v;
    if (m->version < w->manifest->version)
        m = w->manifest;
    enum firn_status s = firn_memory_view(&w->memory, 0, w->db.lsm, m, &v, err);
    if (s != FIRN_OK)
        return s;
    firn_view_unref(w->db.view);
    firn_memory_flushed(&w->memory, m->floor, 0);
    w->db.view = v;
    w->db.view_gen++;
    if (m != w->manifest) {
        firn_manifest_ref(m);
        firn_manifest_unref(w->manifest);
        w->manifest = m;
        firn_writer__follow_settings(w);
    }
    return FIRN_OK;
}

void firn_writer__see_manifest(struct firn_writer *w, struct firn_manifest *m)
{
    struct firn_err err = {0};
    if (m->version <= w->manifest->version)
        return;
    enum firn_status s = firn_writer__install_view(w, m, &err);
    if (s != FIRN_OK)
        firn_log_event(&w->obs->log, FIRN_LOG_ERROR, "view not built", "status=%s why=%s",
                       firn_status_name(s), err.text);
    firn_engine_advance(w->engine);
}

enum firn_status firn_writer__take_view(struct firn_db *db, struct firn_manifest *m,
                                        struct firn_err *err)
{
    struct firn_writer *w = db->role;
    return m->version > w->manifest->version ? firn_writer__install_view(w, m, err) : FIRN_OK;
}

/* --- probes */

static bool durable_past(const struct firn_writer *w, uint64_t gate)
{
    return w->db.durable_gate >= gate;
}

static void tickets_done(struct firn_writer *w, uint64_t ticket, uint64_t fresh_ns)
{
    if (ticket > w->db.probe_done)
        w->db.probe_done = ticket;
    if (fresh_ns > w->db.fresh_ns)
        w->db.fresh_ns = fresh_ns;
}

static void begin_read(void *arg);

/* The read was answered and every slot sent before it is durable: nobody else had acknowledged
 * anything, and what we had is in the state (I6). */
static void read_probe_ends(struct firn_writer *w)
{
    struct writer_probe *p = &w->probe;
    p->waiting = false;
    tickets_done(w, p->read_ticket, p->asked_ns);
    if (p->want_ticket > p->read_ticket)
        firn_defer(w->db.env, &p->begin);
}

static void read_answered(struct firn_manifest_read *r)
{
    struct firn_writer *w = r->arg;
    struct writer_probe *p = &w->probe;
    p->reading = false;
    if (!writer_live(w))
        return;
    if (r->status != FIRN_OK) {
        /* Those who wait are answered by read-timeout, should the store refuse us for so long. A
         * refusal may come at once: without a rest we would ask again in the same turn. */
        if (firn_manifest_for_good(w->mnode, r->status))
            firn_writer__finish(w, FIRN_WRITER_FAILED, &r->err);
        else
            firn_timer_start(w->db.env, &p->rest, PROBE_REST_NS);
        return;
    }
    if (!firn_manifest_role_is(r->manifest->pb, FIRN_ROLE_WRITER, w->epoch, &w->process_nonce)) {
        FIRN_SOMETIMES("writer: fenced by the manifest read of a probe");
        firn_writer__role_lost(w);
        return;
    }
    p->waiting = true;
    if (durable_past(w, p->need_gate))
        read_probe_ends(w);
    else
        FIRN_SOMETIMES("writer: a manifest read waits for its slots");
    firn_writer__see_manifest(w, r->manifest);
    firn_engine_advance(w->engine);
}

static void begin_read(void *arg)
{
    struct firn_writer *w = arg;
    struct writer_probe *p = &w->probe;
    if (p->reading || p->waiting || firn_timer_running(&p->rest) || !writer_live(w))
        return;
    if (p->want_ticket <= w->db.probe_done)
        return; /* a commit was the probe meanwhile */
    struct firn_append_state st;
    firn_append_state(w->append, &st);
    p->reading = true;
    p->read_ticket = p->want_ticket;
    p->need_gate = st.sent_slots;
    p->asked_ns = firn_boot_ns(w->db.env);
    memset(&p->read, 0, sizeof p->read);
    p->read.done = read_answered;
    p->read.arg = w;
    firn_manifest_read(w->mnode, &p->read);
}

static uint64_t begin_probe(struct firn_writer *w)
{
    struct firn_db *db = &w->db;
    struct writer_probe *p = &w->probe;
    uint64_t ticket = ++p->ticket;
    if (db->open_gate && !p->commit_gate) {
        /* The open batch will be sent after now: its commit is the probe, and costs nothing. */
        p->commit_gate = db->open_gate;
        p->commit_ticket = ticket;
    } else if (db->open_gate && db->open_gate == p->commit_gate) {
        p->commit_ticket = ticket;
    } else {
        p->want_ticket = ticket;
        firn_defer(db->env, &p->begin);
    }
    return ticket;
}

uint64_t firn_writer__probe(struct firn_db *db)
{
    struct firn_writer *w = db->role;
    if (db->open_gate && w->append)
        firn_append_want(w->append, db->open_gate - 1); /* its commit may be the probe */
    return begin_probe(w);
}

void firn_writer__probe_hint(struct firn_db *db)
{
    struct firn_writer *w = db->role;
    struct writer_probe *p = &w->probe;
    if (!p->reading && !p->waiting && !p->commit_gate && !p->begin.queued)
        (void)begin_probe(w);
}

void firn_writer__probe_durable(struct firn_writer *w)
{
    struct writer_probe *p = &w->probe;
    if (p->commit_gate && durable_past(w, p->commit_gate)) {
        FIRN_SOMETIMES("writer: a commit was the probe");
        p->commit_gate = 0;
        tickets_done(w, p->commit_ticket, 0);
    }
    if (p->waiting && durable_past(w, p->need_gate))
        read_probe_ends(w);
}

static void read_for_view(struct firn_writer *w);

/* A read met a table that is gone: the newest manifest has others in its place. */
static void reloaded(struct firn_manifest_read *r)
{
    struct firn_writer *w = r->arg;
    w->l0_reading = false;
    if (!writer_live(w))
        return;
    w->db.view_error.text[0] = '\0';
    if (r->status == FIRN_OK)
        firn_writer__see_manifest(w, r->manifest);
    else
        w->db.view_error = r->err;
    w->db.reload_done = w->reload_covered;
    firn_engine_advance(w->engine);
    if (w->reload_ticket > w->reload_covered)
        read_for_view(w);
    else
        firn_writer__watch_l0(w);
}

static void read_for_view(struct firn_writer *w)
{
    if (w->l0_reading)
        return;
    w->l0_reading = true;
    w->reload_covered = w->reload_ticket;
    memset(&w->l0_read, 0, sizeof w->l0_read);
    w->l0_read.done = reloaded;
    w->l0_read.arg = w;
    firn_manifest_read(w->mnode, &w->l0_read);
}

uint64_t firn_writer__reload_view(struct firn_db *db)
{
    struct firn_writer *w = db->role;
    uint64_t ticket = ++w->reload_ticket;
    read_for_view(w);
    return ticket;
}

static void l0_due(void *arg)
{
    read_for_view(arg);
}

void firn_writer__watch_l0(struct firn_writer *w)
{
    if (w->state == WRITER_SERVING && firn_writer__l0_tables(w) >= w->settings->l0_slow_tables &&
        !firn_timer_running(&w->l0_timer))
        firn_timer_start(w->db.env, &w->l0_timer, L0_POLL_NS);
}

static void slow_over(void *arg)
{
    struct firn_writer *w = arg;
    firn_engine_advance(w->engine);
}

void firn_writer__probe_init(struct firn_writer *w)
{
    w->probe.begin.fn = begin_read;
    w->probe.begin.arg = w;
    w->probe.rest.fn = begin_read;
    w->probe.rest.arg = w;
    w->l0_timer.fn = l0_due;
    w->l0_timer.arg = w;
    w->slow_timer.fn = slow_over;
    w->slow_timer.arg = w;
}
