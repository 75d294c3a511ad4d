/* The whole history of the clients against the log: check_serial.h says what must hold. */
#include "sim/check_linear.h"
#include "sim/check_serial.h"
#include "sim/cluster_sim.h"
#include "sim/history_text.h"

#define LINEAR_STEPS 20000 /* of the search for one key */

void sim_history_begin(struct sim *x)
{
    hist_init(&x->hist);
    witness_init(&x->witness, &x->hist);
}

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
    witness_read(&x->witness, &x->expiry.db, 1, &report);
    check_serial(&x->hist, &x->witness, &o, &stats, &report);
    second_opinion(x, &report);
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
    hist_clear(&x->hist);
}
