/* The engine over a role that is a puppet: one memtable, slots that become durable when the test
 * says so, probes that end when it says so; and clients on a network in memory. */
#ifndef FIRN_TESTS_ENGINE_FIXTURE_H
#define FIRN_TESTS_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "resp/server.h"
#include "env/net.h"
#include "fakes/fake_env.h"
#include "format/event.h"
#include "lsm/memtable.h"

#define EPOCH 3
#define CLIENTS_MAX 8

struct client {
    struct fixture *f;
    struct firn_sock_user user;
    struct firn_buf got;
    bool open, reading;
    bool stuck; /* it takes nothing off its socket */
};

#define FIXTURE_FLIGHT 4

struct fixture_slot {
    struct firn_batch_header header;
    struct firn_buf raw;
    uint64_t last_seqno;
    bool kept;
};

struct fixture {
    struct firn_fake_world *world;
    struct firn_env env;
    struct firn_net net;
    struct firn_listener *listener;
    struct client client[CLIENTS_MAX];
    size_t nclients;
    struct firn_settings settings;
    struct firn_lsm *lsm;
    struct firn_memtable *mem;
    struct firn_db db;
    struct firn_engine *engine;
    /* the puppet */
    enum firn_admit admit;
    bool auto_commit; /* a batch is durable as soon as the loop turns */
    bool auto_probe;  /* a probe ends as soon as the loop turns */
    bool auto_reload; /* a reload of the manifest is there at once */
    struct firn_defer commit_defer, probe_defer;
    uint64_t open_slot;
    struct firn_buf open; /* the records of the open batch, as the log would have them */
    uint32_t open_count;
    uint64_t open_seqno;
    unsigned feed_wanted;
    uint64_t expired_to_ms;                     /* as it was inside the last apply */
    struct fixture_slot flight[FIXTURE_FLIGHT]; /* closed slots that are not durable */
    size_t nflight;
    uint64_t tickets, probe_start_ns;
    unsigned probes, hints, reloads, applies;
    struct firn_record last[8]; /* kinds and events of the last group; slices are not kept */
    size_t nlast;
    char set_name[64], set_value[64];
    void (*set_done)(void *arg, enum firn_status s, const struct firn_err *err);
    void *set_arg;
    struct firn_defer set_defer;
    bool set_held; /* the manifest cannot be written: set_done is left to the test */
};

/* ---- the role */

static inline struct fixture *fixture_of(struct firn_db *db)
{
    return db->role;
}

static inline void fixture_probe_end(struct fixture *f)
{
    f->db.probe_done = f->tickets;
    f->db.fresh_ns = f->probe_start_ns;
    firn_engine_advance(f->engine);
}

/* A slot's records reach the engine, as from a role that tails. */
static inline void fixture_feed(struct fixture *f, const struct firn_record *rec, size_t n)
{
    struct firn_buf raw = {.max = 1u << 30};
    struct firn_batch_header h = {
        .format = 1, .place = f->db.durable_place, .first_seqno = 1, .count = (uint32_t)n};
    for (size_t i = 0; i < n; i++)
        assert_int_equal(firn_record_append(&raw, &rec[i]), FIRN_OK);
    firn_engine_feed(f->engine, &h, firn_buf_slice(&raw));
    firn_engine_advance(f->engine);
    firn_buf_clear(&raw);
}

/* The open batch is durable: what a commit of it means for the role's state. */
/* The open slot is closed and on its way. As in log/append.c, whether its records are kept is
 * settled now. */
static inline void fixture_close(struct fixture *f)
{
    assert_true(f->db.open_gate && f->nflight < FIXTURE_FLIGHT);
    f->flight[f->nflight++] = (struct fixture_slot){
        .header = {.place = {EPOCH, f->open_slot},
                   .first_seqno = f->open_seqno,
                   .count = f->open_count},
        .raw = f->open,
        .last_seqno = f->db.applied_seqno,
        .kept = firn_engine_listens(f->engine),
    };
    firn_buf_init(&f->open, 1u << 30);
    f->open_count = 0;
    f->db.open_gate = 0;
    f->open_slot++;
}

/* The oldest slot on its way becomes durable. */
static inline void fixture_land(struct fixture *f)
{
    assert_true(f->nflight > 0);
    struct fixture_slot s = f->flight[0];
    f->nflight--;
    memmove(f->flight, f->flight + 1, f->nflight * sizeof *f->flight);
    if (s.kept)
        firn_engine_feed(f->engine, &s.header, firn_buf_slice(&s.raw));
    s.raw.len = 0;
    if (f->open.cap == 0)
        f->open = s.raw; /* to be used again */
    else
        firn_buf_clear(&s.raw);
    f->db.durable_gate = s.header.place.slot + 1;
    f->db.durable_place.slot = s.header.place.slot + 1;
    f->db.durable_seqno = s.last_seqno;
    f->db.fresh_ns = firn_boot_ns(&f->env);
    firn_engine_advance(f->engine);
}

static inline void fixture_commit(struct fixture *f)
{
    if (f->db.open_gate)
        fixture_close(f);
    if (!f->nflight)
        firn_engine_advance(f->engine);
    while (f->nflight)
        fixture_land(f);
}

static void fixture_commit_deferred(void *arg)
{
    fixture_commit(arg);
}

static void fixture_probe_deferred(void *arg)
{
    fixture_probe_end(arg);
}

static uint64_t fixture_probe(struct firn_db *db)
{
    struct fixture *f = fixture_of(db);
    f->probes++;
    f->probe_start_ns = firn_boot_ns(&f->env);
    if (f->auto_probe)
        firn_defer(&f->env, &f->probe_defer);
    return ++f->tickets;
}

static void fixture_probe_hint(struct firn_db *db)
{
    fixture_of(db)->hints++;
}

static uint64_t fixture_reload(struct firn_db *db)
{
    struct fixture *f = fixture_of(db);
    f->reloads++;
    if (f->auto_reload)
        db->reload_done = f->reloads;
    return f->reloads;
}

static void fixture_want(struct firn_db *db, struct firn_place place)
{
    (void)db;
    (void)place;
}

static enum firn_admit fixture_admit(struct firn_db *db, size_t bytes)
{
    (void)bytes;
    return fixture_of(db)->admit;
}

static enum firn_status fixture_apply(struct firn_db *db, const struct firn_record *rec, size_t n,
                                      uint64_t *slot, uint64_t *seqno)
{
    struct fixture *f = fixture_of(db);
    f->applies++;
    f->expired_to_ms = firn_engine_expired_to(f->engine);
    f->nlast = 0;
    if (f->open_count == 0)
        f->open_seqno = f->db.applied_seqno + 1;
    f->open_count += (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        struct firn_entry e = {.key = rec[i].key,
                               .value = rec[i].value,
                               .seqno = ++f->db.applied_seqno,
                               .expiry_ms = rec[i].expiry_ms,
                               .kind = rec[i].kind};
        enum firn_status st = FIRN_OK;
        if (rec[i].kind == FIRN_RECORD_RANGEDEL)
            st = firn_memtable_add_range(f->mem, rec[i].key, rec[i].end_key, e.seqno);
        else if (rec[i].kind != FIRN_RECORD_PUBLISH)
            st = firn_memtable_add(f->mem, &e);
        assert_int_equal(st, FIRN_OK);
        assert_int_equal(firn_record_append(&f->open, &rec[i]), FIRN_OK);
        if (f->nlast < 8)
            f->last[f->nlast++] = rec[i];
    }
    *slot = f->open_slot;
    *seqno = f->db.applied_seqno;
    f->db.open_gate = f->db.last_gate = f->open_slot + 1;
    if (f->auto_commit)
        firn_defer(&f->env, &f->commit_defer);
    return FIRN_OK;
}

static enum firn_status
fixture_set_manifest(struct firn_db *db, const char *name, const char *value,
                     void (*done)(void *arg, enum firn_status s, const struct firn_err *err),
                     void *arg, struct firn_err *err)
{
    (void)err;
    struct fixture *f = fixture_of(db);
    snprintf(f->set_name, sizeof f->set_name, "%s", name);
    snprintf(f->set_value, sizeof f->set_value, "%s", value);
    f->set_done = done;
    f->set_arg = arg;
    if (!f->set_held)
        firn_defer(&f->env, &f->set_defer);
    return FIRN_OK;
}

static void fixture_set_deferred(void *arg)
{
    struct fixture *f = arg;
    f->set_done(f->set_arg, FIRN_OK, NULL);
}

static void fixture_feed_wanted(struct firn_db *db)
{
    fixture_of(db)->feed_wanted++;
}

static uint64_t fixture_now_ms(struct firn_db *db)
{
    return firn_wall_ms(db->env);
}

static const struct firn_db_vt fixture_vt = {
    .probe = fixture_probe,
    .probe_hint = fixture_probe_hint,
    .reload_view = fixture_reload,
    .want_place = fixture_want,
    .admit = fixture_admit,
    .apply = fixture_apply,
    .set_manifest = fixture_set_manifest,
    .feed_wanted = fixture_feed_wanted,
};

/* ---- the network */

static enum firn_status net_listen(void *ctx, const char *addr, uint16_t port,
                                   struct firn_listener *l, uint16_t *port_out,
                                   struct firn_err *err)
{
    struct fixture *f = ctx;
    (void)addr;
    (void)err;
    f->listener = l;
    *port_out = port ? port : 7777;
    return FIRN_OK;
}

static void net_unlisten(void *ctx, struct firn_listener *l)
{
    (void)ctx;
    (void)l;
}

static void net_read_set(void *ctx, struct firn_sock *sock, bool on)
{
    (void)ctx;
    ((struct client *)(void *)sock)->reading = on;
}

static size_t net_write(void *ctx, struct firn_sock *sock, const void *data, size_t len)
{
    (void)ctx;
    struct client *c = (void *)sock;
    if (c->stuck)
        return 0;
    assert_int_equal(firn_buf_append(&c->got, data, len), FIRN_OK);
    return len;
}

static void net_close(void *ctx, struct firn_sock *sock)
{
    (void)ctx;
    ((struct client *)(void *)sock)->open = false;
}

static const struct firn_net_vt fixture_net_vt = {
    .listen = net_listen,
    .unlisten = net_unlisten,
    .read_set = net_read_set,
    .write = net_write,
    .close = net_close,
};

/* ---- setting up */

/* Serve a view over mem (its newest memtable) of this lsm; all three stay the caller's. */
static inline void fixture_serve(struct fixture *f, const struct firn_env *env,
                                 struct firn_lsm *lsm, struct firn_memtable *mem,
                                 struct firn_view *view, bool writable)
{
    struct firn_err err = {""};
    f->env = *env;
    f->net = (struct firn_net){&fixture_net_vt, f};
    f->env.net = &f->net;
    f->lsm = lsm;
    f->mem = mem;
    assert_int_equal(firn_settings_init(&f->settings), FIRN_OK);
    f->db = (struct firn_db){
        .vt = &fixture_vt,
        .role = f,
        .env = &f->env,
        .lsm = lsm,
        .view = view,
        .settings = &f->settings,
        .writable = writable,
        .serving = true,
        .now_ms = fixture_now_ms,
        .durable_place = {EPOCH, 0},
        .durable_seqno = (uint64_t)EPOCH << 40,
        .applied_seqno = (uint64_t)EPOCH << 40,
        .fresh_ns = firn_boot_ns(&f->env),
    };
    f->auto_commit = f->auto_probe = true;
    firn_buf_init(&f->open, 1u << 30);
    f->commit_defer = (struct firn_defer){.fn = fixture_commit_deferred, .arg = f};
    f->probe_defer = (struct firn_defer){.fn = fixture_probe_deferred, .arg = f};
    f->set_defer = (struct firn_defer){.fn = fixture_set_deferred, .arg = f};
    uint16_t port;
    if (firn_engine_create(&f->db, &f->engine, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(firn_engine_listen(f->engine, &port, &err), FIRN_OK);
}

static inline void fixture_unserve(struct fixture *f)
{
    firn_engine_free(f->engine);
    while (f->nflight)
        firn_buf_clear(&f->flight[--f->nflight].raw);
    firn_buf_clear(&f->open);
    firn_settings_deinit(&f->settings);
    for (size_t i = 0; i < f->nclients; i++)
        firn_buf_clear(&f->client[i].got);
}

/* A world of its own with one empty memtable. */
static inline void fixture_start(struct fixture *f, bool writable)
{
    struct firn_err err = {""};
    struct firn_lsm *lsm;
    struct firn_memtable *mem;
    struct firn_view *view;
    memset(f, 0, sizeof *f);
    f->world = firn_fake_world_new(&(struct firn_fake_options){.seed = 1});
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(f->world, NULL));
    firn_fake_run_for(f->world, 10 * FIRN_SEC);
    assert_int_equal(
        firn_lsm_create(env, NULL, &(struct firn_lsm_options){.cache_bytes = 1 << 20}, &lsm),
        FIRN_OK);
    assert_int_equal(firn_memtable_create(&mem), FIRN_OK);
    assert_int_equal(firn_view_create(lsm, NULL, &mem, 1, &view, &err), FIRN_OK);
    fixture_serve(f, env, lsm, mem, view, writable);
}

static inline void fixture_stop(struct fixture *f)
{
    fixture_unserve(f);
    firn_view_unref(f->db.view);
    firn_memtable_unref(f->mem);
    firn_lsm_free(f->lsm);
    firn_fake_world_free(f->world);
}

/* ---- clients */

static inline struct client *fixture_connect(struct fixture *f)
{
    assert_true(f->nclients < CLIENTS_MAX);
    struct client *c = &f->client[f->nclients++];
    c->f = f;
    c->open = c->reading = true;
    firn_buf_init(&c->got, 64u << 20);
    assert_int_equal(f->listener->accept(f->listener->arg, (struct firn_sock *)(void *)c,
                                         "127.0.0.1:5000", true, &c->user),
                     FIRN_OK);
    return c;
}

static inline void client_hang_up(struct client *c)
{
    c->user.closed(c->user.arg);
    firn_fake_run_for(c->f->world, 1000);
}

/* Send "GET a" as a multibulk request: words are divided by single spaces, "''" is an empty one. */
static inline void client_send(struct client *c, const char *line)
{
    char out[4096], *words = strdup(line), *save = NULL;
    size_t argc = 1, len;
    for (const char *p = line; *p; p++)
        argc += *p == ' ';
    len = (size_t)snprintf(out, sizeof out, "*%zu\r\n", argc);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        const char *text = strcmp(w, "''") == 0 ? "" : w;
        len += (size_t)snprintf(out + len, sizeof out - len, "$%zu\r\n%s\r\n", strlen(text), text);
    }
    free(words);
    assert_true(len < sizeof out);
    c->user.data(c->user.arg, (const uint8_t *)out, len);
}

/* Let the loop turn (1 µs passes), then compare all that came since the last look. */
static inline void client_expect_(struct client *c, const char *want, const char *file, int line)
{
    firn_fake_run_for(c->f->world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    if (strcmp((const char *)c->got.data, want) != 0) {
        print_error("%s:%d: got \"%s\", not \"%s\"\n", file, line, (const char *)c->got.data, want);
        fail();
    }
    c->got.len = 0;
}

/* The same for the beginning of what came. */
static inline void client_expect_start_(struct client *c, const char *want, const char *file,
                                        int line)
{
    firn_fake_run_for(c->f->world, 1000);
    assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
    if (strncmp((const char *)c->got.data, want, strlen(want)) != 0) {
        print_error("%s:%d: got \"%s\", not \"%s…\"\n", file, line, (const char *)c->got.data,
                    want);
        fail();
    }
    c->got.len = 0;
}

#define EXPECT(c, want) client_expect_(c, want, __FILE__, __LINE__)
#define EXPECT_START(c, want) client_expect_start_(c, want, __FILE__, __LINE__)
#define NOTHING(c) client_expect_(c, "", __FILE__, __LINE__)
#define CALL(c, line_, want)                                                                       \
    do {                                                                                           \
        client_send(c, line_);                                                                     \
        client_expect_(c, want, __FILE__, __LINE__);                                               \
    } while (0)

#endif
