/* Iterators: what they cost and how they wait. What they show is tests/prop's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/lsm_view_fixture.h"

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

/* A run, or a table of L0, with n keys \x10k00000 ... of 100-byte values. */
static void fill(struct vfix *f, unsigned n, uint64_t seqno, bool run, uint64_t table_bytes)
{
    struct firn_memtable *m = memtable();
    char key[16], value[101];
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "\x10k%05u", i);
        snprintf(value, sizeof value, "%0100u", i);
        put(m, key, value, seqno++);
    }
    if (run)
        vfix_add_run(f, m, table_bytes);
    else
        vfix_flush(f, m, table_bytes);
    firn_memtable_unref(m);
}

static void open_with(struct vfix *f, uint64_t cache_bytes)
{
    vfix_open(f, &(struct firn_fake_options){.seed = 1},
              &(struct firn_lsm_options){.cache_bytes = cache_bytes});
    vfix_partitions(f, NULL, 0);
}

static struct firn_iter *iterate(struct firn_view *v, struct firn_read *r, const char *start,
                                 const char *end, bool reverse)
{
    struct firn_iter *it = NULL;
    struct firn_iter_options o = {
        .start = S(start), .end = S(end), .reverse = reverse, .max_seqno = UINT64_MAX};
    assert_int_equal(firn_iter_create(v, r, &o, &it), FIRN_OK);
    return it;
}

static unsigned count(struct vfix *f, struct firn_read *r, struct firn_iter *it)
{
    struct firn_entry e;
    unsigned n = 0;
    enum firn_status st;
    while ((st = vfix_next(f, r, it, &e)) == FIRN_OK)
        n++;
    assert_int_equal(st, FIRN_ABSENT);
    return n;
}

static void a_short_scan_reads_little_a_long_one_ahead(void **state)
{
    (void)state;
    for (int reverse = 0; reverse < 2; reverse++) {
        struct vfix f;
        open_with(&f, 16 << 20);
        fill(&f, 5000, 1, true, 1 << 30); /* about 1,250 blocks */
        struct firn_view *v = vfix_view(&f, NULL, 0);
        struct firn_read r;
        struct firn_entry e;
        firn_read_init(&r, f.lsm);
        struct firn_iter *it = iterate(v, &r, "\x10", "\x11", reverse);
        assert_int_equal(vfix_next(&f, &r, it, &e), FIRN_OK);
        assert_int_equal(r.trips, 2);
        assert_true(firn_slice_eq(e.key, S(reverse ? "\x10k04999" : "\x10k00000")));
        assert_int_equal(firn_lsm_stats_of(f.lsm)->cache_entries, 2);
        assert_int_equal(count(&f, &r, it), 4999);
        assert_true(r.trips < 20); /* the stretch doubles up to its bound */
        assert_true(r.npins < 20); /* what was passed is not kept */
        firn_iter_free(it);
        firn_read_clear(&r);
        firn_view_unref(v);
        vfix_close(&f);
    }
}

static void all_sources_are_asked_at_once(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 16 << 20);
    for (unsigned i = 0; i < 3; i++)
        fill(&f, 100, 1 + i * 1000, true, 1 << 30);
    for (unsigned i = 0; i < 3; i++)
        fill(&f, 100, 10001 + i * 1000, false, 1 << 30);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    struct firn_iter *it = iterate(v, &r, "\x10k00050", "", false);
    assert_int_equal(vfix_next(&f, &r, it, &e), FIRN_OK);
    assert_int_equal(r.trips, 2);
    assert_int_equal(e.seqno, 12001 + 50);
    assert_int_equal(count(&f, &r, it), 49);
    firn_iter_free(it);
    firn_read_clear(&r);
    firn_view_unref(v);
    vfix_close(&f);
}

static void deleted_ranges_are_jumped_over(void **state)
{
    (void)state;
    for (int reverse = 0; reverse < 2; reverse++) {
        struct vfix f;
        open_with(&f, 16 << 20);
        fill(&f, 5000, 1, true, 1 << 30);
        struct firn_memtable *m = memtable();
        assert_int_equal(firn_memtable_add_range(m, S("\x10k00010"), S("\x10k04990"), 9000),
                         FIRN_OK);
        put(m, "\x10k02000", "back", 9001);
        struct firn_view *v = vfix_view(&f, &m, 1);
        struct firn_read r;
        firn_read_init(&r, f.lsm);
        struct firn_iter *it = iterate(v, &r, "", "", reverse);
        assert_int_equal(count(&f, &r, it), 21);
        assert_true(firn_lsm_stats_of(f.lsm)->cache_entries < 40); /* of 1,250 */
        firn_iter_free(it);
        it = iterate(v, &r, "\x10k00010", "\x10k04990", reverse);
        firn_read_clear(&r);
        uint64_t gets = firn_fake_requests(f.w, FIRN_OS_GET);
        assert_int_equal(count(&f, &r, it), 1);
        assert_true(firn_fake_requests(f.w, FIRN_OS_GET) <= gets + (reverse ? 1 : 0));
        firn_iter_free(it);
        firn_read_clear(&r);
        firn_view_unref(v);
        firn_memtable_unref(m);
        vfix_close(&f);
    }
}

static void tables_beyond_the_bounds_are_not_read(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 16 << 20);
    fill(&f, 5000, 1, true, 5000); /* dozens of tables */
    assert_true(f.pb->partitions[0]->runs[0]->n_tables > 20);
    struct firn_view *v = vfix_view(&f, NULL, 0);
    struct firn_read r;
    for (int reverse = 0; reverse < 2; reverse++) {
        firn_read_init(&r, f.lsm);
        struct firn_iter *it = iterate(v, &r, "\x10k02500", "\x10k02510", reverse);
        assert_int_equal(count(&f, &r, it), 10);
        assert_true(r.gets <= 4);
        firn_iter_free(it);
        firn_read_clear(&r);
    }
    firn_view_unref(v);
    vfix_close(&f);
}

static void writes_during_a_scan_do_not_disturb_it(void **state)
{
    (void)state;
    struct vfix f;
    open_with(&f, 16 << 20);
    struct firn_memtable *m = memtable();
    char key[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "\x10k%05u", i * 2);
        put(m, key, "old", i + 1);
    }
    struct firn_view *v = vfix_view(&f, &m, 1);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, f.lsm);
    struct firn_iter *it = NULL;
    struct firn_iter_options o = {.max_seqno = 1000};
    assert_int_equal(firn_iter_create(v, &r, &o, &it), FIRN_OK);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(firn_iter_next(it, &e), FIRN_OK);
        assert_true(firn_slice_eq(e.value, S("old")));
        snprintf(key, sizeof key, "\x10k%05u", (i * 7919) % 1000 * 2 + (i & 1));
        put(m, key, "new", 2000 + i);
        if (i % 100 == 0)
            assert_int_equal(firn_memtable_add_range(m, S("\x10k00500"), S(""), 2000 + i), FIRN_OK);
    }
    assert_int_equal(firn_iter_next(it, &e), FIRN_ABSENT);
    firn_iter_free(it);
    firn_read_clear(&r);
    firn_view_unref(v);
    firn_memtable_unref(m);
    vfix_close(&f);
}

static void damage_and_loss_are_reported(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        struct vfix f;
        open_with(&f, 16 << 20);
        fill(&f, 300, 1, true, 1 << 30);
        const char *name = firn_fake_next(f.w, "sst/", NULL);
        struct firn_slice body;
        assert_true(firn_fake_get(f.w, name, &body));
        uint8_t *copy = firn_malloc(body.len);
        assert_non_null(copy);
        memcpy(copy, body.data, body.len);
        copy[2000] ^= 4;
        firn_fake_put(f.w, name, copy, body.len);
        firn_free(copy);
        if (lost)
            assert_true(firn_fake_delete(f.w, name));
        struct firn_view *v = vfix_view(&f, NULL, 0);
        struct firn_read r;
        struct firn_entry e;
        enum firn_status st;
        firn_read_init(&r, f.lsm);
        struct firn_iter *it = iterate(v, &r, "", "", false);
        unsigned seen = 0;
        while ((st = vfix_next(&f, &r, it, &e)) == FIRN_OK)
            seen++;
        assert_int_equal(firn_read_status(&r), lost ? FIRN_ABSENT : FIRN_CORRUPT);
        assert_int_equal(st, lost ? FIRN_ABSENT : FIRN_CORRUPT);
        assert_true(seen < 300);
        firn_iter_free(it);
        firn_read_clear(&r);
        firn_view_unref(v);
        vfix_close(&f);
    }
}

/* Whatever allocation fails: an iterator says LIMIT, and goes on when asked again. */
static void short_memory_loses_no_place(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 150; n++) {
        struct vfix f;
        open_with(&f, 30000);
        fill(&f, 400, 1, true, 20000);
        fill(&f, 400, 1001, false, 10000);
        struct firn_memtable *m = memtable();
        assert_int_equal(firn_memtable_add_range(m, S("\x10k00100"), S("\x10k00200"), 9000),
                         FIRN_OK);
        put(m, "\x10k00150", "v", 9001);
        struct firn_view *v = vfix_view(&f, &m, 1);
        struct firn_read r;
        struct firn_entry e;
        struct firn_iter *it = NULL;
        struct firn_iter_options o = {.max_seqno = UINT64_MAX, .reverse = n % 2};
        firn_read_init(&r, f.lsm);
        firn_mem_fail_at(n, 0);
        unsigned seen = 0, failures = 0;
        enum firn_status st = FIRN_OK;
        while (!it && (st = firn_iter_create(v, &r, &o, &it)) != FIRN_OK)
            assert_true(st == FIRN_LIMIT && ++failures < 10);
        while ((st = firn_iter_next(it, &e)) != FIRN_ABSENT) {
            seen += st == FIRN_OK;
            if (st == FIRN_AGAIN && vfix_fetch(&f, &r) != FIRN_OK)
                assert_true(++failures < 10);
            else if (st == FIRN_LIMIT)
                assert_true(++failures < 10);
        }
        firn_mem_fail_at(0, 0);
        assert_int_equal(seen, 301);
        firn_iter_free(it);
        firn_read_clear(&r);
        firn_view_unref(v);
        firn_memtable_unref(m);
        vfix_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_scan_reads_little_a_long_one_ahead),
        cmocka_unit_test(all_sources_are_asked_at_once),
        cmocka_unit_test(deleted_ranges_are_jumped_over),
        cmocka_unit_test(tables_beyond_the_bounds_are_not_read),
        cmocka_unit_test(writes_during_a_scan_do_not_disturb_it),
        cmocka_unit_test(damage_and_loss_are_reported),
        cmocka_unit_test(short_memory_loses_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
