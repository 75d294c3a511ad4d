/* The whole history of the clients against the log: check_serial.h says what must hold. */
#include "sim/check_linear.h"
#include "sim/check_serial.h"
#include "sim/cluster_sim.h"
#include "sim/history_text.h"

#include "format/token.h"

#define LINEAR_STEPS 20000 /* of the search for one key */

void sim_history_begin(struct sim *x)
{
    hist_init(&x->hist);
    witness_init(&x->witness, &x->hist);
}

/* ---- KV.CHANGES: a page holds all that the log has from where it begins to where the next does */

#define CHANGE_ITEMS 8 /* kind, db, key, value or end, expiry, version, event, group */
#define CHANGE_VERSION 5

void sim_history_page(struct sim *x, uint64_t from, uint32_t op)
{
    x->page = hist_room(x->page, &x->pages_cap, x->pages, sizeof *x->page);
    x->page[x->pages++] = (struct sim_page){from, op};
}

/* The first record behind this seqno. */
static size_t record_behind(const struct witness *w, uint64_t seqno)
{
    size_t lo = 0, hi = w->records;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (w->record[mid].seqno <= seqno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void check_page(struct sim *x, const struct sim_page *p, struct check_report *r)
{
    const struct hist_op *op = &x->hist.op[p->op];
    const struct hist_item *item = &x->hist.item[op->item];
    struct firn_token end;
    if (op->items == 0 ||
        firn_token_parse(hist_name_of(&x->hist.values, item->value), &end) != FIRN_OK) {
        check_wrong_op(r, &x->hist, op, "KV.CHANGES gives no token");
        return;
    }
    size_t at = record_behind(&x->witness, p->from);
    for (uint32_t i = 1; i + CHANGE_ITEMS <= op->items; i += CHANGE_ITEMS, at++) {
        struct firn_slice text = hist_name_of(&x->hist.values, item[i + CHANGE_VERSION].value);
        char number[24] = {0};
        memcpy(number, text.data, text.len < sizeof number ? text.len : 0);
        uint64_t want = at < x->witness.records ? x->witness.record[at].seqno : 0;
        if (strtoull(number, NULL, 10) == want)
            continue;
        check_wrong_op(r, &x->hist, op, "KV.CHANGES: version %s, the log has %llu", number,
                       (unsigned long long)want);
        return;
    }
    if (at < x->witness.records && x->witness.record[at].seqno <= end.seqno)
        check_wrong_op(r, &x->hist, op, "KV.CHANGES passes over version %llu",
                       (unsigned long long)x->witness.record[at].seqno);
}

/* ---- CLIENT TRACKING: in a quiet world what is cached is so, or has been until just now */

/* A node that polls every tail-interval has told of what was durable for so long. */
#define TOLD_NS (8 * FIRN_SEC)

/* Was this what the key held in some state from `state` on? A batch that a client sends again may
 * be written at the very end. */
static bool held_since(const struct witness *w, uint32_t key, uint32_t state, uint32_t value)
{
    for (; state != UINT32_MAX; state = witness_change(w, key, state)) {
        const struct witness_version *v = key < w->keys ? witness_at(w, key, state) : NULL;
        if ((v ? v->value : 0) == value)
            return true;
    }
    return false;
}

static void check_cached(struct sim *x, const struct client *c, struct check_report *r)
{
    uint32_t told = witness_durable_by(&x->witness, sim_now_ns(x) - TOLD_NS);
    for (unsigned k = 0; k < SIM_KEYS; k++) {
        char name[8];
        int len = snprintf(name, sizeof name, "k%02u", k);
        uint32_t key = hist_intern(&x->hist.keys, firn_slice_of(name, (size_t)len));
        x->r->count[SIM_checks] += c->cache[k].known;
        if (c->cache[k].known && !held_since(&x->witness, key, told, c->cache[k].value))
            check_wrong(r, "client %u on node %u still caches what %s was", c->id, c->node->n,
                        name);
    }
}

/* ---- all of it */

/* How far off any node's idea of the time of day may have been: its clock at the start, its rate
 * since then, the store's Date, which counts whole seconds. */
static uint64_t skew_ms(const struct sim *x)
{
    uint64_t ran = sim_now_ns(x) / FIRN_MS * x->choice.drift_ppm / 1000000;
    uint64_t jumps = 20 * x->choice.jump_ms; /* some, on one machine */
    return SIM_WALL_OFF_MS + ran + jumps + 2 * firn_fake_options(x->w)->date_skew_ms + 1000;
}

/* What is wrong, and all that clients did, with the trace of the run. */
_Noreturn static void tell(struct sim *x, const struct check_report *report)
{
    struct firn_buf all;
    firn_buf_init(&all, SIZE_MAX);
    (void)fprintf(stderr, "%.*s", (int)report->text.len, (const char *)report->text.data);
    hist_text_write(&x->hist, &all);
    if (x->trace)
        (void)fprintf(x->trace, "%.*s\n%.*s\n", (int)all.len, (const char *)all.data,
                      (int)report->text.len, (const char *)report->text.data);
    sim_fail(x, "%llu wrong: %.*s", (unsigned long long)report->wrong, (int)report->text.len,
             (const char *)report->text.data);
}

/* What the clients alone make of it, key by key. */
static void second_opinion(struct sim *x, struct check_report *report)
{
    struct check_linear_options o = {.work_max = LINEAR_STEPS,
                                     .drift_ppm = 2 * x->choice.drift_ppm};
    struct check_linear_stats stats;
    check_linear(&x->hist, &o, &stats, report);
    x->r->count[SIM_checks] += stats.keys + stats.bounded;
    x->r->count[SIM_linear_keys] += stats.keys;
    x->r->count[SIM_linear_undecided] += stats.undecided;
}

void sim_history_check_end(struct sim *x)
{
    struct check_report report;
    struct check_serial_stats stats = {0};
    struct check_serial_options o = {
        .wall_ms = firn_fake_true_ms(x->w) - sim_now_ns(x) / FIRN_MS,
        .skew_ms = skew_ms(x),
        .drift_ppm = 2 * x->choice.drift_ppm,
    };
    check_report_init(&report);
    witness_read(&x->witness, &x->store.db, 1, &report);
    check_serial(&x->hist, &x->witness, &o, &stats, &report);
    second_opinion(x, &report);
    for (size_t i = 0; i < x->pages; i++)
        check_page(x, &x->page[i], &report);
    for (unsigned i = 0; i < x->choice.clients; i++)
        if (x->client[i].tracks && x->client[i].conn && sim_node_lives(x->client[i].node) &&
            !x->client[i].node->standby)
            check_cached(x, &x->client[i], &report);
    sim_scan_check_end(x, &report);
    x->r->count[SIM_changes] += x->pages;
    x->r->count[SIM_checks] += x->pages;
    if (report.wrong)
        tell(x, &report);
    check_report_clear(&report);
    x->r->count[SIM_checks] +=
        stats.writes + stats.reads + stats.bounded + stats.nothing + stats.snapshots + stats.tokens;
    x->r->count[SIM_lost_applied] += stats.lost_applied;
    x->r->count[SIM_snapshot_reads] += stats.snapshots;
    x->r->count[SIM_tokens] += stats.tokens;
}

void sim_history_end(struct sim *x)
{
    witness_clear(&x->witness);
    free(x->page);
    free(x->scan);
    hist_clear(&x->hist);
}
