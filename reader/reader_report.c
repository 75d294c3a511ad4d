#include "reader/reader_priv.h"

#include <inttypes.h>

/* How old the state that reads are served from may be; 0 before the first probe ended. */
static uint64_t state_age_ns(const struct firn_reader *r)
{
    return r->db.fresh_ns ? firn_boot_ns(r->db.env) - r->db.fresh_ns : 0;
}

/* Why reads of the log and of tables fail now; "ok" when they do not. */
static const char *store_error(const struct firn_reader *r)
{
    uint64_t for_ns;
    if (!firn_store_ails(r->db.store, FIRN_OS_GET, &for_ns))
        return "ok";
    const struct firn_store_health *h = firn_store_health_of(r->db.store, FIRN_OS_GET);
    return h->err.text[0] ? h->err.text : firn_status_name(h->status);
}

void firn_reader__info(struct firn_db *db, const char *section, struct firn_buf *out)
{
    struct firn_reader *r = db->role;
    if (strcmp(section, "firn") != 0 || !r->tail)
        return;
    const struct firn_tail_stats *st = firn_tail_stats_of(r->tail);
    struct firn_place at = firn_tail_at(r->tail);
    (void)!firn_buf_printf(
        out,
        "firn_role:reader\r\nfirn_log_position:%" PRIu64 "/%" PRIu64
        "\r\nfirn_state_age_ms:%" PRIu64 "\r\nfirn_manifest_version:%" PRIu64
        "\r\nfirn_floor:%" PRIu64 "/%" PRIu64 "\r\nfirn_kept:%" PRIu64 "/%" PRIu64
        "\r\nfirn_memtables:%zu\r\nfirn_memtable_bytes:%" PRIu64 "\r\nfirn_tail_probes:%" PRIu64
        "\r\nfirn_tail_batches:%" PRIu64 "\r\nfirn_tail_records:%" PRIu64
        "\r\nfirn_tail_reloads:%" PRIu64 "\r\nfirn_tail_vouched_fast:%" PRIu64
        "\r\nfirn_tail_vouched_read:%" PRIu64 "\r\n",
        at.epoch, at.slot, state_age_ns(r) / FIRN_MS, r->manifest->version,
        r->manifest->floor.epoch, r->manifest->floor.slot, r->manifest->kept.epoch,
        r->manifest->kept.slot, r->memory.parts, firn_memory_bytes(&r->memory), st->probes,
        st->batches, st->records, r->reloads, st->vouched_fast, st->vouched_read);
    (void)!firn_buf_printf(out, "firn_store:%s\r\n", store_error(r));
}

static void collect_tail(struct firn_metrics_out *out, const struct firn_reader *r)
{
    const struct firn_tail_stats *st = firn_tail_stats_of(r->tail);
    struct firn_place at = firn_tail_at(r->tail);
    firn_metrics_gauge(out, "log_position_epoch", "Epoch of the next slot wanted.",
                       (double)at.epoch, NULL);
    firn_metrics_gauge(out, "log_position_slot", "Next slot wanted.", (double)at.slot, NULL);
    firn_metrics_counter(out, "tail_probes_total", "Probes of the log's end.", st->probes, NULL);
    firn_metrics_counter(out, "tail_batches_total", "Batches applied.", st->batches, NULL);
    firn_metrics_counter(out, "tail_records_total", "Records applied.", st->records, NULL);
    firn_metrics_counter(out, "tail_raw_bytes_total", "Log bytes applied, uncompressed.",
                         st->raw_bytes, NULL);
    firn_metrics_counter(out, "tail_failures_total", "Times that tailing failed and rested.",
                         st->failures, NULL);
    firn_metrics_counter(out, "tail_reloads_total", "Reloads that skipped collected slots.",
                         r->reloads, NULL);
    firn_metrics_counter(out, "tail_vouched_total", "Seals and 404s believed.", st->vouched_fast,
                         "by", "recent", NULL);
    firn_metrics_counter(out, "tail_vouched_total", "Seals and 404s believed.", st->vouched_read,
                         "by", "read", NULL);
}

static void collect(struct firn_metrics_out *out, void *arg)
{
    struct firn_reader *r = arg;
    if (r->engine)
        firn_engine_collect(out, r->engine);
    if (r->tail)
        collect_tail(out, r);
    firn_metrics_gauge(out, "served_state_age_seconds", "How old the state in use may be.",
                       (double)state_age_ns(r) / (double)FIRN_SEC, NULL);
    firn_metrics_hist(out, "probe_seconds", "What a probe of the log's end took.", &r->probe_time,
                      NULL);
    if (r->manifest) {
        firn_metrics_gauge(out, "manifest_version", "Version of the manifest in use.",
                           (double)r->manifest->version, NULL);
        firn_metrics_gauge(out, "floor_slot", "First slot not in L0.",
                           (double)r->manifest->floor.slot, NULL);
        firn_metrics_gauge(out, "kept_slot", "First slot kept.", (double)r->manifest->kept.slot,
                           NULL);
    }
    firn_metrics_gauge(out, "l0_tables", "Tables in L0.",
                       r->db.view ? (double)firn_view_l0_tables(r->db.view) : 0, NULL);
    firn_budget_collect(out, &r->budget);
    firn_metrics_counter(out, "views_total", "Views taken.", r->views_taken, NULL);
}

void firn_reader__report_init(struct firn_reader *r)
{
    r->metrics.collect = collect;
    r->metrics.arg = r;
    firn_metrics_add(&r->obs->metrics, &r->metrics);
}

static const char *state_name(enum reader_state s)
{
    static const char *const name[] = {"new", "waiting for the database", "serving", "ending",
                                       "ended"};
    return name[s];
}

bool firn_reader_ready(struct firn_reader *r, struct firn_buf *lines)
{
    bool serving = r->state == READER_SERVING;
    (void)!firn_buf_printf(lines, "serving: %s\n", serving ? "ok" : state_name(r->state));
    return serving;
}
