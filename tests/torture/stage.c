/* Nodes and faults. */
#include "stage.h"

#include "base/mem.h"

#include <stdarg.h>

#define PATIENCE_NS (60 * FIRN_SEC)

void stage_fail(const struct stage *s, const char *fmt, ...)
{
    va_list ap;
    (void)stage_disarm((struct stage *)(uintptr_t)s);
    va_start(ap, fmt);
    fprintf(stderr, "%s at %.6f s: ", s->what, (double)firn_fake_now_ns(s->w) / 1e9);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    for (unsigned i = 0; i < s->nodes; i++)
        if (s->node[i]->failed)
            fprintf(stderr, "  node %u failed: %s\n", i, s->node[i]->why);
    exit(1);
}

/* ---- faults */

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    struct stage *s = arg;
    (void)n;
    (void)req;
    plan->fate = FIRN_FAKE_CLEAN;
    plan->late_ns = 5 * FIRN_SEC;
    if (!s->armed)
        return;
    s->requests++;
    if ((s->fault == STAGE_STORE && s->requests == s->at) ||
        (s->fault == STAGE_STORE_GONE && s->requests >= s->at))
        plan->fate = s->fate;
}

void stage_arm(struct stage *s)
{
    s->armed = true;
    s->requests = 0;
    if (s->fault == STAGE_MEMORY || s->fault == STAGE_MEMORY_GONE)
        (void)firn_mem_fail_at(s->at, s->fault == STAGE_MEMORY_GONE);
}

uint64_t stage_disarm(struct stage *s)
{
    uint64_t made = firn_mem_fail_at(0, 0);
    s->armed = false;
    return s->fault == STAGE_STORE || s->fault == STAGE_STORE_GONE ? s->requests : made;
}

/* ---- nodes */

static void log_line(void *arg, enum firn_log_level level, const char *line, size_t len)
{
    const struct stage_node *n = arg;
    (void)level;
    (void)fprintf(stderr, "%9.4f node %u: %.*s\n", (double)firn_fake_now_ns(n->s->w) / 1e9,
                  n->number, (int)len, line);
}

static void on_serving(void *arg, uint16_t port)
{
    (void)port;
    ((struct stage_node *)arg)->serving = true;
}

static void on_working(void *arg)
{
    ((struct stage_node *)arg)->serving = true;
}

static void over(struct stage_node *n, bool failed, const struct firn_err *err)
{
    if (n->over)
        stage_fail(n->s, "node %u ended twice", n->number);
    n->over = true;
    n->failed = failed;
    (void)snprintf(n->why, sizeof n->why, "%s", failed ? err->text : "");
    if (failed && !n->why[0])
        stage_fail(n->s, "node %u failed without a word", n->number);
}

static void writer_ended(void *arg, enum firn_writer_end how, const struct firn_err *err)
{
    over(arg, how == FIRN_WRITER_FAILED, err);
}

static void reader_ended(void *arg, bool failed, const struct firn_err *err)
{
    over(arg, failed, err);
}

static void compactor_ended(void *arg, enum firn_compactor_end how, const struct firn_err *err)
{
    over(arg, how == FIRN_COMPACTOR_FAILED, err);
}

static void set_limits(struct stage *s, struct firn_settings *o)
{
    o->memory_bytes = UINT64_C(1) << 30;
    o->freshness_ns = 0;
    o->wal_interval_ns = 5 * FIRN_MS;
    o->tail_interval_ns = 50 * FIRN_MS;
    o->manifest_interval_ns = 50 * FIRN_MS;
    o->compactor_poll_min_ns = 100 * FIRN_MS;
    o->compactor_poll_max_ns = 500 * FIRN_MS;
    o->wal_grace_ns = 2 * FIRN_SEC;
    o->table_grace_ns = 2 * FIRN_SEC;
    o->pin_ttl_ns = 2 * FIRN_SEC;
    o->l0_compact_tables = 2;
    o->heartbeat_ns = s->heartbeat_ns;
    o->failover_after_ns = 500 * FIRN_MS;
    if (!s->tiny)
        return;
    o->idle_flush_ns = FIRN_SEC;
    o->batch_bytes_max = 64 << 10;
    o->value_max_bytes = 16 << 10;
    o->memtable_bytes = 32 << 10;
    o->unflushed_bytes_max = 128 << 10;
    o->table_bytes = 8 << 10;
    o->partition_bytes = 24 << 10;
    o->slice_bytes_min = 1;
}

static bool set_up(struct stage_node *n, bool standby)
{
    struct firn_store_options so = {.hedge_gets = true};
    char id[16];
    if (firn_settings_init(&n->settings) != FIRN_OK)
        return false;
    set_limits(n->s, &n->settings);
    n->settings.standby = standby;
    (void)snprintf(id, sizeof id, "node-%u", n->number);
    char *own = firn_strdup(id), *events = firn_strdup("KEA");
    if (own) {
        firn_free(n->settings.node_id);
        n->settings.node_id = own;
    }
    if (events) {
        firn_free(n->settings.notify_keyspace_events);
        n->settings.notify_keyspace_events = events;
    }
    return own && events && firn_store_create(&n->net.env, &so, &n->store) == FIRN_OK;
}

static bool create(struct stage_node *n)
{
    struct firn_writer_user wu = {.serving = on_serving, .ended = writer_ended, .arg = n};
    struct firn_reader_user ru = {.serving = on_serving, .ended = reader_ended, .arg = n};
    struct firn_compactor_user cu = {.working = on_working, .ended = compactor_ended, .arg = n};
    enum firn_status st;
    if (n->role == STAGE_WRITER)
        st = firn_writer_create(&n->net.env, n->store, &n->settings, &n->obs, &wu, &n->core.writer);
    else if (n->role == STAGE_READER)
        st = firn_reader_create(&n->net.env, n->store, &n->settings, &n->obs, &ru, &n->core.reader);
    else
        st = firn_compactor_create(&n->net.env, n->store, &n->settings, &n->obs, &cu,
                                   &n->core.compactor);
    if (st != FIRN_OK && st != FIRN_LIMIT)
        stage_fail(n->s, "node %u cannot be created: %s", n->number, firn_status_name(st));
    return st == FIRN_OK;
}

static struct stage_node *begin(struct stage *s, enum stage_role role, bool standby)
{
    struct stage_node *n = calloc(1, sizeof *n);
    if (!n || s->nodes == STAGE_NODES)
        abort();
    n->s = s;
    n->role = role;
    n->number = s->nodes;
    n->net.w = s->w;
    n->net.node = firn_fake_node_add(s->w, NULL);
    n->net.env = *firn_fake_env(n->net.node);
    n->net.net = (struct firn_net){&fake_net_vt, &n->net};
    n->net.env.net = &n->net.net;
    firn_obs_init(&n->obs);
    if (getenv("FIRN_VERBOSE")) {
        n->obs.log.sink = log_line;
        n->obs.log.sink_arg = n;
    }
    s->node[s->nodes++] = n;
    if (!set_up(n, standby) || !create(n)) {
        n->over = true;
        return n;
    }
    if (role == STAGE_WRITER)
        firn_writer_start(n->core.writer);
    else if (role == STAGE_READER)
        firn_reader_start(n->core.reader);
    else
        firn_compactor_start(n->core.compactor);
    return n;
}

struct stage_node *stage_writer(struct stage *s, bool standby)
{
    return s->writer = begin(s, STAGE_WRITER, standby);
}

struct stage_node *stage_reader(struct stage *s)
{
    return s->reader = begin(s, STAGE_READER, false);
}

struct stage_node *stage_compactor(struct stage *s)
{
    return s->compactor = begin(s, STAGE_COMPACTOR, false);
}

static bool serves_or_over(void *arg)
{
    const struct stage_node *n = arg;
    return n->serving || n->over;
}

bool stage_serves(struct stage_node *n)
{
    (void)firn_fake_run_until(n->s->w, serves_or_over, n, PATIENCE_NS);
    return n->serving && !n->over;
}

static bool is_over(void *arg)
{
    return ((const struct stage_node *)arg)->over;
}

static void wait_end(struct stage_node *n)
{
    if (!firn_fake_run_until(n->s->w, is_over, n, PATIENCE_NS))
        stage_fail(n->s, "node %u does not end", n->number);
}

void stage_halt(struct stage_node *n)
{
    firn_fake_node_cut(n->net.node, true);
    if (!n->over && n->role == STAGE_WRITER)
        firn_writer_halt(n->core.writer);
    else if (!n->over && n->role == STAGE_READER)
        firn_reader_stop(n->core.reader);
    else if (!n->over)
        firn_compactor_halt(n->core.compactor);
    wait_end(n);
}

void stage_stop(struct stage_node *n)
{
    if (!n->over && n->role == STAGE_WRITER)
        firn_writer_stop(n->core.writer);
    else if (!n->over && n->role == STAGE_READER)
        firn_reader_stop(n->core.reader);
    else if (!n->over)
        firn_compactor_stop(n->core.compactor);
    wait_end(n);
}

void stage_run(struct stage *s, uint64_t ns)
{
    firn_fake_run_for(s->w, ns);
}

/* ---- all of it */

void stage_open(struct stage *s)
{
    s->w = firn_fake_world_new(&(struct firn_fake_options){.seed = 1});
    firn_fake_on_request(s->w, on_request, s);
}

static void node_free(struct stage_node *n)
{
    if (n->role == STAGE_WRITER)
        firn_writer_free(n->core.writer);
    else if (n->role == STAGE_READER)
        firn_reader_free(n->core.reader);
    else
        firn_compactor_free(n->core.compactor);
    firn_store_free(n->store);
    firn_settings_deinit(&n->settings);
    free(n);
}

void stage_close(struct stage *s)
{
    for (unsigned i = 0; i < s->nodes; i++)
        stage_halt(s->node[i]);
    for (unsigned i = 0; i < s->nodes; i++)
        node_free(s->node[i]);
    firn_fake_world_free(s->w);
    s->nodes = 0;
}
