#include "writer/writer_priv.h"

#include <inttypes.h>

static const char *state_name(enum writer_state s)
{
    static const char *const name[] = {
        "new",     "proving",  "opening",  "standing-by", "claiming", "taking-over", "confirming",
        "serving", "draining", "flushing", "releasing",   "ending",   "ended"};
    return name[s];
}

static struct firn_append_state log_state(const struct firn_writer *w)
{
    struct firn_append_state st = {0};
    if (w->append)
        firn_append_state(w->append, &st);
    return st;
}

static void info_log(struct firn_writer *w, struct firn_buf *out)
{
    struct firn_append_state st = log_state(w);
    const struct firn_manifest *m = w->manifest;
    (void)!firn_buf_printf(out,
                           "firn_role:writer\r\nfirn_state:%s\r\nfirn_epoch:%" PRIu64
                           "\r\nfirn_log_next_slot:%" PRIu64 "\r\nfirn_log_durable_slots:%" PRIu64
                           "\r\nfirn_log_inflight:%u\r\nfirn_log_unacked_bytes:%" PRIu64
                           "\r\nfirn_log_batches:%" PRIu64 "\r\nfirn_log_records:%" PRIu64
                           "\r\nfirn_log_raw_bytes:%" PRIu64 "\r\nfirn_log_object_bytes:%" PRIu64
                           "\r\n",
                           state_name(w->state), w->epoch, st.open_slot, st.durable_slots,
                           st.inflight, w->append ? firn_append_unacked_bytes(w->append) : 0,
                           st.batches, st.records, st.raw_bytes, st.object_bytes);
    if (m)
        (void)!firn_buf_printf(out,
                               "firn_manifest_version:%" PRIu64 "\r\nfirn_floor:%" PRIu64
                               "/%" PRIu64 "\r\nfirn_kept:%" PRIu64 "/%" PRIu64 "\r\n",
                               m->version, m->floor.epoch, m->floor.slot, m->kept.epoch,
                               m->kept.slot);
    (void)!firn_buf_printf(
        out,
        "firn_memtables:%zu\r\nfirn_memtable_bytes:%" PRIu64 "\r\nfirn_unflushed_slots:%" PRIu64
        "\r\nfirn_unflushed_bytes:%" PRIu64 "\r\nfirn_range_tombstones:%zu\r\nfirn_flushes:%" PRIu64
        "\r\nfirn_takeover_ms:%" PRIu64 "\r\n",
        w->memory.parts, firn_memory_bytes(&w->memory), firn_memory_slots(&w->memory),
        firn_memory_raw_bytes(&w->memory),
        w->memory.parts ? firn_memtable_tombs(firn_memory_active(&w->memory)->table, NULL) : 0,
        w->flushes, w->takeover_took_ns / FIRN_MS);
}

void firn_writer__info(struct firn_db *db, const char *section, struct firn_buf *out)
{
    struct firn_writer *w = db->role;
    if (strcmp(section, "firn") == 0)
        info_log(w, out);
}

static void collect(struct firn_metrics_out *out, void *arg)
{
    struct firn_writer *w = arg;
    struct firn_append_state st = log_state(w);
    if (w->engine)
        firn_engine_collect(out, w->engine);
    firn_metrics_gauge(out, "writer_epoch", "Epoch of this writer.", (double)w->epoch, NULL);
    firn_metrics_gauge(out, "fenced", "1 when a newer writer took over.", w->fenced ? 1 : 0, NULL);
    firn_metrics_gauge(out, "log_slots_inflight", "Slots closed and not yet durable.", st.inflight,
                       NULL);
    firn_metrics_gauge(out, "log_unacked_bytes", "Uncompressed log bytes not yet durable.",
                       w->append ? (double)firn_append_unacked_bytes(w->append) : 0, NULL);
    firn_metrics_counter(out, "log_slots_total", "Slots closed.", st.batches, NULL);
    firn_metrics_counter(out, "log_records_total", "Records closed into slots.", st.records, NULL);
    firn_metrics_counter(out, "log_raw_bytes_total", "Log bytes before compression.", st.raw_bytes,
                         NULL);
    firn_metrics_counter(out, "log_object_bytes_total", "Log bytes as stored.", st.object_bytes,
                         NULL);
    firn_metrics_gauge(out, "log_position_slot", "Next slot not known durable.",
                       (double)st.durable_slots, NULL);
    if (w->manifest) {
        firn_metrics_gauge(out, "manifest_version", "Version of the manifest in use.",
                           (double)w->manifest->version, NULL);
        firn_metrics_gauge(out, "floor_epoch", "Epoch of the first slot not in L0.",
                           (double)w->manifest->floor.epoch, NULL);
        firn_metrics_gauge(out, "floor_slot", "First slot not in L0.",
                           (double)w->manifest->floor.slot, NULL);
        firn_metrics_gauge(out, "kept_epoch", "Epoch of the first slot kept.",
                           (double)w->manifest->kept.epoch, NULL);
        firn_metrics_gauge(out, "kept_slot", "First slot kept.", (double)w->manifest->kept.slot,
                           NULL);
    }
    firn_metrics_gauge(out, "l0_tables", "Tables in L0.", (double)firn_writer__l0_tables(w), NULL);
    firn_budget_collect(out, &w->budget);
    firn_metrics_gauge(out, "unflushed_slots", "Slots from the floor on.",
                       (double)firn_memory_slots(&w->memory), NULL);
    firn_metrics_gauge(out, "unflushed_bytes", "Uncompressed log bytes from the floor on.",
                       (double)firn_memory_raw_bytes(&w->memory), NULL);
    firn_metrics_counter(out, "flushes_total", "Flushes committed.", w->flushes, NULL);
    firn_metrics_counter(out, "flush_failures_total", "Flushes begun again after a failure.",
                         w->flush_failures, NULL);
    firn_metrics_counter(out, "flushed_tables_total", "Tables flushed.", w->flushed_tables, NULL);
    firn_metrics_counter(out, "flushed_bytes_total", "Bytes of flushed tables.", w->flushed_bytes,
                         NULL);
    firn_metrics_gauge(out, "takeover_seconds", "How long this writer's take-over took.",
                       (double)w->takeover_took_ns / (double)FIRN_SEC, NULL);
    firn_metrics_gauge(out, "clock_offset_seconds",
                       "Own wall clock minus the store's Date, at start.",
                       (double)w->db.clock_offset_ms / 1000, NULL);
}

void firn_writer__report_init(struct firn_writer *w)
{
    w->metrics.collect = collect;
    w->metrics.arg = w;
    firn_metrics_add(&w->obs->metrics, &w->metrics);
}

static bool check(struct firn_buf *lines, const char *name, bool ok, const char *why)
{
    if (ok)
        (void)!firn_buf_printf(lines, "%s: ok\n", name);
    else
        (void)!firn_buf_printf(lines, "%s: %s\n", name, why);
    return ok;
}

bool firn_writer_ready(struct firn_writer *w, struct firn_buf *lines)
{
    bool serving = w->state == WRITER_SERVING;
    bool ready = check(lines, "serving", serving, state_name(w->state));
    if (!serving)
        return ready;
    enum firn_admit admit = firn_writer__admit(&w->db, 0);
    ready &= check(lines, "writes", admit == FIRN_ADMIT_OK || admit == FIRN_ADMIT_WAIT,
                   w->db.busy_why ? w->db.busy_why : "refused");
    return ready;
}
