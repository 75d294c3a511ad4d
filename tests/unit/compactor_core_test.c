/* The compactor over a fake store, beside a small writer that flushes random memtables: what is
 * read stays what was written, L0 is worked off, partitions split, everything that is of no use is
 * deleted and nothing else, whatever the store does. */
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

/* Of these programs, in place of the library's (format/version.h). */
const uint16_t firn_format_newest = FIRN_FORMAT_OLDEST + 1;

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

/* --once: L0 is worked off, the graces are waited for, all garbage goes, and nothing else. */
static void test_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct comp c;
        world_open(seed, NULL);
        put_slot(0, 7, FIRN_SEAL_BYTES); /* of an older epoch: stays for ever (I3) */
        firn_fake_put(world, "probe/left-behind", "x", 1);
        firn_fake_put(world, "somebody-else/s.txt", "x", 1);
        for (size_t i = 0; i < 12; i++)
            flush(50 + draw(200));
        check_contents();
        comp_open(&c, true);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        check_contents();
        struct firn_manifest *m = read_manifest();
        assert_int_equal(m->pb->n_l0, 0);
        assert_int_equal(m->pb->n_garbage, 0);
        assert_true(m->pb->n_partitions > 1);
        assert_int_equal(firn_place_cmp(m->kept, m->floor), 0);
        assert_int_equal(firn_fake_count(world, "sst/"), live_tables(m->pb));
        assert_int_equal(firn_fake_count(world, "wal/"), 1);
        assert_int_equal(firn_fake_count(world, "probe/"), 0);
        assert_int_equal(firn_fake_count(world, "somebody-else/"), 1);
        /* copies of the last commits: waiting for them, too, would never end */
        assert_in_range(firn_fake_count(world, "manifest-log/"), 1, 6);
        assert_int_equal(m->pb->compactor->process_nonce.len, 0); /* released */
        firn_manifest_unref(m);
        comp_close(&c);
        writer_close();
        firn_fake_world_free(world);
    }
}

static const struct firn_fake_faults bad_day = {
    .lost_before = 10000,
    .lost_after = 10000,
    .late = 10000,
    .twice = 10000,
    .err_500 = 10000,
    .err_503 = 10000,
    .err_409 = 10000,
    .refused = 10000,
    .short_read = 10000,
    .bit_flip = 2000,
    .slow = 20000,
};

/* Beside a busy writer, on a bad day: the contents never change, and in the end nothing is left
 * over. */
static void test_service(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct comp c;
        world_open(seed, NULL);
        comp_open(&c, false);
        assert_true(firn_fake_run_until(world, is_set, &c.working, LIMIT_NS));
        firn_fake_options(world)->faults = bad_day;
        for (size_t i = 0; i < 30; i++) {
            flush(20 + draw(150));
            firn_fake_run_for(world, draw(20) * FIRN_SEC);
            if (i % 5 == 4) {
                firn_fake_options(world)->faults.bit_flip = 0; /* the scan here does not retry */
                check_contents();
                firn_fake_options(world)->faults = bad_day;
            }
        }
        firn_fake_options(world)->faults = (struct firn_fake_faults){0};
        firn_fake_run_for(world, 600 * FIRN_SEC);
        assert_false(c.ended);
        assert_true(firn_compactor_stats_of(c.core)->jobs > 0);
        check_contents();
        struct firn_manifest *m = read_manifest();
        assert_true(m->pb->n_l0 < 4);
        assert_int_equal(m->pb->n_garbage, 0);
        assert_int_equal(firn_fake_count(world, "wal/"), 0);
        firn_manifest_unref(m);
        comp_close(&c);
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        writer_close();
        firn_fake_world_free(world);
    }
}

/* A second compactor takes over: the first one ends fenced, in whatever it is doing. */
static void test_fenced(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct comp a, b;
        world_open(seed, NULL);
        for (size_t i = 0; i < 8; i++)
            flush(150);
        comp_open(&a, false);
        assert_true(firn_fake_run_until(world, is_set, &a.working, LIMIT_NS));
        firn_fake_run_for(world, draw(100) * FIRN_MS);
        comp_open(&b, false);
        assert_true(firn_fake_run_until(world, is_set, &a.ended, LIMIT_NS));
        assert_int_equal(a.how, FIRN_COMPACTOR_FENCED);
        firn_fake_run_for(world, 600 * FIRN_SEC);
        assert_false(b.ended);
        check_contents();
        struct firn_manifest *m = read_manifest();
        assert_int_equal(m->pb->n_l0, 0);
        assert_int_equal(firn_fake_count(world, "sst/"), live_tables(m->pb)); /* a's orphans, too */
        firn_manifest_unref(m);
        comp_close(&a);
        comp_close(&b);
        writer_close();
        firn_fake_world_free(world);
    }
}

/* A pin that is renewed keeps what was dropped behind its version; a dead one does not. */
static void test_pin(void **state)
{
    (void)state;
    struct comp c;
    uint8_t bytes[FIRN_PIN_BYTES];
    world_open(5, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    struct firn_manifest *m = read_manifest();
    struct firn_pin pin = {.db = m->db, .version = m->version, .format = 1};
    size_t tables = live_tables(m->pb);
    comp_open(&c, false);
    for (unsigned i = 0; i < 40; i++) {
        pin.nonce.byte[0] = (uint8_t)i;
        firn_pin_encode(&pin, bytes);
        firn_fake_put(world, "pins/scan", bytes, sizeof bytes);
        firn_fake_run_for(world, 10 * FIRN_SEC);
        for (size_t k = 0; k < m->pb->n_l0; k++) {
            char name[FIRN_NAME_MAX];
            struct firn_slice body;
            struct firn_table_name t = firn_table_name_of(m->pb->l0[k]);
            firn_name_table(name, firn_id_short(&m->db), &t);
            assert_true(firn_fake_get(world, name, &body));
        }
    }
    firn_manifest_unref(m);
    assert_true(firn_fake_count(world, "sst/") > tables);
    firn_fake_run_for(world, 600 * FIRN_SEC);
    assert_int_equal(firn_fake_count(world, "pins/"), 0);
    m = read_manifest();
    assert_int_equal(firn_fake_count(world, "sst/"), live_tables(m->pb));
    firn_manifest_unref(m);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* A feature that it lacks for committing appears in the manifest: it deletes nothing more and ends.
 */
static void test_feature(void **state)
{
    (void)state;
    struct comp c;
    struct firn_slice body;
    struct firn_buf out;
    Firn__Manifest *m = NULL;
    world_open(6, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    comp_open(&c, false);
    firn_fake_run_for(world, 30 * FIRN_SEC); /* merged; what it replaced waits for its grace */
    assert_true(firn_fake_get(world, "manifest", &body));
    assert_int_equal(firn_manifest_decode(body, &m, NULL), FIRN_OK);
    assert_true(m->n_garbage > 0);
    Firn__Feature *f = firn_pb_feature_new();
    assert_int_equal(firn_pb_set_string(&f->name, "shared-tables"), FIRN_OK);
    assert_int_equal(firn_pb_insert(&m->features_to_commit, &m->n_features_to_commit, 0, f),
                     FIRN_OK);
    m->version++;
    m->nonce.data[0] ^= 1;
    firn_buf_init(&out, 1 << 20);
    assert_int_equal(firn_manifest_encode(m, true, &out), FIRN_OK);
    firn_fake_put(world, "manifest", out.data, out.len);
    size_t tables = firn_fake_count(world, "sst/");
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_FAILED);
    firn_fake_run_for(world, 3600 * FIRN_SEC);
    assert_int_equal(firn_fake_count(world, "sst/"), tables);
    firn_buf_clear(&out);
    firn_pb_manifest_free(m);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* Its look at the manifest is not taken by the store, for a while: it goes on afterwards. */
static void reject_gets(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                        struct firn_fake_plan *plan)
{
    const struct comp *c = arg;
    if (n == c->fake && c->working && req->op == FIRN_OS_GET)
        plan->fate = FIRN_FAKE_REJECTED;
}

static void test_rejected(void **state)
{
    (void)state;
    struct comp c;
    world_open(6, NULL);
    comp_open(&c, false);
    firn_fake_on_request(world, reject_gets, &c);
    firn_fake_run_for(world, 120 * FIRN_SEC);
    assert_true(c.working && !c.ended);
    firn_fake_on_request(world, NULL, NULL);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* Stopped at any moment: it ends, released, and the next one goes on. */
static void test_stop(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct comp c;
        world_open(seed, NULL);
        for (size_t i = 0; i < 8; i++)
            flush(100);
        comp_open(&c, false);
        firn_fake_run_for(world, draw(400) * FIRN_MS);
        comp_close(&c);
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        check_contents();
        comp_open(&c, true);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        check_contents();
        comp_close(&c);
        writer_close();
        firn_fake_world_free(world);
    }
}

static void make_old(Firn__Manifest *m, const void *arg)
{
    (void)arg;
    m->format = FIRN_FORMAT_OLDEST;
}

/* A compactor that claimed before the database was upgraded merges what a newer writer flushed:
 * what it writes says so. */
static void test_format(void **state)
{
    (void)state;
    struct comp c;
    world_open(14, NULL);
    writer_close();
    (void)manifest_change(world, make_old, NULL);
    writer_open(20000, 0);
    flush(150);
    uint64_t before = wr.seqno;
    comp_open(&c, false);
    firn_fake_run_for(world, 20 * FIRN_SEC);
    assert_true(c.working);
    struct firn_upgrade_intent it = {.base = {.done = intent_done, .arg = &wr.done},
                                     .format = firn_format_newest};
    firn_manifest_upgrade(wr.node, &it);
    wait_for(&wr.done);
    assert_int_equal(it.base.status, FIRN_OK);
    wr.format = firn_format_newest;
    for (size_t i = 0; i < 8; i++)
        flush(150);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    struct firn_manifest *m = read_manifest();
    assert_int_equal(m->pb->n_l0, 0);
    size_t newer = 0;
    for (size_t i = 0; i < m->pb->n_partitions; i++) {
        const Firn__Partition *p = m->pb->partitions[i];
        for (size_t r = 0; r < p->n_runs; r++)
            for (size_t t = 0; t < p->runs[r]->n_tables; t++) {
                const Firn__Table *table = p->runs[r]->tables[t];
                if (table->max_seqno <= before)
                    continue;
                newer++;
                assert_int_equal(table->format, firn_format_newest);
            }
    }
    assert_true(newer);
    firn_manifest_unref(m);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* What a newer range tombstone covers whole goes unread. */
static void test_unread(void **state)
{
    (void)state;
    struct comp c;
    world_open(11, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    comp_open(&c, false);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    assert_int_equal(firn_compactor_stats_of(c.core)->tables_unread, 0);
    struct firn_manifest *m = read_manifest();
    size_t runs = live_tables(m->pb);
    firn_manifest_unref(m);
    for (size_t i = 0; i < 8; i++)
        flush_after(i == 0 ? KEYS : 0, 100);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    assert_true(runs > 1);
    assert_in_range(firn_compactor_stats_of(c.core)->tables_unread, runs / 2, runs);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* A range tombstone alone, over everything: the runs below it, however large, go unread with it. */
static void test_cleared(void **state)
{
    (void)state;
    struct comp c;
    world_open(12, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(150);
    comp_open(&c, false);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    struct firn_manifest *m = read_manifest();
    size_t tables = live_tables(m->pb);
    assert_int_equal(m->pb->n_l0, 0);
    firn_manifest_unref(m);
    struct firn_compactor_stats before = *firn_compactor_stats_of(c.core);
    for (size_t i = 0; i < 8; i++)
        flush_after(KEYS, 0);
    firn_fake_run_for(world, 60 * FIRN_SEC);
    struct firn_compactor_stats after = *firn_compactor_stats_of(c.core);
    m = read_manifest();
    assert_int_equal(live_tables(m->pb), 0);
    firn_manifest_unref(m);
    assert_true(after.tables_unread - before.tables_unread >= tables);
    assert_true(after.bytes_in - before.bytes_in < before.bytes_in / 10); /* heads */
    assert_int_equal(after.bytes_out, before.bytes_out);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* With the least memory there may be L0 is worked off, a few flushes at a time, and what is held
 * stays within it; with less the role is not even claimed. */
static void test_memory(void **state)
{
    (void)state;
    struct comp c;
    world_open_with(13, NULL, 1 << 10);
    for (size_t i = 0; i < 24; i++)
        flush(60 + draw(100));
    comp_open_with(&c, true, 16 << 20);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_FAILED);
    assert_string_equal(c.err.text,
                        "memory is 16mb, but compaction needs at least 24mb (table-bytes "
                        "0mb, value-max 0mb): raise memory or lower table-bytes");
    struct firn_manifest *m = read_manifest();
    assert_int_equal(m->pb->compactor->epoch, 0);
    assert_int_equal(m->pb->n_l0, 24);
    firn_manifest_unref(m);
    comp_close(&c);

    comp_open_with(&c, true, 24 << 20);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
    const struct firn_budget *b = firn_compactor_budget_of(c.core);
    assert_true(b->sum_peak <= b->total);
    assert_int_equal(b->sum, 0);
    assert_true(b->part[FIRN_BUDGET_PINNED].peak > 0 && b->part[FIRN_BUDGET_FETCHES].peak > 0 &&
                b->part[FIRN_BUDGET_TABLES].peak > 0);
    assert_true(firn_compactor_stats_of(c.core)->jobs >= 24 / 5);
    check_contents();
    m = read_manifest();
    assert_int_equal(m->pb->n_l0, 0);
    firn_manifest_unref(m);
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* With the least memory, too, range tombstones that cover most of a run that was too large do not
 * let it into a job that has as many inputs as may be. */
static void test_memory_covered(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct comp c;
        world_open_with(seed, NULL, 1 << 10);
        for (size_t i = 0; i < 4; i++)
            flush(400);
        comp_open_with(&c, true, 24 << 20);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        comp_close(&c);
        for (size_t i = 0; i < 5; i++)
            flush_after(KEYS / 5 + draw(KEYS / 2), 3);
        comp_open_with(&c, true, 24 << 20);
        assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
        assert_string_equal(c.err.text, "");
        assert_int_equal(c.how, FIRN_COMPACTOR_STOPPED);
        check_contents();
        comp_close(&c);
        writer_close();
        firn_fake_world_free(world);
    }
}

static bool hold_commits;

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    const struct comp *c = arg;
    if (hold_commits && n == c->fake && req->op == FIRN_OS_PUT && strcmp(req->key, "manifest") == 0)
        plan->fate = FIRN_FAKE_HOLD;
}

static bool is_held(void *arg)
{
    (void)arg;
    return firn_fake_held(world) > 0;
}

/* The compactor ends while its commit is on the way: what that refers to stays, for it may land an
 * hour later. */
static void test_open_commit(void **state)
{
    (void)state;
    struct comp c;
    world_open(5, NULL);
    for (size_t i = 0; i < 8; i++)
        flush(100);
    hold_commits = false;
    comp_open(&c, false);
    firn_fake_on_request(world, on_request, &c);
    assert_true(firn_fake_run_until(world, is_set, &c.working, LIMIT_NS));
    hold_commits = true;
    assert_true(firn_fake_run_until(world, is_held, NULL, LIMIT_NS));
    firn_compactor_halt(c.core);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    firn_fake_run_for(world, 3600 * FIRN_SEC);
    struct firn_manifest *before = read_manifest();
    hold_commits = false;
    assert_true(firn_fake_release(world, NULL, SIZE_MAX) > 0);
    firn_fake_run_for(world, FIRN_SEC);
    struct firn_manifest *after = read_manifest();
    assert_int_equal(after->version, before->version + 1); /* it has landed */
    assert_true(after->pb->n_l0 < before->pb->n_l0);
    firn_manifest_unref(before);
    firn_manifest_unref(after);
    check_contents();
    comp_close(&c);
    writer_close();
    firn_fake_world_free(world);
}

/* No database: a clear error, and nothing is written but under probe/. */
static void test_no_database(void **state)
{
    (void)state;
    struct comp c;
    struct firn_fake_options o = {.seed = 3};
    world = firn_fake_world_new(&o);
    comp_open(&c, true);
    assert_true(firn_fake_run_until(world, is_set, &c.ended, LIMIT_NS));
    assert_int_equal(c.how, FIRN_COMPACTOR_FAILED);
    assert_non_null(strstr(c.err.text, "no database"));
    assert_int_equal(firn_fake_count(world, ""), 0);
    comp_close(&c);
    firn_fake_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),           cmocka_unit_test(test_service),
        cmocka_unit_test(test_fenced),         cmocka_unit_test(test_pin),
        cmocka_unit_test(test_feature),        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_database),    cmocka_unit_test(test_unread),
        cmocka_unit_test(test_cleared),        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_covered), cmocka_unit_test(test_open_commit),
        cmocka_unit_test(test_rejected),       cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
