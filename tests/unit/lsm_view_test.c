/* Point reads through views: round trips, single flight, damage, loss, time-outs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/lsm_view_fixture.h"

static const struct firn_lsm_options ample = {.cache_bytes = 4 << 20};

static struct firn_slice S(const char *s) {
    return firn_slice_str(s);
}

static struct firn_memtable *
memtable(void)
{
    struct firn_memtable *m = NULL;
    assert_int_equal(firn_memtable_create(&m), FIRN_OK);
    return m;
}

static void put(struct firn_memtable *m, const char *key, const char *value, uint64_t seqno)
{
    struct firn_entry e = {
        .key = S(key), .value = S(value), .seqno = seqno, .kind = FIRN_RECORD_PUT};
    assert_int_equal(firn_memtable_add(m, &e), FIRN_OK);
}

/* One L0 table with keys \x10k0000 ... and values of 100 bytes. */
static void flush_many(struct vfix *f, unsigned from, unsigned to, uint64_t seqno)
{
    struct firn_memtable *m = memtable();
    char key[16], value[101];
    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof key, "\x10k%04u", i);
        snprintf(value, sizeof value, "%0100u", i);
        put(m, key, value, seqno++);
    }
    vfix_flush(f, m, 1 << 30);
    firn_memtable_unref(m);
}

static void open_with(struct vfix *f, unsigned tables)
{
    vfix_open(f, &(struct firn_fake_options){.seed = 1}, &ample);
    vfix_partitions(f, NULL, 0);
    for (unsigned i = 0; i < tables; i++)
        flush_many(f, 0, 300, 1 + i * 1000);
}

static void a_memtable_decides_without_reading(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    struct firn_memtable *m = memtable();
    put(m, "\x10k0001", "new", 5000);
    assert_int_equal(firn_memtable_add_range(m, S("\x10k01"), S("\x10k02"), 5001), FIRN_OK);
    struct firn_view *v = vfix_view(&f, &m, 1);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    firn_mem_fail_at(1, 1); /* and without memory */
    assert_int_equal(firn_view_get(v, &r, S("\x10k0001"), UINT64_MAX, &e), FIRN_OK);
    assert_true(firn_slice_eq(e.value, S("new")));
    assert_int_equal(firn_view_get(v, &r, S("\x10k0150"), UINT64_MAX, &e), FIRN_ABSENT);
    firn_mem_fail_at(0, 0);
    assert_false(firn_read_wants(&r));
    assert_int_equal(firn_view_get(v, &r, S("\x10k0150"), 5000, &e), FIRN_AGAIN);
    assert_int_equal(firn_view_memtables(v), 1);
    assert_int_equal(firn_view_l0_tables(v), 1);
    firn_read_clear(&r);
    firn_view_unref(v);
    firn_memtable_unref(m);
    vfix_close(&f);
}

static void a_cold_read_takes_two_trips_and_a_warm_one_none(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 3);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    r.explain = true;
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0123"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(e.seqno, 2001 + 123);
    assert_int_equal(r.trips, 2);
    assert_int_equal(r.nsteps, r.gets);
    unsigned meta = 0;
    for (unsigned i = 0; i < r.nsteps; i++) {
        assert_int_equal(r.step[i].trip, r.step[i].meta ? 1 : 2);
        meta += r.step[i].meta;
        assert_true(strncmp(r.step[i].object, "sst/abcdef01/w", 14) == 0 && r.step[i].length > 0);
    }
    assert_int_equal(meta, 3); /* of all candidates at once */
    firn_read_clear(&r);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0123"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(r.trips, 0);
    assert_int_equal(r.blocks_hit, 1);
    firn_read_clear(&r);
    uint64_t gets = firn_fake_requests(f.w, FIRN_OS_GET);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10zzz"), UINT64_MAX, &e), FIRN_ABSENT);
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_GET), gets); /* outside of all bounds */
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

/* One partition of each candidate, and the heads of those with range tombstones, in the first trip;
 * the blocks that filters leave in the second. */
static void a_cold_read_fetches_one_partition_of_each_table(void **state)
{
    (void)state;
    struct vfix f;
    vfix_open(&f, &(struct firn_fake_options){.seed = 1}, &ample);
    vfix_partitions(&f, NULL, 0);
    f.part_bytes = 200;
    struct firn_memtable *m = memtable();
    put(m, "\x10k0000", "old", 1);
    put(m, "\x10k0299", "old", 2);
    assert_int_equal(firn_memtable_add_range(m, S("\x10k0200"), S("\x10k0210"), 3), FIRN_OK);
    vfix_flush(&f, m, 1 << 30);
    firn_memtable_unref(m);
    flush_many(&f, 0, 300, 1000);
    flush_many(&f, 0, 300, 2000);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    r.explain = true;
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0123x"), UINT64_MAX, &e), FIRN_ABSENT);
    assert_true(r.trips <= 2);
    unsigned parts = 0;
    for (unsigned i = 0; i < r.nsteps; i++) {
        const Firn__Table *t = f.pb->l0[0];
        assert_int_equal(r.step[i].trip, r.step[i].meta ? 1 : 2);
        parts += r.step[i].meta;
        if (r.step[i].meta && r.step[i].offset < t->head_offset) /* no more than one partition */
            assert_true(r.step[i].length <= 400 ||
                        r.step[i].offset + r.step[i].length > f.pb->l0[2]->head_offset);
    }
    assert_int_equal(parts, 3); /* the oldest one's only partition and its head lie side by side */
    assert_true(f.pb->l0[0]->n_part_lengths > 5);
    firn_read_clear(&r);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0124"), UINT64_MAX, &e), FIRN_OK);
    assert_true(e.seqno == 2124 && r.trips <= 1); /* the same partitions, another block at most */
    firn_read_clear(&r);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0290"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(r.trips, 2); /* other partitions */
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

/* A newer table's metadata is missing: it may decide, so no block of an older one is fetched yet.
 */
static void blocks_wait_for_the_metadata_of_newer_tables(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    firn_read_clear(&r);
    flush_many(&f, 0, 300, 1001);
    struct firn_view *newer = vfix_view(&f, NULL, 0);
    r.explain = true;
    assert_int_equal(vfix_get(&f, newer, &r, S("\x10k0200"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(e.seqno, 1001 + 200);
    assert_int_equal(r.nsteps, 3);
    for (unsigned i = 0; i < r.nsteps; i++)
        assert_int_equal(r.step[i].trip, r.step[i].meta ? 1 : 2);
    firn_read_clear(&r);
    firn_view_unref(newer);
    firn_view_unref(v);
    vfix_close(&f);
}

/* What one partition takes in memory is more than the cache has: reads and scans go on, one
 * partition at a time. */
static void metadata_may_be_larger_than_the_cache(void **state)
{
    (void)state;
    struct vfix f;
    vfix_open(&f, &(struct firn_fake_options){.seed = 1},
              &(struct firn_lsm_options){.cache_bytes = 4000});
    vfix_partitions(&f, NULL, 0);
    f.part_bytes = 400;
    for (unsigned i = 0; i < 3; i++)
        flush_many(&f, 0, 3000, 1 + i * 10000);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    char key[16];
    assert_true(f.pb->l0[0]->n_part_lengths > 10);
    firn_read_init(&r, f.lsm);
    for (unsigned i = 0; i < 3000; i += 83) {
        snprintf(key, sizeof key, "\x10k%04u", i);
        assert_int_equal(vfix_get(&f, v, &r, S(key), UINT64_MAX, &e), FIRN_OK);
        assert_true(e.seqno == 20001 + i && r.trips <= 2);
        firn_read_clear(&r);
        assert_true(firn_lsm_stats_of(f.lsm)->cache_bytes <= 4000);
    }
    for (unsigned reverse = 0; reverse < 2; reverse++) {
        struct firn_iter_options o = {.reverse = reverse, .max_seqno = UINT64_MAX};
        struct firn_iter *it;
        unsigned n = 0;
        assert_int_equal(firn_iter_create(v, &r, &o, &it), FIRN_OK);
        for (; vfix_next(&f, &r, it, &e) == FIRN_OK; n++) {
            assert_int_equal(e.seqno, 20001 + (reverse ? 2999 - n : n));
            /* a partition and some blocks of each table, not what was passed */
            assert_true(firn_lsm_stats_of(f.lsm)->pinned_bytes < 20000);
        }
        assert_int_equal(n, 3000);
        firn_iter_free(it);
        firn_read_clear(&r);
    }
    firn_view_unref(v);
    vfix_close(&f);
}

static bool both(void *arg)
{
    bool *b = arg;
    return b[0] && b[1];
}

static void reads_of_one_block_share_one_get(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read a, b;
    struct firn_entry e;
    firn_read_init(&a, f.lsm);
    firn_read_init(&b, f.lsm);
    for (unsigned trip = 1; trip <= 2; trip++) {
        bool done[2] = {false, false};
        assert_int_equal(firn_view_get(v, &a, S("\x10k0007"), UINT64_MAX, &e), FIRN_AGAIN);
        assert_int_equal(firn_view_get(v, &b, S("\x10k0007"), UINT64_MAX, &e), FIRN_AGAIN);
        firn_read_fetch(&a, 0, vfix_fetched, &done[0]);
        firn_read_fetch(&b, 0, vfix_fetched, &done[1]);
        assert_true(firn_fake_run_until(f.w, both, done, FIRN_SEC));
        assert_int_equal(firn_fake_requests(f.w, FIRN_OS_GET), trip);
    }
    assert_int_equal(firn_view_get(v, &a, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(firn_view_get(v, &b, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    assert_true(a.gets == 2 && b.gets == 2);
    firn_read_clear(&a);
    firn_read_clear(&b);
    firn_view_unref(v);
    vfix_close(&f);
}

static void adjacent_blocks_come_in_one_get(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    char key[16];
    firn_read_init(&r, f.lsm);
    for (unsigned trip = 0; trip < 2; trip++) {
        for (unsigned i = 0; i < 300; i++) { /* as an MGET */
            snprintf(key, sizeof key, "\x10k%04u", i);
            assert_int_equal(firn_view_get(v, &r, S(key), UINT64_MAX, &e), FIRN_AGAIN);
        }
        assert_int_equal(vfix_fetch(&f, &r), FIRN_OK);
    }
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_GET), 2);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "\x10k%04u", i);
        assert_int_equal(firn_view_get(v, &r, S(key), UINT64_MAX, &e), FIRN_OK);
    }
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

static const char *table_name(struct vfix *f)
{
    return firn_fake_next(f->w, "sst/", NULL);
}

static void damage(struct vfix *f, size_t at)
{
    struct firn_slice body;
    assert_true(firn_fake_get(f->w, table_name(f), &body));
    uint8_t *copy = firn_malloc(body.len);
    assert_non_null(copy);
    memcpy(copy, body.data, body.len);
    copy[at] ^= 1;
    firn_fake_put(f->w, table_name(f), copy, body.len);
    firn_free(copy);
}

static void damage_is_found(void **state)
{
    (void)state;
    for (unsigned meta = 0; meta < 2; meta++) {
        struct vfix f;
        open_with(&f, 1);
        damage(&f, meta ? f.pb->l0[0]->head_offset - 50 : 20); /* its only partition, or a block */
        struct firn_view *v = vfix_view(&f, NULL, 0);
        struct firn_read r;
        struct firn_entry e;
        firn_read_init(&r, f.lsm);
        assert_int_equal(vfix_get(&f, v, &r, S("\x10k0000"), UINT64_MAX, &e), FIRN_CORRUPT);
        assert_non_null(strstr(firn_read_err(&r)->text, table_name(&f)));
        assert_int_equal(r.trips, meta ? 1 : 2);
        assert_int_equal(firn_lsm_stats_of(f.lsm)->corrupt, 1);
        firn_read_clear(&r);
        if (!meta) /* the other blocks are whole */
            assert_int_equal(vfix_get(&f, v, &r, S("\x10k0299"), UINT64_MAX, &e), FIRN_OK);
        firn_read_clear(&r);
        firn_view_unref(v);
        vfix_close(&f);
    }
}

static void flip_some(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                      struct firn_fake_plan *plan)
{
    unsigned *left = arg;
    (void)n;
    (void)req;
    plan->fate = *left ? FIRN_FAKE_BIT_FLIP : FIRN_FAKE_CLEAN;
    *left -= *left > 0;
}

static void damage_on_the_way_is_asked_for_again(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    unsigned flips = 2;
    firn_fake_on_request(f.w, flip_some, &flips);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0000"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_GET), 4);
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

static void a_lost_object_is_absent(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 2);
    assert_true(firn_fake_delete(f.w, table_name(&f)));
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0000"), UINT64_MAX, &e), FIRN_ABSENT);
    assert_int_equal(firn_read_status(&r), FIRN_ABSENT);
    assert_non_null(strstr(firn_read_err(&r)->text, "sst/"));
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

static void hold_all(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                     struct firn_fake_plan *plan)
{
    (void)n;
    (void)req;
    if (*(bool *)arg)
        plan->fate = FIRN_FAKE_HOLD;
}

static void a_deadline_ends_the_wait_of_one_read_only(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    bool hold = true;
    firn_fake_on_request(f.w, hold_all, &hold);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read a, b;
    struct firn_entry e;
    bool done[2] = {false, false};
    firn_read_init(&a, f.lsm);
    firn_read_init(&b, f.lsm);
    assert_int_equal(firn_view_get(v, &a, S("\x10k0007"), UINT64_MAX, &e), FIRN_AGAIN);
    assert_int_equal(firn_view_get(v, &b, S("\x10k0007"), UINT64_MAX, &e), FIRN_AGAIN);
    firn_read_fetch(&a, firn_boot_ns(f.env) + 5 * FIRN_MS, vfix_fetched, &done[0]);
    firn_read_fetch(&b, 0, vfix_fetched, &done[1]);
    assert_true(firn_fake_run_until(f.w, vfix_is_set, &done[0], FIRN_SEC));
    assert_int_equal(firn_read_status(&a), FIRN_TRANSIENT);
    assert_false(done[1] || firn_lsm_idle(f.lsm));
    hold = false;
    firn_fake_release(f.w, NULL, 100);
    assert_true(firn_fake_run_until(f.w, vfix_is_set, &done[1], 60 * FIRN_SEC));
    assert_int_equal(firn_read_status(&b), FIRN_OK);
    /* the other one may go on, too */
    assert_int_equal(vfix_get(&f, v, &a, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    firn_read_clear(&a);
    firn_read_clear(&b);
    firn_view_unref(v);
    vfix_close(&f);
}

static void a_cleared_read_is_not_called(void **state)
{
    (void)state;
    for (unsigned later = 0; later < 2; later++) {
        struct vfix f;
        open_with(&f, 1);
        bool hold = true;
        firn_fake_on_request(f.w, hold_all, &hold);
        struct firn_view *v = vfix_view(&f, NULL, 0);
        struct firn_read a, b;
        struct firn_entry e;
        bool done[2] = {false, false};
        firn_read_init(&a, f.lsm);
        firn_read_init(&b, f.lsm);
        assert_int_equal(firn_view_get(v, &a, S("\x10k0007"), UINT64_MAX, &e), FIRN_AGAIN);
        firn_read_fetch(&a, 0, vfix_fetched, &done[0]);
        firn_fake_run_for(f.w, FIRN_MS);
        firn_read_clear(&a);
        if (later) { /* joins a fetch that was given up a moment ago */
            assert_int_equal(firn_view_get(v, &b, S("\x10k0007"), UINT64_MAX, &e), FIRN_AGAIN);
            firn_read_fetch(&b, 0, vfix_fetched, &done[1]);
        }
        hold = false;
        firn_fake_release(f.w, NULL, 100);
        if (later) {
            assert_true(firn_fake_run_until(f.w, vfix_is_set, &done[1], 60 * FIRN_SEC));
            assert_int_equal(firn_read_status(&b), FIRN_OK);
        }
        firn_fake_run_for(f.w, 10 * FIRN_SEC);
        assert_false(done[0]);
        firn_read_clear(&a);
        firn_read_clear(&b);
        firn_view_unref(v);
        vfix_close(&f);
    }
}

static void tables_that_went_into_the_partition_are_not_looked_at(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 2);
    assert_int_equal(firn_pb_set_place(&f.pb->partitions[0]->l0_upto, (struct firn_place){1, 1}),
                     FIRN_OK);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    assert_int_equal(r.tables_looked, 1);
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

#define LARGE ((size_t)4 << 20)

static void prefetch_keys(struct firn_view *v, bool memory_only)
{
    static const char *const key[] = {"\x10k0007", "\x10k0123", "\x10k0299", "\x10k0400",
                                      "\x10",      "",          "\x10zzz",   "\x10mem"};
    struct firn_view_probe p[sizeof key / sizeof *key];
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        p[i] = (struct firn_view_probe){.key = S(key[i]), .memory_only = memory_only};
    firn_mem_fail_at(1, 1);
    firn_view_prefetch(v, p, sizeof key / sizeof *key);
    firn_mem_fail_at(0, 0);
}

/* Of tables whose metadata or blocks are not there, and of those that are: nothing is counted. */
static void a_prefetch_changes_nothing(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 9); /* more than a probe has room for */
    struct firn_memtable *m = memtable();
    put(m, "\x10mem", "new", 90000);
    struct firn_entry e = {.key = S("\x10large"), .seqno = 90001, .kind = FIRN_RECORD_PUT};
    e.value = firn_slice_of(firn_calloc(1, LARGE), LARGE); /* a small view is not prefetched */
    assert_non_null(e.value.data);
    assert_int_equal(firn_memtable_add(m, &e), FIRN_OK);
    firn_free((void *)e.value.data);
    struct firn_view *v = vfix_view(&f, &m, 1);
    struct firn_read r;
    firn_read_init(&r, f.lsm);
    prefetch_keys(v, false);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    firn_read_clear(&r);
    struct firn_lsm_stats before = *firn_lsm_stats_of(f.lsm);
    uint64_t gets = firn_fake_requests(f.w, FIRN_OS_GET);
    prefetch_keys(v, false);
    prefetch_keys(v, true);
    struct firn_lsm_stats after = *firn_lsm_stats_of(f.lsm);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_GET), gets);
    firn_view_unref(v);
    v = vfix_view(&f, NULL, 0);
    prefetch_keys(v, false);
    firn_view_unref(v);
    firn_memtable_unref(m);
    vfix_close(&f);
}

static void nonsense_in_the_manifest_is_corrupt(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 2);
    struct firn_view *v = NULL;
    struct firn_err err = {""};
    uint64_t id = f.pb->l0[1]->table_id, length = f.pb->l0[1]->head_length;
    f.pb->l0[1]->table_id = f.pb->l0[0]->table_id;
    assert_int_equal(firn_view_create(f.lsm, &f.manifest, NULL, 0, &v, &err), FIRN_CORRUPT);
    f.pb->l0[1]->table_id = id;
    f.pb->l0[1]->head_length = f.pb->l0[1]->size;
    assert_int_equal(firn_view_create(f.lsm, &f.manifest, NULL, 0, &v, &err), FIRN_CORRUPT);
    f.pb->l0[1]->head_length = length;
    f.pb->l0[1]->part_lengths[0]--;
    assert_int_equal(firn_view_create(f.lsm, &f.manifest, NULL, 0, &v, &err), FIRN_OK);
    struct firn_read r; /* nobody can tell before the bytes are there */
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    f.pb->l0[1]->part_lengths[0]++;
    struct firn_view *other = NULL;
    assert_int_equal(firn_view_create(f.lsm, &f.manifest, NULL, 0, &other, &err), FIRN_CORRUPT);
    assert_non_null(strstr(err.text, "differ"));
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0000x"), UINT64_MAX, &e), FIRN_CORRUPT);
    firn_read_clear(&r);
    firn_view_unref(v);
    v = NULL;
    assert_null(v);
    assert_true(err.text[0]);
    vfix_close(&f);
}

static void live_keys_are_estimated(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    struct firn_memtable *m = memtable();
    struct firn_view *v = vfix_view(&f, &m, 1);
    assert_int_equal(firn_view_estimate(v, S(""), S("")), 300);
    uint64_t half = firn_view_estimate(v, S("\x10k0150"), S(""));
    assert_true(half > 100 && half < 200);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    assert_int_equal(vfix_get(&f, v, &r, S("\x10k0007"), UINT64_MAX, &e), FIRN_OK);
    firn_read_clear(&r);
    half = firn_view_estimate(v, S("\x10k0150"), S("\x11")); /* by the index now */
    assert_true(half > 140 && half < 160);
    put(m, "\x10new", "v", 5000);
    assert_int_equal(firn_view_estimate(v, S(""), S("")), 301);
    assert_int_equal(firn_memtable_add_range(m, S("\x10"), S("\x11"), 5001), FIRN_OK);
    assert_int_equal(firn_view_estimate(v, S(""), S("")), 0);
    firn_view_unref(v);
    firn_memtable_unref(m);
    vfix_close(&f);
}

/* A flush of a FLUSHALL that this node has not seen: one fetch, and nothing is left. */
static void cleared_keys_are_not_counted(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 1);
    struct firn_memtable *m = memtable();
    assert_int_equal(firn_memtable_add_range(m, S("\x10"), S("\x11"), 5001), FIRN_OK);
    vfix_flush(&f, m, 1 << 20);
    firn_memtable_unref(m);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    firn_read_init(&r, f.lsm);
    assert_int_equal(firn_view_tombs(v, &r), FIRN_AGAIN);
    assert_int_equal(vfix_fetch(&f, &r), FIRN_OK);
    assert_int_equal(firn_view_tombs(v, &r), FIRN_OK);
    assert_int_equal(r.trips, 1);
    assert_int_equal(firn_view_estimate(v, S(""), S("")), 0);
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

/* Let the n-th allocation fail in turn, all the way through view, reads and fetches. */
static void short_memory_is_an_answer(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 120; n++) {
        struct vfix f;
        open_with(&f, 2);
        struct firn_view *v = NULL;
        struct firn_read r;
        struct firn_entry e;
        firn_read_init(&r, f.lsm);
        firn_mem_fail_at(n, 0);
        enum firn_status st = firn_view_create(f.lsm, &f.manifest, NULL, 0, &v, NULL);
        for (unsigned tries = 0; st == FIRN_OK && tries < 10; tries++) {
            st = firn_view_get(v, &r, S("\x10k0007"), UINT64_MAX, &e);
            if (st != FIRN_AGAIN)
                break;
            (void)vfix_fetch(&f, &r); /* what failed is noted and fetched anew */
            st = FIRN_OK;
        }
        firn_mem_fail_at(0, 0);
        assert_true(st == FIRN_OK || st == FIRN_LIMIT);
        firn_read_clear(&r);
        firn_view_unref(v);
        vfix_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_memtable_decides_without_reading),
        cmocka_unit_test(a_cold_read_takes_two_trips_and_a_warm_one_none),
        cmocka_unit_test(a_cold_read_fetches_one_partition_of_each_table),
        cmocka_unit_test(blocks_wait_for_the_metadata_of_newer_tables),
        cmocka_unit_test(metadata_may_be_larger_than_the_cache),
        cmocka_unit_test(reads_of_one_block_share_one_get),
        cmocka_unit_test(adjacent_blocks_come_in_one_get),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(damage_on_the_way_is_asked_for_again),
        cmocka_unit_test(a_lost_object_is_absent),
        cmocka_unit_test(a_deadline_ends_the_wait_of_one_read_only),
        cmocka_unit_test(a_cleared_read_is_not_called),
        cmocka_unit_test(tables_that_went_into_the_partition_are_not_looked_at),
        cmocka_unit_test(a_prefetch_changes_nothing),
        cmocka_unit_test(nonsense_in_the_manifest_is_corrupt),
        cmocka_unit_test(live_keys_are_estimated),
        cmocka_unit_test(cleared_keys_are_not_counted),
        cmocka_unit_test(short_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
