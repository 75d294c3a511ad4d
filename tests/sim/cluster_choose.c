/* What the seed chooses: the world, the sizes, the limits. From a stream of its own, so that what
 * is chosen does not depend on what happens. */
#include "sim/cluster_sim.h"

static uint64_t draw(uint64_t *state, uint64_t n)
{
    return firn_fake_draw(state) % n;
}

/* Between min and max, both included. */
static uint64_t between(uint64_t *state, uint64_t min, uint64_t max)
{
    return min + draw(state, max - min + 1);
}

/* In some seeds a fault never strikes, in some often. */
static uint32_t ppm(uint64_t *s, uint32_t usual)
{
    static const uint32_t tenths[] = {0, 5, 10, 10, 10, 20, 50};
    return usual / 10 * tenths[draw(s, sizeof tenths / sizeof tenths[0])];
}

static void choose_faults(uint64_t *s, struct firn_fake_faults *f)
{
    if (draw(s, 12) == 0)
        return; /* a quiet store: only the strikes */
    *f = (struct firn_fake_faults){
        .lost_before = ppm(s, 4000),
        .lost_after = ppm(s, 4000),
        .late = ppm(s, 4000),
        .twice = ppm(s, 4000),
        .err_500 = ppm(s, 4000),
        .err_503 = ppm(s, 2000),
        .err_409 = ppm(s, 2000),
        .refused = ppm(s, 2000),
        .loser_500 = ppm(s, 20000),
        .short_read = ppm(s, 2000),
        .slow = ppm(s, 10000),
        .net_refused = ppm(s, 10000),
        .net_reset = ppm(s, 1000),
        .net_slow = ppm(s, 4000),
        .net_chop = ppm(s, 20000),
        .net_silent = 300000,
    };
}

static void choose_world(uint64_t *s, struct sim_choice *c, struct firn_fake_options *o)
{
    static const uint64_t late_s[] = {2, 10, 30, 120, 900, 3600};
    c->late_max_ns = late_s[draw(s, 6)] * FIRN_SEC;
    o->late_max_ns = c->late_max_ns;
    o->latency_min_ns = between(s, 1, 20) * FIRN_MS;
    o->latency_max_ns = o->latency_min_ns + between(s, 1, 60) * FIRN_MS;
    o->net_latency_max_ns = between(s, 1, 20) * FIRN_MS;
    o->net_window_max = draw(s, 3) ? 0 : between(s, 64, 4000);
    o->date_skew_ms = draw(s, 3) * 900;
    o->list_unsorted = draw(s, 2);
    o->no_delete_many = draw(s, 4) == 0;
    o->if_match_bare = draw(s, 4) == 0;
    o->if_match_missing_412 = draw(s, 3) == 0;
    o->list_page = draw(s, 3) ? 0 : between(s, 3, 40);
    choose_faults(s, &o->faults);
}

static void choose_log(uint64_t *s, struct firn_settings *t)
{
    static const enum firn_conf_codec codecs[] = {FIRN_CONF_CODEC_LZ4, FIRN_CONF_CODEC_ZSTD,
                                                  FIRN_CONF_CODEC_NONE};
    t->wal_slots_max = between(s, 16, 40);
    t->unflushed_bytes_max = between(s, 33000, 80000);
    t->memtable_bytes = between(s, 4000, 40000);
    t->batch_bytes_max = 16384;
    t->value_max_bytes = 4096;
    t->wal_batch_bytes = between(s, 500, 8000);
    t->wal_inflight = draw(s, 3) ? between(s, 1, 3) : between(s, 4, 8);
    t->wal_interval_ns = draw(s, 60) * FIRN_MS;
    t->wal_grace_ns = between(s, 6, 12) * FIRN_SEC;
    t->codec = (int)codecs[draw(s, 3)];
    t->idle_flush_ns = between(s, 1, 8) * FIRN_SEC;
    t->history_ns = draw(s, 8) ? 0 : between(s, 1, 60) * FIRN_SEC;
    t->dedup_ttl_ns = between(s, 60, 600) * FIRN_SEC; /* longer than a client tries again */
}

static void choose_tables(uint64_t *s, struct firn_settings *t)
{
    t->block_bytes = UINT64_C(1024) << draw(s, 4);
    t->manifest_interval_ns = draw(s, 3) ? draw(s, 1000) * FIRN_MS : 0;
    t->table_bytes = between(s, 2000, 12000);
    t->partition_bytes = t->table_bytes * between(s, 2, 5);
    t->slice_bytes_min = draw(s, 2) ? 1 : 2000;
    t->l0_compact_tables = between(s, 2, 4);
    t->table_grace_ns = between(s, 2, 8) * FIRN_SEC;
    t->pin_ttl_ns = between(s, 3, 8) * FIRN_SEC;
    t->compactor_poll_min_ns = between(s, 500, 2000) * FIRN_MS;
    t->compactor_poll_max_ns = t->compactor_poll_min_ns + draw(s, 10) * FIRN_SEC;
}

/* Replies that are wrong or very late. */
static void choose_replies(uint64_t *s, struct firn_fake_options *o)
{
    bool quiet = o->faults.net_silent == 0; /* choose_faults chose none */
    o->latency_heavy = draw(s, 3) == 0;
    o->faults.bit_flip = quiet ? 0 : ppm(s, 1000);
}

/* Batches that often have no room for one more group. */
static void choose_crowd(uint64_t *s, struct firn_settings *t)
{
    if (draw(s, 3))
        return;
    t->batch_bytes_max = t->wal_batch_bytes = 6000; /* two values at their longest */
    t->wal_interval_ns = between(s, 200, 1000) * FIRN_MS;
}

void sim_choose(struct sim *x, struct firn_fake_options *world)
{
    uint64_t state = x->spec->seed * UINT64_C(0xd1342543de82ef95) + 1, *s = &state;
    struct sim_choice *c = &x->choice;
    struct firn_settings *t = &c->common;
    SIM_MUST(x, firn_settings_init(t) == FIRN_OK);
    choose_world(s, c, world);
    c->drift_ppm = (uint32_t[]){100, 10000, 100000}[draw(s, 3)];
    c->jump_ms = draw(s, 5) ? 0 : 3600 * 1000;
    c->run_ns = between(s, 80, 180) * FIRN_SEC;
    c->calm_ns = between(s, 10, 20) * FIRN_SEC;
    c->clients = (unsigned)between(s, 3, CLIENTS_MAX);
    c->subscribers = (unsigned)draw(s, 4);
    c->readers = (unsigned)between(s, 1, 2);
    /* About 700 to 4000 operations; a burst has about 4. */
    c->think_ns = 2 * c->run_ns * c->clients * 4 / between(s, 1300, 3600);
    c->chaos_ns = between(s, 2, 8) * FIRN_SEC;
    c->fresh_ns = between(s, 200, 3000) * FIRN_MS;
    c->heartbeat_ns = draw(s, 3) ? between(s, 800, 3000) * FIRN_MS : 0;
    c->events = draw(s, 4) != 0;
    choose_log(s, t);
    choose_tables(s, t);
    firn_free(t->notify_keyspace_events);
    t->notify_keyspace_events = firn_strdup(c->events ? "Ex" : "");
    SIM_MUST(x, t->notify_keyspace_events != NULL);
    t->heartbeat_ns = c->heartbeat_ns;
    t->failover_after_ns = c->heartbeat_ns + draw(s, 3000) * FIRN_MS;
    t->tail_interval_ns = between(s, 300, 1500) * FIRN_MS;
    t->memory_bytes = draw(s, 3) ? 0 : between(s, 29, 34) << 20; /* 29 MiB is the least */
    choose_replies(s, world);
    choose_crowd(s, t);
}

void sim_choice_free(struct sim_choice *c)
{
    firn_settings_deinit(&c->common);
}

void sim_settings(struct sim *x, struct firn_settings *s, bool standby, const char *node_id)
{
    const struct firn_settings *t = &x->choice.common;
    SIM_MUST(x, firn_settings_init(s) == FIRN_OK);
    struct firn_settings fresh = *s;
    *s = *t; /* all numbers; the texts are the node's own */
    s->config = fresh.config;
    s->store = fresh.store;
    s->node_id = fresh.node_id;
    s->dir = fresh.dir;
    s->bind = fresh.bind;
    s->announce_address = fresh.announce_address;
    s->requirepass = fresh.requirepass;
    s->endpoint = fresh.endpoint;
    s->region = fresh.region;
    firn_free(fresh.notify_keyspace_events);
    s->notify_keyspace_events = firn_strdup(t->notify_keyspace_events);
    firn_free(s->node_id);
    s->node_id = firn_strdup(node_id);
    SIM_MUST(x, s->notify_keyspace_events && s->node_id);
    s->standby = standby;
    s->probe = sim_rnd(x, 4) == 0 ? FIRN_PROBE_STRICT : FIRN_PROBE_FAST;
}
