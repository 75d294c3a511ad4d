/* INFO: the fields that clients and exporters read, in Redis's sections, and Firn's own. */
#include "engine/engine_priv.h"

#include <inttypes.h>
#include <stdio.h>

/* One line "name:value"; failure (memory, the buffer's bound) sticks in b->failed. */
struct info {
    struct firn_engine *e;
    struct firn_buf *out;
    enum firn_status st;
};

static FIRN_PRINTF(2, 3) void line(struct info *in, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (in->st != FIRN_OK)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n >= sizeof text)
        n = (int)sizeof text - 1;
    in->st = firn_buf_append(in->out, text, (size_t)n);
    if (in->st == FIRN_OK)
        in->st = firn_buf_append(in->out, "\r\n", 2);
}

static void number(struct info *in, const char *name, uint64_t v)
{
    line(in, "%s:%" PRIu64, name, v);
}

/* The role's own lines of a section. */
static void from_role(struct info *in, const char *section)
{
    struct firn_db *db = in->e->db;
    if (in->st == FIRN_OK && db->vt->info)
        db->vt->info(db, section, in->out);
    if (in->st == FIRN_OK && db->host_info)
        db->host_info(db->host_arg, section, in->out);
}

static void info_server(struct info *in)
{
    const struct firn_db *db = in->e->db;
    uint64_t up = (firn_boot_ns(db->env) - in->e->started_boot_ns) / FIRN_SEC;
    line(in, "redis_version:%s", FIRN_REDIS_VERSION);
    line(in, "firn_version:%s", FIRN_VERSION);
    line(in, "redis_mode:standalone");
    line(in, "os:Linux");
    line(in, "arch_bits:%zu", sizeof(void *) * 8);
    line(in, "run_id:%s", db->run_id);
    line(in, "firn_node_id:%s", db->node_id);
    number(in, "tcp_port", in->e->port);
    line(in, "server_time_usec:%" PRIu64, firn_wall_ms(db->env) * 1000);
    number(in, "uptime_in_seconds", up);
    number(in, "uptime_in_days", up / 86400);
    from_role(in, "server");
}

static void info_clients(struct info *in)
{
    if (in->st == FIRN_OK)
        in->st = firn_server_info_clients(in->e->server, in->out);
}

const struct firn_budget *firn_engine__budget(const struct firn_engine *e)
{
    static const struct firn_budget none;
    return e->db->budget ? e->db->budget : &none;
}

/* "name:bytes" and "name_human:1.50M". */
static void bytes(struct info *in, const char *name, uint64_t v)
{
    static const char unit[] = "BKMGTPE";
    double d = (double)v;
    size_t u = 0;
    for (; d >= 1024 && unit[u + 1]; u++)
        d /= 1024;
    number(in, name, v);
    line(in, u ? "%s_human:%.2f%c" : "%s_human:%.0f%c", name, d, unit[u]);
}

static void info_memory(struct info *in)
{
    const struct firn_budget *b = firn_engine__budget(in->e);
    uint64_t clients = b->part[FIRN_BUDGET_CLIENTS].used;
    uint64_t pinned = b->part[FIRN_BUDGET_PINNED].used;
    bytes(in, "used_memory", b->sum);
    bytes(in, "used_memory_peak", b->sum_peak);
    number(in, "used_memory_overhead", clients + pinned);
    number(in, "used_memory_dataset", b->sum - clients - pinned);
    number(in, "mem_clients_normal", clients);
    line(in, "mem_clients_slaves:0");
    bytes(in, "maxmemory", b->total);
    line(in, "maxmemory_policy:noeviction");
    number(in, "firn_expirer_bytes", in->e->expirer.bytes);
    for (int i = 0; i < FIRN_BUDGET_PARTS; i++) {
        const char *part = firn_budget_part_name((enum firn_budget_part)i);
        line(in, "firn_memory_%s:%" PRIu64, part, b->part[i].used);
        line(in, "firn_memory_%s_share:%" PRIu64, part, b->part[i].share);
        line(in, "firn_memory_%s_peak:%" PRIu64, part, b->part[i].peak);
    }
    from_role(in, "memory");
}

static void info_persistence(struct info *in)
{
    line(in, "loading:%d", !in->e->db->serving);
    line(in, "async_loading:0");
    number(in, "rdb_changes_since_last_save",
           in->e->db->applied_seqno - in->e->db->durable_seqno); /* applied, not durable yet */
    line(in, "rdb_bgsave_in_progress:0");
    line(in, "rdb_last_bgsave_status:ok");
    line(in, "aof_enabled:0");
    line(in, "aof_rewrite_in_progress:0");
    line(in, "aof_last_bgrewrite_status:ok");
    line(in, "aof_last_write_status:ok");
    from_role(in, "persistence");
}

/* Expired events, while the database asks for them. */
static void info_expirer(struct info *in)
{
    const struct firn_engine_stats *s = &in->e->stat;
    const struct firn_expirer *x = &in->e->expirer;
    if (!x->on)
        return;
    number(in, "firn_expired_to_ms", firn_engine_expired_to(in->e));
    number(in, "firn_expire_pending", x->far.len + x->near.len + x->nstuck);
    number(in, "firn_expire_stale", s->expired_stale);
    number(in, "firn_expire_failures", s->expire_failures);
    number(in, "firn_expire_lag_p50_ms", firn_hist_quantile(&s->expire_lag_ns, 0.5) / FIRN_MS);
    number(in, "firn_expire_lag_p99_ms", firn_hist_quantile(&s->expire_lag_ns, 0.99) / FIRN_MS);
    number(in, "firn_expire_lag_max_ms", s->expire_lag_ns.max / FIRN_MS);
}

static void info_stats(struct info *in)
{
    const struct firn_engine_stats *s = &in->e->stat;
    const struct firn_server_stats *r = firn_server_stats(in->e->server);
    number(in, "total_connections_received", r->connections_received);
    number(in, "total_commands_processed", r->commands_processed);
    number(in, "total_net_input_bytes", r->net_in_bytes);
    number(in, "total_net_output_bytes", r->net_out_bytes);
    number(in, "rejected_connections", r->connections_rejected);
    number(in, "evicted_clients", r->evicted);
    number(in, "expired_keys", s->expired_logged + s->expired_hidden);
    info_expirer(in);
    line(in, "evicted_keys:0");
    number(in, "keyspace_hits", s->hits);
    number(in, "keyspace_misses", s->misses);
    number(in, "pubsub_channels", in->e->pubsub.n[FIRN_TOPIC_CHANNEL]);
    number(in, "pubsub_patterns", in->e->pubsub.n[FIRN_TOPIC_PATTERN]);
    number(in, "pubsubshard_channels", in->e->pubsub.n[FIRN_TOPIC_SHARD]);
    number(in, "client_query_buffer_limit_disconnections", r->query_limit_closed);
    number(in, "client_output_buffer_limit_disconnections",
           r->output_limit_closed + r->pubsub_limit_closed);
    number(in, "total_error_replies", firn_server_errors(in->e->server)->total);
    number(in, "firn_parked_commands", r->parked_total);
    number(in, "firn_gated_replies", r->gated_replies);
    number(in, "firn_noop_commands", s->noops);
    number(in, "firn_kvstale", s->stale);
    number(in, "firn_kvbusy", s->busy);
    number(in, "firn_kvunknown", firn_engine__unknown(in->e));
    from_role(in, "stats");
}

static void info_replication(struct info *in)
{
    const struct firn_db *db = in->e->db;
    line(in, "role:%s", db->writable ? "master" : "slave");
    if (!db->writable) {
        const char *colon = strrchr(db->writer_addr, ':');
        int host = (int)(colon ? colon - db->writer_addr : (ptrdiff_t)strlen(db->writer_addr));
        line(in, "master_host:%.*s", host, db->writer_addr);
        line(in, "master_port:%s", colon ? colon + 1 : "0");
        line(in, "master_link_status:%s", db->serving ? "up" : "down");
        number(in, "slave_repl_offset", db->durable_seqno);
        line(in, "slave_read_only:1");
    }
    line(in, "connected_slaves:0");
    number(in, "master_repl_offset", db->durable_seqno);
    from_role(in, "replication");
}

/* used_cpu_*: only the role's program can ask the system. */
static void info_cpu(struct info *in)
{
    from_role(in, "cpu");
}

static void info_cluster(struct info *in)
{
    line(in, "cluster_enabled:0");
}

static void info_keyspace(struct info *in)
{
    const struct firn_engine *e = in->e;
    for (uint8_t i = 0; i < FIRN_DATABASES && e->db->view; i++) {
        uint8_t start = (uint8_t)(FIRN_NS_DB0 + i), end = (uint8_t)(start + 1);
        const struct firn_dbsize *d = &e->dbsize[i];
        bool exact = d->known && d->view_gen == e->db->view_gen && d->seqno == e->db->durable_seqno;
        uint64_t keys = exact ? d->keys
                              : firn_view_estimate(e->db->view, firn_slice_of(&start, 1),
                                                   firn_slice_of(&end, 1));
        if (keys)
            line(in, "db%u:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0,firn_exact=%d", i, keys,
                 exact ? d->expires : 0, exact);
    }
}

static void info_commandstats(struct info *in)
{
    if (in->st == FIRN_OK)
        in->st = firn_server_info_commands(in->e->server, in->out);
}

static void info_errorstats(struct info *in)
{
    if (in->st == FIRN_OK)
        in->st = firn_server_info_errors(in->e->server, in->out);
}

static void firn_log(struct info *in)
{
    const struct firn_db *db = in->e->db;
    uint64_t now = firn_boot_ns(db->env);
    line(in, "firn_durable_place:%" PRIu64 "/%" PRIu64, db->durable_place.epoch,
         db->durable_place.slot);
    number(in, "firn_durable_seqno", db->durable_seqno);
    number(in, "firn_applied_seqno", db->applied_seqno);
    if (db->writable) {
        number(in, "firn_slots_not_durable", db->last_gate - db->durable_gate);
        line(in, "firn_fenced:%d", db->fenced);
    }
    if (db->fresh_ns)
        number(in, "firn_state_age_ms", now > db->fresh_ns ? (now - db->fresh_ns) / FIRN_MS : 0);
    number(in, "firn_log_time_ms", db->log_time_ms);
    line(in, "firn_clock_offset_ms:%" PRId64, db->clock_offset_ms);
    line(in, "firn_ack:%s", db->settings->ack == FIRN_ACK_DURABLE ? "durable" : "applied");
    number(in, "firn_freshness_ms", db->settings->freshness_ns / FIRN_MS);
}

static void firn_tables(struct info *in)
{
    const struct firn_db *db = in->e->db;
    const struct firn_lsm_stats *l = firn_lsm_stats_of(db->lsm);
    if (db->view) {
        number(in, "firn_view_memtables", firn_view_memtables(db->view));
        number(in, "firn_view_l0_tables", firn_view_l0_tables(db->view));
    }
    number(in, "firn_view_number", db->view_gen);
    number(in, "firn_cache_hits", l->hits + l->meta_hits);
    number(in, "firn_cache_misses", l->misses + l->meta_misses);
    number(in, "firn_filter_absent", l->filter_absent);
    number(in, "firn_filter_false", l->filter_false);
    number(in, "firn_fetches", l->fetches);
    number(in, "firn_fetched_bytes", l->fetched_bytes);
    number(in, "firn_corrupt_blocks", l->corrupt);
}

static void firn_snapshots(struct info *in)
{
    const struct firn_snapshots *s = &in->e->snapshots;
    const struct firn_pins_stats *p = firn_engine__pins_stats(in->e);
    number(in, "firn_snapshots", s->count);
    number(in, "firn_snapshots_opened", s->opened);
    number(in, "firn_snapshots_lost",
           s->ended_by[FIRN_SNAPSHOT_LOST] + s->ended_by[FIRN_SNAPSHOT_MEMORY]);
    number(in, "firn_pin_renewals", p->renewed);
}

static void firn_store_lines(struct info *in)
{
    const struct firn_store *store = in->e->db->store;
    if (!store)
        return;
    for (int op = 0; op < FIRN_OS_OPS; op++) {
        const struct firn_store_account *a = firn_store_account_of(store, (enum firn_os_op)op);
        if (a->requests)
            line(in,
                 "firn_store_%s:requests=%" PRIu64 ",retries=%" PRIu64 ",errors=%" PRIu64
                 ",sent=%" PRIu64 ",received=%" PRIu64,
                 firn_os_op_name((enum firn_os_op)op), a->requests, a->retries, a->errors,
                 a->bytes_sent, a->bytes_received);
    }
    line(in, "firn_dollars:%.6f", firn_store_dollars(store));
}

static void info_firn(struct info *in)
{
    firn_log(in);
    firn_tables(in);
    firn_snapshots(in);
    firn_store_lines(in);
    from_role(in, "firn");
}

static const struct {
    const char *name, *title;
    void (*fn)(struct info *in);
    bool by_default;
} sections[] = {
    {"server", "Server", info_server, true},
    {"clients", "Clients", info_clients, true},
    {"memory", "Memory", info_memory, true},
    {"persistence", "Persistence", info_persistence, true},
    {"stats", "Stats", info_stats, true},
    {"replication", "Replication", info_replication, true},
    {"cpu", "CPU", info_cpu, true},
    {"commandstats", "Commandstats", info_commandstats, false},
    {"errorstats", "Errorstats", info_errorstats, true},
    {"cluster", "Cluster", info_cluster, true},
    {"keyspace", "Keyspace", info_keyspace, true},
    {"firn", "Firn", info_firn, true},
};

enum firn_status firn_engine__info(struct firn_engine *e, struct firn_slice section,
                                   struct firn_buf *out)
{
    struct info in = {.e = e, .out = out, .st = FIRN_OK};
    bool defaults = firn_slice_ieq(section, "default");
    bool all = firn_slice_ieq(section, "all") || firn_slice_ieq(section, "everything");
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        bool wanted = all || (defaults && sections[i].by_default) ||
                      firn_slice_ieq(section, sections[i].name);
        if (!wanted)
            continue;
        if (out->len)
            in.st = in.st == FIRN_OK ? firn_buf_append(out, "\r\n", 2) : in.st;
        line(&in, "# %s", sections[i].title);
        sections[i].fn(&in);
    }
    return in.st;
}
