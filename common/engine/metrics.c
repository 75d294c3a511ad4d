/* The engine's metrics, in Prometheus's text form. */
#include "engine/engine_priv.h"

#include "obs/metrics.h"

static void collect_parked(struct firn_metrics_out *out, const struct firn_engine_stats *s)
{
    static const char *const reason[] = {
        [FIRN_WAIT_NONE] = "none",       [FIRN_WAIT_OWN] = "own_writes",
        [FIRN_WAIT_FRESH] = "freshness", [FIRN_WAIT_ROOM] = "room",
        [FIRN_WAIT_PLACE] = "token",     [FIRN_WAIT_VIEW] = "view",
        [FIRN_WAIT_FETCH] = "fetch",     [FIRN_WAIT_TURN] = "turn",
        [FIRN_WAIT_LOG] = "log",         [FIRN_WAIT_PIN] = "pin",
        [FIRN_WAIT_SLEEP] = "sleep",     [FIRN_WAIT_COMMIT] = "commit",
    };
    for (int i = FIRN_WAIT_OWN; i <= FIRN_WAIT_COMMIT; i++)
        firn_metrics_counter(out, "commands_parked_total", "Times a command was parked.",
                             s->parked[i], "reason", reason[i], NULL);
}

static void collect_server(struct firn_metrics_out *out, const struct firn_engine *e)
{
    const struct firn_server_stats *r = firn_server_stats(e->server);
    firn_metrics_counter(out, "connections_received_total", "Connections accepted.",
                         r->connections_received, NULL);
    firn_metrics_counter(out, "connections_rejected_total", "Connections refused.",
                         r->connections_rejected, NULL);
    firn_metrics_counter(out, "commands_processed_total", "Commands executed.",
                         r->commands_processed, NULL);
    firn_metrics_counter(out, "net_input_bytes_total", "Bytes received from clients.",
                         r->net_in_bytes, NULL);
    firn_metrics_counter(out, "net_output_bytes_total", "Bytes sent to clients.", r->net_out_bytes,
                         NULL);
    firn_metrics_counter(out, "replies_gated_total", "Replies held until durable.",
                         r->gated_replies, NULL);
    firn_metrics_counter(out, "replies_unknown_total", "Writes answered -KVUNKNOWN.",
                         firn_engine__unknown(e), NULL);
    firn_metrics_counter(out, "clients_evicted_total",
                         "Connections closed because all clients held too much memory.", r->evicted,
                         NULL);
    firn_metrics_gauge(out, "connected_clients", "Connections open.", (double)r->connected, NULL);
    firn_metrics_gauge(out, "parked_commands", "Commands parked now.", (double)r->parked, NULL);
    firn_metrics_gauge(out, "client_buffer_bytes", "Memory of all clients' buffers.",
                       (double)r->buffer_bytes, NULL);
}

static void collect_reads(struct firn_metrics_out *out, const struct firn_engine_stats *s)
{
    firn_metrics_counter(out, "keyspace_hits_total", "Lookups that found a key.", s->hits, NULL);
    firn_metrics_counter(out, "keyspace_misses_total", "Lookups that found none.", s->misses, NULL);
    firn_metrics_counter(out, "cold_reads_total", "Commands that waited for the store.",
                         s->cold_reads, NULL);
    firn_metrics_counter(out, "cold_read_gets_total", "GETs that those waited for.", s->cold_gets,
                         NULL);
    firn_metrics_counter(out, "cold_read_bytes_total", "Bytes that those fetched.", s->cold_bytes,
                         NULL);
    firn_metrics_counter(out, "view_reloads_total", "Manifest reloads because an object was gone.",
                         s->reloads, NULL);
    firn_metrics_counter(out, "corrupt_reads_total", "Commands answered -KVCORRUPT.", s->corrupt,
                         NULL);
    firn_metrics_hist(out, "read_trips", "Sequential round trips of cold reads.", &s->trips, NULL);
    firn_metrics_hist(out, "state_age_seconds", "Age of the state that reads were served from.",
                      &s->state_age_ns, NULL);
    firn_metrics_hist(out, "parked_seconds", "Arrival to reply of commands that were parked.",
                      &s->parked_ns, NULL);
}

static void collect_pubsub(struct firn_metrics_out *out, const struct firn_engine *e)
{
    const struct firn_pubsub *p = &e->pubsub;
    firn_metrics_gauge(out, "pubsub_subscriptions", "Subscriptions of this node's connections.",
                       (double)p->subscriptions.len, NULL);
    firn_metrics_gauge(out, "memory_part_bytes", "Memory by part.", (double)p->bytes, "part",
                       "subscriptions", NULL);
    firn_metrics_counter(out, "pubsub_messages_total", "Messages that had a subscriber here.",
                         p->messages, "kind", "message", NULL);
    firn_metrics_counter(out, "pubsub_messages_total", "Messages that had a subscriber here.",
                         p->events, "kind", "keyspace_event", NULL);
    firn_metrics_counter(out, "pubsub_delivered_total", "Messages times their subscribers.",
                         p->delivered, NULL);
    firn_metrics_counter(out, "pubsub_dropped_subscribers_total", "Subscribers cut off.",
                         firn_server_stats(e->server)->pubsub_limit_closed, "why", "slow", NULL);
    firn_metrics_counter(out, "pubsub_dropped_subscribers_total", "Subscribers cut off.",
                         p->gap_closed, "why", "slots_skipped", NULL);
    firn_metrics_counter(out, "tail_polls_total", "Looks for new slots that no read asked for.",
                         e->db->tail_polls, NULL);
}

static void collect_outcomes(struct firn_metrics_out *out, const struct firn_engine_stats *s)
{
    firn_metrics_counter(out, "writes_total", "Commands that wrote.", s->writes, NULL);
    firn_metrics_counter(out, "noops_total", "Writing commands that changed nothing.", s->noops,
                         NULL);
    firn_metrics_counter(out, "refused_total", "Commands answered with this error.", s->stale,
                         "code", "KVSTALE", NULL);
    firn_metrics_counter(out, "refused_total", "Commands answered with this error.", s->busy,
                         "code", "KVBUSY", NULL);
    firn_metrics_counter(out, "refused_total", "Commands answered with this error.", s->readonly,
                         "code", "READONLY", NULL);
}

static void collect_expirer(struct firn_metrics_out *out, const struct firn_engine *e)
{
    const struct firn_engine_stats *s = &e->stat;
    const struct firn_expirer *x = &e->expirer;
    firn_metrics_counter(out, "expired_total", "Values whose expiry was logged.", s->expired_logged,
                         NULL);
    firn_metrics_counter(out, "expire_stale_total",
                         "Due entries of the expiry index whose value had gone.", s->expired_stale,
                         NULL);
    firn_metrics_counter(out, "expire_failures_total", "Times the expirer had to pause.",
                         s->expire_failures, NULL);
    firn_metrics_gauge(out, "expire_pending", "Entries of the expiry index in memory.",
                       (double)(x->far.len + x->near.len + x->nstuck), NULL);
    firn_metrics_gauge(out, "expirer_bytes", "Memory of those entries.", (double)x->bytes, NULL);
    firn_metrics_hist(out, "expire_lag_seconds", "From a value's time to the record of its expiry.",
                      &s->expire_lag_ns, NULL);
}

static void collect_snapshots(struct firn_metrics_out *out, const struct firn_engine *e)
{
    static const char *const why[FIRN_SNAPSHOT_ENDS] = {
        [FIRN_SNAPSHOT_CLOSED] = "closed",
        [FIRN_SNAPSHOT_EXPIRED] = "ttl",
        [FIRN_SNAPSHOT_LOST] = "lost",
        [FIRN_SNAPSHOT_MEMORY] = "memory",
    };
    const struct firn_snapshots *s = &e->snapshots;
    const struct firn_pins_stats *p = firn_engine__pins_stats(e);
    firn_metrics_gauge(out, "snapshots", "Snapshots open.", (double)s->count, NULL);
    firn_metrics_gauge(out, "memory_part_bytes", "Memory by part.", (double)s->bytes, "part",
                       "snapshots", NULL);
    firn_metrics_counter(out, "snapshots_opened_total", "Snapshots opened.", s->opened, NULL);
    for (int i = 0; i < FIRN_SNAPSHOT_ENDS; i++)
        firn_metrics_counter(out, "snapshots_ended_total", "Snapshots that ended, by reason.",
                             s->ended_by[i], "reason", why[i], NULL);
    firn_metrics_counter(out, "pins_made_total", "Pins put for snapshots and long scans.", p->made,
                         NULL);
    firn_metrics_counter(out, "pin_renewals_total", "Renewals of pins.", p->renewed, NULL);
    firn_metrics_counter(out, "pins_lost_total", "Pins that were found gone or overwritten.",
                         p->lost, NULL);
}

void firn_engine_collect(struct firn_metrics_out *out, void *engine)
{
    const struct firn_engine *e = engine;
    collect_server(out, e);
    collect_outcomes(out, &e->stat);
    collect_reads(out, &e->stat);
    collect_parked(out, &e->stat);
    collect_expirer(out, e);
    collect_pubsub(out, e);
    collect_snapshots(out, e);
}

enum firn_status firn_engine_metrics(struct firn_engine *e, struct firn_buf *out)
{
    struct firn_metrics m;
    struct firn_collector c = {.collect = firn_engine_collect, .arg = e};
    firn_metrics_init(&m);
    firn_metrics_add(&m, &c);
    enum firn_status st = firn_metrics_render(&m, out);
    firn_metrics_remove(&c);
    return st;
}
