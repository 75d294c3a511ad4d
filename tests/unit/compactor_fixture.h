/* A compactor over a fake store, and beside it a small writer that flushes random memtables and
 * knows what must be read. */
#ifndef FIRN_TESTS_UNIT_COMPACTOR_FIXTURE_H
#define FIRN_TESTS_UNIT_COMPACTOR_FIXTURE_H

#include "base/hash.h"
#include "base/mem.h"
#include "compactor/compactor_core.h"
#include "conf/conf.h"
#include "fakes/fake_env.h"
#include "format/pin.h"
#include "format/seal.h"
#include "format/version.h"
#include "lsm/flush_build.h"
#include "lsm/view.h"
#include "manifest/check.h"
#include "manifest/intents.h"
#include "unit/manifest_by_hand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#define KEYS 400
#define LIMIT_NS (40000 * FIRN_SEC)

struct value {
    uint64_t seqno; /* 0: not there */
    uint64_t expiry_ms;
};

struct writer {
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_node *node;
    struct firn_lsm *lsm;
    struct firn_id nonce;
    uint64_t epoch, seqno, slot, number, log_time_ms;
    uint16_t format; /* of its tables; 0: the oldest */
    struct value model[KEYS];
    bool done, stopped;
};

struct comp {
    struct firn_fake_node *fake;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    struct firn_compactor *core;
    bool working, ended;
    enum firn_compactor_end how;
    struct firn_err err;
};

static struct firn_fake_world *world;
static struct writer wr;

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

static void wait_for(bool *flag)
{
    assert_true(firn_fake_run_until(world, is_set, flag, LIMIT_NS));
    *flag = false;
}

/* ---- the writer */

static void intent_done(struct firn_intent *it)
{
    *(bool *)it->arg = true;
}

static void create_done(struct firn_manifest_create *c)
{
    *(bool *)c->arg = true;
}

static void writer_claim(void)
{
    struct firn_claim_intent it = {.base = {.done = intent_done, .arg = &wr.done}};
    firn_random(wr.env, wr.nonce.byte, sizeof wr.nonce.byte);
    it.claim = (struct firn_claim){
        .role = FIRN_ROLE_WRITER, .process_nonce = wr.nonce, .node_id = "writer", .address = ""};
    firn_manifest_claim(wr.node, &it);
    wait_for(&wr.done);
    assert_int_equal(it.base.status, FIRN_OK);
    wr.epoch = it.epoch;
    wr.seqno = firn_epoch_seqno(wr.epoch);
    wr.slot = 0;
    firn_manifest_hold(wr.node, FIRN_ROLE_WRITER, wr.epoch, &wr.nonce);
}

static void writer_open(uint64_t wal_grace_ms, uint64_t value_max)
{
    static const struct firn_lsm_options lo = {.cache_bytes = 16 << 20, .fetch_bytes_max = 8 << 20};
    struct firn_manifest_options mo = {.interval_ns = FIRN_MS};
    Firn__Settings settings;
    Firn__Dialect dialect;
    memset(&wr, 0, sizeof wr);
    wr.env = firn_fake_env(firn_fake_node_add(world, NULL));
    assert_int_equal(firn_store_create(wr.env, NULL, &wr.store), FIRN_OK);
    assert_int_equal(firn_manifest_node_create(wr.env, wr.store, &mo, &wr.node), FIRN_OK);
    assert_int_equal(firn_lsm_create(wr.env, wr.store, &lo, &wr.lsm), FIRN_OK);
    firn_manifest_settings_default(&settings);
    settings.wal_grace_ms = wal_grace_ms;
    if (value_max)
        settings.value_max = value_max;
    firn__dialect__init(&dialect);
    struct firn_manifest_create c = {
        .settings = &settings, .dialect = &dialect, .done = create_done, .arg = &wr.done};
    firn_manifest_create(wr.node, &c);
    wait_for(&wr.done);
    assert_int_equal(c.status, FIRN_OK);
    wr.number = 1;
    wr.log_time_ms = 1000;
    writer_claim();
}

static void writer_stopped(void *arg)
{
    *(bool *)arg = true;
}

static bool lsm_idle(void *arg)
{
    return firn_lsm_idle(arg);
}

static void writer_close(void)
{
    firn_manifest_node_stop(wr.node, writer_stopped, &wr.stopped);
    wait_for(&wr.stopped);
    assert_true(lsm_idle(wr.lsm) || firn_fake_run_until(world, lsm_idle, wr.lsm, LIMIT_NS));
    firn_lsm_free(wr.lsm);
    firn_manifest_node_free(wr.node);
    firn_store_free(wr.store);
}

static struct firn_slice key_of(char buf[32], size_t i)
{
    int n = snprintf(buf, 32, "\x10key:%05zu", i);
    return firn_slice_of(buf, (size_t)n);
}

static uint64_t draw(uint64_t n)
{
    return firn_fake_random(world) % n;
}

static void write_some(struct firn_memtable *m, size_t ops)
{
    char a[32], b[32], text[64];
    for (size_t k = 0; k < ops; k++) {
        size_t i = draw(KEYS), end = i + 1 + draw(40);
        uint64_t what = draw(100);
        wr.seqno++;
        if (what < 2) {
            struct firn_slice stop = end < KEYS ? key_of(b, end) : firn_slice_of(NULL, 0);
            assert_int_equal(firn_memtable_add_range(m, key_of(a, i), stop, wr.seqno), FIRN_OK);
            for (; i < KEYS && i < end; i++)
                wr.model[i] = (struct value){0, 0};
            continue;
        }
        int n = snprintf(text, sizeof text, "value %llu of a key", (unsigned long long)wr.seqno);
        struct firn_entry e = {key_of(a, i), firn_slice_of(text, (size_t)n), wr.seqno, 0,
                               FIRN_RECORD_PUT};
        wr.model[i] = (struct value){wr.seqno, 0};
        if (what < 25) {
            e.kind = FIRN_RECORD_DEL;
            e.value.len = 0;
            wr.model[i].seqno = 0;
        } else if (what < 40) {
            e.expiry_ms = wr.model[i].expiry_ms = wr.log_time_ms + draw(4000);
        }
        assert_int_equal(firn_memtable_add(m, &e), FIRN_OK);
    }
}

static void upload_done(struct firn_store_upload *u)
{
    *(bool *)u->arg = true;
}

static void upload_table(const struct firn_table_object *o, uint32_t db)
{
    char name[FIRN_NAME_MAX];
    struct firn_store_upload u = {.key = name, .done = upload_done, .arg = &wr.done};
    firn_name_table(name, db, &o->name);
    u.body = firn_buf_slice(&o->bytes);
    firn_store_upload(wr.store, &u);
    wait_for(&wr.done);
    assert_int_equal(u.status, FIRN_OK);
}

/* Three slots of log, and their contents as tables: a range delete of the first `clear` keys first,
 * then some operations. */
static void flush_after(size_t clear, size_t ops)
{
    struct firn_memtable *m;
    uint64_t base = wr.seqno;
    uint32_t db = firn_id_short(&firn_manifest_newest(wr.node)->db);
    assert_int_equal(firn_memtable_create(&m), FIRN_OK);
    if (clear) {
        char buf[32];
        struct firn_slice end = clear < KEYS ? key_of(buf, clear) : firn_slice_str("\x20");
        assert_int_equal(firn_memtable_add_range(m, firn_slice_str("\x10"), end, ++wr.seqno),
                         FIRN_OK);
        memset(wr.model, 0, clear * sizeof wr.model[0]);
    }
    write_some(m, ops);
    wr.log_time_ms += 500;
    assert_int_equal(firn_memtable_freeze(m), FIRN_OK);
    struct firn_flush_build b = {.memtable = m, .table_bytes = 6000, .max_seqno = UINT64_MAX};
    b.table = (struct firn_table_options){
        .db = firn_manifest_newest(wr.node)->db,
        .name = {FIRN_ROLE_WRITER, wr.epoch, wr.number},
        .format = wr.format,
        .base_seqno = base,
        .max_seqno = wr.seqno,
        .block_bytes = 1000,
        .filter_bits = 16,
        .codec = FIRN_CODEC_LZ4,
        .hash_index = true,
    };
    firn_flush_build_run(&b);
    assert_int_equal(b.status, FIRN_OK);
    wr.number += b.count;
    Firn__Table *ref[64];
    assert_true(b.count <= 64);
    for (size_t i = 0; i < b.count; i++) {
        upload_table(&b.object[i], db);
        ref[i] = b.object[i].ref;
    }
    for (int i = 0; i < 3; i++) {
        char name[FIRN_NAME_MAX];
        firn_name_slot(name, db, (struct firn_place){wr.epoch, wr.slot++});
        firn_fake_put(world, name, "a batch", 7);
    }
    struct firn_flush_intent it = {.base = {.done = intent_done, .arg = &wr.done}};
    it.flush = (struct firn_flush){.end = {wr.epoch, wr.slot},
                                   .seqno = wr.seqno,
                                   .log_time_ms = wr.log_time_ms,
                                   .watermark = wr.number,
                                   .tables = ref,
                                   .ntables = b.count};
    firn_manifest_flush(wr.node, &it);
    wait_for(&wr.done);
    assert_int_equal(it.base.status, FIRN_OK);
    firn_flush_build_clear(&b);
    firn_memtable_unref(m);
}

static void flush(size_t ops)
{
    flush_after(0, ops);
}

static void read_done(struct firn_manifest_read *r)
{
    struct firn_manifest **out = r->arg;
    assert_int_equal(r->status, FIRN_OK);
    *out = r->manifest;
    firn_manifest_ref(r->manifest);
    wr.done = true;
}

static struct firn_manifest *read_manifest(void)
{
    struct firn_manifest *m = NULL;
    struct firn_manifest_read r = {.done = read_done, .arg = &m};
    struct firn_err err = {{0}};
    firn_manifest_read(wr.node, &r);
    wait_for(&wr.done);
    assert_int_equal(firn_manifest_check(m->pb, &err), FIRN_OK);
    return m;
}

static void fetched(struct firn_read *r)
{
    (void)r;
    wr.done = true;
}

static enum firn_status next_entry(struct firn_iter *it, struct firn_read *r, struct firn_entry *e)
{
    for (;;) {
        enum firn_status s = firn_iter_next(it, e);
        if (s != FIRN_AGAIN)
            return s;
        firn_read_fetch(r, firn_boot_ns(wr.env) + LIMIT_NS, fetched, NULL);
        wait_for(&wr.done);
        assert_int_equal(firn_read_status(r), FIRN_OK);
    }
}

/* A scan through the view of the manifest shows exactly the model; what expired before log_time may
 * be there or not, and is hidden here. */
static void check_contents(void)
{
    struct firn_manifest *m = read_manifest();
    struct firn_view *v;
    struct firn_iter *it;
    struct firn_read r;
    struct firn_err err = {{0}};
    struct firn_entry e;
    struct firn_iter_options o = {.max_seqno = UINT64_MAX, .now_ms = wr.log_time_ms};
    assert_int_equal(firn_view_create(wr.lsm, m, NULL, 0, &v, &err), FIRN_OK);
    firn_read_init(&r, wr.lsm);
    assert_int_equal(firn_iter_create(v, &r, &o, &it), FIRN_OK);
    for (size_t i = 0; i < KEYS; i++) {
        char buf[32];
        if (!wr.model[i].seqno ||
            (wr.model[i].expiry_ms && wr.model[i].expiry_ms <= wr.log_time_ms))
            continue;
        assert_int_equal(next_entry(it, &r, &e), FIRN_OK);
        assert_true(firn_slice_eq(e.key, key_of(buf, i)));
        assert_int_equal(e.seqno, wr.model[i].seqno);
    }
    assert_int_equal(next_entry(it, &r, &e), FIRN_ABSENT);
    firn_iter_free(it);
    firn_read_clear(&r);
    firn_view_unref(v);
    firn_manifest_unref(m);
}

/* ---- the compactor */

static void on_working(void *arg)
{
    ((struct comp *)arg)->working = true;
}

static void on_ended(void *arg, enum firn_compactor_end how, const struct firn_err *err)
{
    struct comp *c = arg;
    c->ended = true;
    c->how = how;
    c->err = *err;
}

static void comp_open_with(struct comp *c, bool once, uint64_t memory)
{
    struct firn_compactor_user u = {on_working, on_ended, c};
    memset(c, 0, sizeof *c);
    c->fake = firn_fake_node_add(world, NULL);
    assert_int_equal(firn_store_create(firn_fake_env(c->fake), NULL, &c->store), FIRN_OK);
    assert_int_equal(firn_settings_init(&c->settings), FIRN_OK);
    firn_obs_init(&c->obs);
    c->settings.once = once;
    c->settings.memory_bytes = memory;
    c->settings.table_bytes = 1500;
    c->settings.partition_bytes = 5000;
    c->settings.slice_bytes_min = 1;
    c->settings.table_grace_ns = 60 * FIRN_SEC;
    c->settings.pin_ttl_ns = 40 * FIRN_SEC;
    assert_int_equal(firn_compactor_create(firn_fake_env(c->fake), c->store, &c->settings, &c->obs,
                                           &u, &c->core),
                     FIRN_OK);
    firn_compactor_start(c->core);
}

static void comp_open(struct comp *c, bool once)
{
    comp_open_with(c, once, 0);
}

static void comp_close(struct comp *c)
{
    if (!c->ended) {
        firn_compactor_stop(c->core);
        assert_true(firn_fake_run_until(world, is_set, &c->ended, LIMIT_NS));
    }
    firn_compactor_free(c->core);
    firn_store_free(c->store);
    firn_settings_deinit(&c->settings);
}

static void world_open_with(uint64_t seed, const struct firn_fake_faults *faults,
                            uint64_t value_max)
{
    struct firn_fake_options o = {.seed = seed};
    if (faults)
        o.faults = *faults;
    world = firn_fake_world_new(&o);
    writer_open(20000, value_max);
}

static void world_open(uint64_t seed, const struct firn_fake_faults *faults)
{
    world_open_with(seed, faults, 0);
}

static size_t live_tables(const Firn__Manifest *m)
{
    size_t n = m->n_l0;
    for (size_t i = 0; i < m->n_partitions; i++)
        for (size_t r = 0; r < m->partitions[i]->n_runs; r++)
            n += m->partitions[i]->runs[r]->n_tables;
    return n;
}

static void put_slot(uint64_t epoch, uint64_t slot, size_t len)
{
    static const uint8_t bytes[FIRN_SEAL_BYTES + 1];
    char name[FIRN_NAME_MAX];
    firn_name_slot(name, firn_id_short(&firn_manifest_newest(wr.node)->db),
                   (struct firn_place){epoch, slot});
    firn_fake_put(world, name, bytes, len);
}

#endif
