#include "engine/snapshot_priv.h"

#include "base/mem.h"
#include "base/sometimes.h"
#include "engine/engine_priv.h"
#include "engine/text_priv.h"

#include <inttypes.h>
#include <stdlib.h>

/* How often lives and memory are looked at. */
#define TICK_NS (1 * FIRN_SEC)
/* Opening one freezes a writer's memtable that is at least this share of memtable-bytes. */
#define FREEZE_SHARE 8

/* ---- under the pin */

static void hold_changed(struct firn_pin_hold *h)
{
    struct firn_pinned *p = h->arg;
    if (p->session)
        firn_conn_resume(p->session->c);
}

static enum firn_status await_pin(struct firn_eval *x)
{
    struct firn_wait w = {
        .kind = FIRN_WAIT_PIN,
        .deadline_ns = x->arrival_ns + x->db->settings->read_timeout_ns,
    };
    return firn_engine__await(x, &w);
}

uint64_t firn_engine__view_version(const struct firn_view *v)
{
    const struct firn_manifest *m = firn_view_manifest(v);
    return m ? m->version : 0;
}

/* The view must be of a version that was current when the pin was durable already. A reader that
 * lags behind that one's floor first tails on, so that it need not jump. */
static enum firn_status move_view(struct firn_eval *x, struct firn_pinned *p)
{
    struct firn_db *db = x->db;
    struct firn_err err = {""};
    if (firn_engine__view_version(db->view) >= p->hold.version)
        return FIRN_OK;
    FIRN_SOMETIMES("engine: a pin moved to a newer version");
    enum firn_status s = db->vt->take_view(db, firn_pins_manifest(db->pins), &err);
    if (s == FIRN_OK && firn_engine__view_version(db->view) >= p->hold.version)
        return FIRN_OK;
    if (s != FIRN_OK) {
        firn_reply_error(x->out, "KVBUSY no view of the newest manifest: %s; nothing was applied",
                         err.text[0] ? err.text : firn_status_name(s));
        return FIRN_INVALID;
    }
    if (!p->ticket || db->probe_done >= p->ticket)
        p->ticket = db->vt->probe(db);
    struct firn_wait w = {
        .kind = FIRN_WAIT_FRESH,
        .fresh_ns = UINT64_MAX,
        .ticket = p->ticket,
        .deadline_ns = x->arrival_ns + db->settings->read_timeout_ns,
    };
    return firn_engine__await(x, &w);
}

enum firn_status firn_engine__pin_hold(struct firn_eval *x, struct firn_pinned *p)
{
    struct firn_db *db = x->db;
    if (p->hold.state == FIRN_PIN_IDLE) {
        p->hold.changed = hold_changed;
        p->hold.arg = p;
        firn_pins_hold(db->pins, &p->hold);
    }
    p->session = x->s;
    if (p->hold.state == FIRN_PIN_WAITING)
        return await_pin(x);
    p->session = NULL;
    return p->hold.state == FIRN_PIN_HELD ? FIRN_OK : FIRN_ABSENT;
}

enum firn_status firn_engine__pin_view(struct firn_eval *x, struct firn_pinned *p)
{
    enum firn_status st = firn_engine__pin_hold(x, p);
    if (st == FIRN_ABSENT) {
        firn_reply_error(x->out, "KVBUSY the pin could not be had: %s", p->hold.err.text);
        return FIRN_INVALID;
    }
    if (st == FIRN_OK)
        st = move_view(x, p);
    if (st != FIRN_OK)
        return st;
    x->view = x->db->view;
    firn_pins_use(&p->hold, firn_engine__view_version(x->view));
    return FIRN_OK;
}

void firn_engine__unpin(struct firn_pinned *p)
{
    firn_pins_release(&p->hold);
    p->session = NULL;
    p->ticket = 0;
}

const struct firn_pins_stats *firn_engine__pins_stats(const struct firn_engine *e)
{
    static const struct firn_pins_stats none;
    return e->db->pins ? firn_pins_stats_of(e->db->pins) : &none;
}

/* ---- memory */

static int by_address(const void *a, const void *b)
{
    const struct firn_memtable *const *x = a, *const *y = b;
    return ((uintptr_t)*x > (uintptr_t)*y) - ((uintptr_t)*x < (uintptr_t)*y);
}

static bool view_has(const struct firn_view *v, const struct firn_memtable *m)
{
    for (size_t i = 0; v && i < firn_view_memtables(v); i++)
        if (firn_view_memtable(v, i) == m)
            return true;
    return false;
}

/* Bytes of the memtables that snapshots hold and the database's own view does not, each once. When
 * memory is too short to tell, what was counted last stands. */
static uint64_t count_bytes(const struct firn_engine *e)
{
    const struct firn_snapshots *all = &e->snapshots;
    size_t most = 0, n = 0;
    FIRN_LIST_EACH(it, nx, &all->open)
    most += firn_view_memtables(FIRN_CONTAINER(it, struct firn_snapshot, link)->view);
    const struct firn_memtable **held = firn_calloc(most, sizeof *held);
    if (!held)
        return all->bytes;
    FIRN_LIST_EACH(it, nx, &all->open)
    {
        const struct firn_view *v = FIRN_CONTAINER(it, struct firn_snapshot, link)->view;
        for (size_t i = 0; i < firn_view_memtables(v); i++)
            held[n++] = firn_view_memtable(v, i);
    }
    if (n)
        qsort(held, n, sizeof *held, by_address);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        if ((i == 0 || held[i] != held[i - 1]) && !view_has(e->db->view, held[i]))
            bytes += firn_memtable_bytes(held[i]);
    firn_free(held);
    return bytes;
}

static struct firn_snapshot *oldest(struct firn_snapshots *all)
{
    return FIRN_CONTAINER(all->open.next, struct firn_snapshot, link);
}

static void keep_bounds(struct firn_engine *e)
{
    struct firn_snapshots *all = &e->snapshots;
    struct firn_budget *b = e->db->budget;
    uint64_t max = b ? b->part[FIRN_BUDGET_SNAPSHOTS].share
                     : e->db->settings->memory_bytes / FIRN_SNAPSHOT_MEMORY_SHARE;
    all->bytes = all->count ? count_bytes(e) : 0;
    while (all->count && all->bytes > max) {
        firn_engine__snapshot_end(oldest(all), FIRN_SNAPSHOT_MEMORY);
        all->bytes = all->count ? count_bytes(e) : 0;
    }
    firn_budget_set(b, FIRN_BUDGET_SNAPSHOTS, all->bytes);
}

/* ---- life */

static void tick(void *arg)
{
    struct firn_engine *e = arg;
    struct firn_snapshots *all = &e->snapshots;
    uint64_t now = firn_boot_ns(e->db->env);
    FIRN_LIST_EACH(it, nx, &all->open)
    {
        struct firn_snapshot *s = FIRN_CONTAINER(it, struct firn_snapshot, link);
        if (s->ends_ns <= now)
            firn_engine__snapshot_end(s, FIRN_SNAPSHOT_EXPIRED);
    }
    keep_bounds(e);
    if (all->count)
        firn_timer_start(e->db->env, &all->timer, TICK_NS);
}

void firn_engine__snapshots_init(struct firn_engine *e)
{
    struct firn_snapshots *all = &e->snapshots;
    firn_list_init(&all->open);
    all->timer = (struct firn_timer){.fn = tick, .arg = e};
    /* 2^52 places to begin at, and as many ids before one could be used twice. */
    all->next_id = 1 + (firn_random_u64(e->db->env) >> 12);
}

static void snapshot_free(struct firn_snapshot *s)
{
    firn_engine__unpin(&s->pin);
    firn_list_remove(&s->hold.link);
    firn_view_unref(s->view);
    firn_free(s);
}

void firn_engine__snapshots_clear(struct firn_engine *e)
{
    struct firn_list *it;
    while ((it = firn_list_pop(&e->snapshots.open)) != NULL)
        snapshot_free(FIRN_CONTAINER(it, struct firn_snapshot, link));
    e->snapshots.count = 0;
    firn_timer_stop(e->db->env, &e->snapshots.timer);
}

void firn_engine__snapshot_end(struct firn_snapshot *s, enum firn_snapshot_end why)
{
    struct firn_snapshots *all = &s->e->snapshots;
    size_t at = all->nended++ % FIRN_SNAPSHOT_ENDS_KEPT;
    all->ended[at].id = s->id;
    all->ended[at].why = why;
    all->ended_by[why]++;
    all->count--;
    firn_list_remove(&s->link);
    snapshot_free(s);
}

static void pin_lost(struct firn_pin_hold *h)
{
    struct firn_snapshot *s = h->arg;
    if (h->state == FIRN_PIN_LOST) {
        FIRN_SOMETIMES("engine: a snapshot ended by the loss of its pin");
        firn_engine__snapshot_end(s, FIRN_SNAPSHOT_LOST);
    }
}

struct firn_snapshot *firn_engine__snapshot_open(struct firn_eval *x, uint64_t ttl_ms)
{
    struct firn_engine *e = x->e;
    struct firn_db *db = x->db;
    struct firn_snapshot *s = firn_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    uint64_t version = firn_engine__view_version(x->view);
    s->e = e;
    s->pin.hold.changed = pin_lost;
    s->pin.hold.arg = s;
    /* The pin is alive: the command holds it. */
    firn_pins_hold(db->pins, &s->pin.hold);
    FIRN_ASSERT(s->pin.hold.state == FIRN_PIN_HELD);
    firn_pins_use(&s->pin.hold, version);
    s->id = e->snapshots.next_id++;
    firn_view_ref(x->view);
    s->view = x->view;
    s->hold.seqno = x->max_seqno;
    firn_list_push(&e->holds, &s->hold.link);
    s->now_ms = firn_engine__now(x);
    s->ends_ns = firn_boot_ns(db->env) + ttl_ms * FIRN_MS;
    firn_list_push(&e->snapshots.open, &s->link);
    e->snapshots.count++;
    e->snapshots.opened++;
    if (!firn_timer_running(&e->snapshots.timer))
        firn_timer_start(db->env, &e->snapshots.timer, TICK_NS);
    /* What is written from now on shall not grow what this one holds. */
    if (db->vt->freeze)
        db->vt->freeze(db, db->settings->memtable_bytes / FREEZE_SHARE);
    return s;
}

/* ---- reading at one */

static const char *why_ended(const struct firn_snapshots *all, uint64_t id)
{
    static const char *const text[] = {
        [FIRN_SNAPSHOT_CLOSED] = "it was closed",
        [FIRN_SNAPSHOT_EXPIRED] = "its time to live has passed",
        [FIRN_SNAPSHOT_LOST] = "its pin was lost, so its tables may be gone",
        [FIRN_SNAPSHOT_MEMORY] = "it was the oldest when the memory for snapshots ran out",
    };
    for (uint64_t i = 0; i < FIRN_SNAPSHOT_ENDS_KEPT && i < all->nended; i++)
        if (all->ended[i].id == id)
            return text[all->ended[i].why];
    return "this node did not open it, or it ended long ago";
}

struct firn_snapshot *firn_engine__snapshot_find(struct firn_eval *x, struct firn_slice text)
{
    struct firn_snapshots *all = &x->e->snapshots;
    uint64_t id;
    if (!firn_engine__parse_u64(text, &id)) {
        firn_reply_error(x->out, "ERR invalid snapshot id");
        return NULL;
    }
    FIRN_LIST_EACH(it, nx, &all->open)
    {
        struct firn_snapshot *s = FIRN_CONTAINER(it, struct firn_snapshot, link);
        if (s->id != id)
            continue;
        if (s->ends_ns > firn_boot_ns(x->db->env))
            return s;
        firn_engine__snapshot_end(s, FIRN_SNAPSHOT_EXPIRED);
        break;
    }
    firn_reply_error(x->out, "KVGONE there is no snapshot %" PRIu64 ": %s", id, why_ended(all, id));
    return NULL;
}

enum firn_status firn_engine__read_at(struct firn_eval *x, size_t i)
{
    struct firn_snapshot *s = firn_engine__snapshot_find(x, x->argv[i]);
    if (!s)
        return FIRN_INVALID;
    x->s->at_snapshot = s->id;
    x->view = s->view;
    x->max_seqno = s->hold.seqno;
    x->now_ms = s->now_ms;
    return FIRN_OK;
}

enum firn_status firn_engine__snapshot_gone(struct firn_eval *x)
{
    FIRN_LIST_EACH(it, nx, &x->e->snapshots.open)
    {
        struct firn_snapshot *s = FIRN_CONTAINER(it, struct firn_snapshot, link);
        if (s->id == x->s->at_snapshot)
            firn_engine__snapshot_end(s, FIRN_SNAPSHOT_LOST);
    }
    FIRN_SOMETIMES("engine: a snapshot ended by a missing table");
    firn_reply_error(x->out, "KVGONE the snapshot %" PRIu64 " has ended: a table of it is gone",
                     x->s->at_snapshot);
    return FIRN_INVALID;
}
