/* The engine itself: its RESP server, and what the role tells it. */
#include "engine/engine_priv.h"

#include "base/mem.h"
#include "base/sometimes.h"

#include <inttypes.h>
#include <stdio.h>

static const char *role_name(void *arg)
{
    const struct firn_engine *e = arg;
    return e->db->writable ? "master" : "replica";
}

static bool is_loopback(struct firn_slice addr)
{
    return firn_slice_starts(addr, firn_slice_str("127.")) ||
           firn_slice_eq(addr, firn_slice_str("::1"));
}

static bool bound_wide(const struct firn_settings *s)
{
    const char *at = s->bind;
    struct firn_slice word;
    while (firn_conf_word(&at, &word))
        if (!is_loopback(word))
            return true;
    return false;
}

/* One connection must not have more than half of what all may have. */
static void options_from(const struct firn_db *db, struct firn_server_options *o)
{
    const struct firn_settings *s = db->settings;
    enum firn_budget_part clients = FIRN_BUDGET_CLIENTS;
    o->budget = db->budget;
    o->maxclients = (unsigned)s->maxclients;
    o->query_bytes_max = (size_t)firn_budget_cap(db->budget, clients, 2, s->client_query_bytes_max);
    o->output_bytes_max =
        (size_t)firn_budget_cap(db->budget, clients, 2, s->client_output_bytes_max);
    o->pubsub_bytes_max = (size_t)s->pubsub_output_bytes_max;
    o->pubsub_soft_bytes = (size_t)s->pubsub_output_soft_bytes;
    o->pubsub_soft_ns = s->pubsub_output_soft_time_ns;
    o->pipeline_lookahead = (unsigned)s->pipeline_lookahead;
    o->commit_timeout_ms = (unsigned)(s->commit_timeout_ns / FIRN_MS);
    o->read_timeout_ms = (unsigned)(s->read_timeout_ns / FIRN_MS);
    o->protected_mode_off = !s->protected_mode;
    o->idle_timeout_ns = s->idle_timeout_ns;
}

enum firn_status firn_engine__settings_changed(struct firn_engine *e)
{
    const struct firn_settings *s = e->db->settings;
    options_from(e->db, firn_server_options(e->server));
    firn_server_options_changed(e->server);
    firn_engine__slow_settings(e);
    return firn_server_set_password(e->server, s->requirepass);
}

static void evicted(void *arg, struct firn_conn *c, size_t bytes)
{
    const struct firn_engine *e = arg;
    if (e->db->log)
        firn_log_event(e->db->log, FIRN_LOG_WARN, "client closed",
                       "why=%s client=%" PRIu64 " addr=%s bytes=%zu",
                       "all clients hold more than their share of memory, and it most",
                       firn_conn_id(c), firn_conn_peer(c), bytes);
}

static enum firn_status create_server(struct firn_engine *e, struct firn_err *err)
{
    const struct firn_settings *s = e->db->settings;
    struct firn_server_options o = {.requirepass = s->requirepass, .bound_wide = bound_wide(s)};
    options_from(e->db, &o);
    e->handler = (struct firn_handler){
        .exec = firn_engine__exec,
        .open = firn_engine__session_open,
        .close = firn_engine__session_close,
        .lookahead = firn_engine__lookahead,
        .prefetch = firn_engine__prefetch,
        .reset = firn_engine__session_reset,
        .rejected = firn_engine__rejected,
        .describe = firn_engine__session_describe,
        .executed = firn_engine__executed,
        .evicted = evicted,
        .role = role_name,
        .arg = e,
    };
    size_t n;
    const struct firn_command *table = firn_engine__commands(&n);
    enum firn_status st = firn_server_create(e->db->env, &o, &e->handler, &e->server, err);
    if (st == FIRN_OK)
        st = firn_server_add_commands(e->server, table, n, err);
    table = firn_engine__client_commands(&n);
    for (size_t i = 0; st == FIRN_OK && i < n; i++)
        st = firn_registry_take(firn_server_registry(e->server), "client", &table[i], err);
    return st;
}

enum firn_status firn_engine_create(struct firn_db *db, struct firn_engine **out,
                                    struct firn_err *err)
{
    struct firn_engine *e = firn_calloc(1, sizeof *e);
    if (!e)
        return firn_fail(err, FIRN_LIMIT, "no memory for the engine");
    e->db = db;
    firn_list_init(&e->sessions);
    firn_list_init(&e->feed);
    firn_list_init(&e->waiting);
    firn_list_init(&e->turning);
    firn_list_init(&e->holds);
    firn_list_init(&e->monitors);
    firn_list_init(&e->ahead);
    e->tick = (struct firn_timer){.fn = firn_engine__tick, .arg = e};
    e->turn = (struct firn_timer){.fn = firn_engine__turn, .arg = e};
    e->ahead_defer = (struct firn_defer){.fn = firn_engine__fetch_ahead, .arg = e};
    firn_engine__pubsub_init(e);
    firn_engine__tracking_init(e);
    firn_engine__watches_init(&e->watches, firn_random_u64(db->env));
    firn_engine__cursors_init(&e->cursors, firn_random_u64(db->env));
    firn_engine__expirer_init(e);
    firn_engine__snapshots_init(e);
    e->started_boot_ns = firn_boot_ns(db->env);
    enum firn_status st = create_server(e, err);
    if (st != FIRN_OK) {
        firn_engine_free(e);
        return st;
    }
    firn_engine__cost_reset(e);
    firn_engine__slow_settings(e);
    e->loading = !db->serving;
    firn_server_set_loading(e->server, e->loading);
    *out = e;
    return FIRN_OK;
}

/* The next address of `bind` into addr; false at the end. */
static bool next_address(const char **at, char addr[64], enum firn_status *st, struct firn_err *err)
{
    struct firn_slice word;
    if (!firn_conf_word(at, &word))
        return false;
    if (word.len >= 64) {
        *st = firn_fail(err, FIRN_INVALID, "bind: '%.*s' is no address", (int)word.len,
                        (const char *)word.data);
        return false;
    }
    memcpy(addr, word.data, word.len);
    addr[word.len] = '\0';
    return true;
}

/* Nobody can come by an IPv6 address on a machine without IPv6, so that it is in the default does
 * no harm. */
static bool no_such_family(const char *addr, enum firn_status st)
{
    return st == FIRN_ABSENT && strchr(addr, ':') != NULL;
}

enum firn_status firn_engine_listen(struct firn_engine *e, uint16_t *port, struct firn_err *err)
{
    const struct firn_settings *s = e->db->settings;
    const char *at = s->bind;
    char addr[64];
    uint16_t want = (uint16_t)s->port;
    unsigned had = 0;
    enum firn_status st = FIRN_OK;
    while (next_address(&at, addr, &st, err)) {
        struct firn_err why = {0};
        st = firn_server_listen(e->server, addr, want, &want, &why);
        if (st == FIRN_OK)
            had++;
        else if (!no_such_family(addr, st) || (had == 0 && *at == '\0'))
            return firn_fail(err, st, "%s", why.text);
        st = FIRN_OK;
    }
    if (st != FIRN_OK || had == 0)
        return firn_fail(err, st == FIRN_OK ? FIRN_INVALID : st, "bind: no address to listen on");
    e->port = want; /* port 0: the first address found one, the others take the same */
    *port = want;
    return FIRN_OK;
}

static enum firn_status refuse(void *arg, struct firn_sock *sock, const char *peer, bool loopback,
                               struct firn_sock_user *user)
{
    (void)arg;
    (void)sock;
    (void)peer;
    (void)loopback;
    (void)user;
    return FIRN_INVALID;
}

enum firn_status firn_engine_can_listen(const struct firn_db *db, struct firn_err *err)
{
    const struct firn_net *net = db->env->net;
    const char *at = db->settings->bind;
    char addr[64];
    enum firn_status st = FIRN_OK;
    while (st == FIRN_OK && next_address(&at, addr, &st, err)) {
        struct firn_listener l = {.accept = refuse};
        struct firn_err why = {0};
        uint16_t port;
        st = net->vt->listen(net->ctx, addr, (uint16_t)db->settings->port, &l, &port, &why);
        if (st == FIRN_OK)
            net->vt->unlisten(net->ctx, &l);
        else if (no_such_family(addr, st))
            st = FIRN_OK;
        else
            (void)firn_fail(err, st, "%s", why.text);
    }
    return st;
}

void firn_engine_free(struct firn_engine *e)
{
    if (!e)
        return;
    const struct firn_env *env = e->db->env;
    firn_server_free(e->server); /* closes every session */
    firn_engine__expirer_stop(e);
    firn_engine__snapshots_clear(e);
    firn_timer_stop(env, &e->tick);
    firn_timer_stop(env, &e->turn);
    firn_defer_cancel(env, &e->ahead_defer);
    firn_engine__pubsub_clear(&e->pubsub);
    firn_engine__tracking_clear(&e->tracking);
    firn_engine__cursors_clear(&e->cursors);
    firn_engine__remembered(e);
    firn_engine__slowlog_reset(&e->slowlog);
    firn_engine__group_free(&e->group);
    firn_engine__watches_free(&e->watches);
    firn_buf_clear(&e->value);
    firn_free(e);
}

void firn_engine_advance(struct firn_engine *e)
{
    const struct firn_db *db = e->db;
    if (e->loading == db->serving) {
        e->loading = !db->serving;
        firn_server_set_loading(e->server, e->loading);
    }
    firn_server_release(e->server, db->durable_gate, db->probe_done);
    firn_engine__wake(e);
}

void firn_engine_held_seqnos(const struct firn_engine *e, uint64_t *low, uint64_t *high)
{
    for (const struct firn_list *it = e->holds.next; it != &e->holds; it = it->next) {
        const struct firn_seqno_hold *h = FIRN_CONTAINER(it, struct firn_seqno_hold, link);
        *low = h->seqno < *low ? h->seqno : *low;
        *high = h->seqno > *high ? h->seqno : *high;
    }
}

void firn_engine_fence(struct firn_engine *e)
{
    FIRN_SOMETIMES_IF(e->db->last_gate > e->db->durable_gate,
                      "engine: fenced with writes in flight");
    firn_server_fail_gates(e->server, e->db->durable_gate,
                           "KVUNKNOWN this writer stopped before it knew the write durable; "
                           "it may yet appear, once",
                           "KVSTALE this writer stopped; what it read is not known durable");
    firn_engine__wake_all(e);
}

void firn_engine_drain(struct firn_engine *e, uint64_t deadline_ns, void (*done)(void *arg),
                       void *arg)
{
    firn_server_drain(e->server, deadline_ns, done, arg);
}

enum firn_status firn_engine_reload(struct firn_engine *e)
{
    return firn_engine__settings_changed(e);
}

struct firn_server *firn_engine_server(struct firn_engine *e)
{
    return e->server;
}

void firn_db_name(struct firn_db *db, const char *node_id)
{
    static const char digit[] = "0123456789abcdef";
    uint8_t random[20];
    firn_random(db->env, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        db->run_id[2 * i] = digit[random[i] >> 4];
        db->run_id[2 * i + 1] = digit[random[i] & 15];
    }
    db->run_id[40] = '\0';
    (void)snprintf(db->node_id, sizeof db->node_id, "%s", node_id);
}
