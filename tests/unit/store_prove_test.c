/* The proof of the store, and uploads of large objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/store_fixture.h"

struct verdict {
    int done;
    enum firn_status status;
    struct firn_os_dialect dialect;
    struct firn_err err;
};

static void on_proved(void *arg, enum firn_status status, const struct firn_os_dialect *dialect,
                      const struct firn_err *err)
{
    struct verdict *v = arg;
    v->done++;
    v->status = status;
    v->dialect = *dialect;
    v->err = *err;
}

static bool is_proved(void *arg)
{
    return ((struct verdict *)arg)->done > 0;
}

static enum firn_status prove(struct fix *f, struct verdict *v)
{
    memset(v, 0, sizeof *v);
    firn_store_prove(f->store, on_proved, v);
    assert_int_equal(v->done, 0);
    assert_true(firn_fake_run_until(f->w, is_proved, v, 60 * FIRN_SEC));
    assert_int_equal(v->done, 1);
    return v->status;
}

static void test_good_store(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct firn_fake_options o = {.seed = i};
        o.if_match_bare = i & 1;
        o.no_delete_many = i & 2;
        o.list_unsorted = o.if_match_missing_412 = i & 4;
        struct fix f;
        struct verdict v;
        fix_open(&f, &o, NULL);
        assert_int_equal(prove(&f, &v), FIRN_OK);
        assert_int_equal(v.dialect.if_match_bare, o.if_match_bare);
        assert_int_equal(v.dialect.delete_many, !o.no_delete_many);
        assert_int_equal(v.err.text[0], '\0');
        assert_true(firn_fake_requests(f.w, FIRN_OS_OPS) <= 12);
        assert_int_equal(firn_fake_count(f.w, ""), 0); /* it cleans up */
        fix_close(&f);
    }
}

static void test_bad_stores(void **state)
{
    (void)state;
    static const struct {
        struct firn_fake_options o;
        enum firn_status status;
        const char *says;
    } t[] = {
        {{.ignores_if_none_match = true}, FIRN_INVALID, "fake:// ignores If-None-Match"},
        {{.ignores_if_match = true}, FIRN_INVALID, "fake:// ignores If-Match"},
        {{.ignores_if_match = true, .ignores_if_none_match = true}, FIRN_INVALID, "ignores"},
        {{.faults.refused = 1000000}, FIRN_TRANSIENT, "connection refused"},
        {{.faults.bit_flip = 1000000}, FIRN_INVALID, "keep data safe"},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct fix f;
        struct verdict v;
        fix_open(&f, &t[i].o, NULL);
        assert_int_equal(prove(&f, &v), t[i].status);
        assert_non_null(strstr(v.err.text, t[i].says));
        assert_int_equal(firn_fake_count(f.w, ""), 0);
        fix_close(&f);
    }
    struct fix f;
    struct verdict v;
    fix_open(&f, &(struct firn_fake_options){0}, NULL);
    FIX_SCRIPT(&f, FIRN_FAKE_DENIED); /* what is missing is hidden */
    assert_int_equal(prove(&f, &v), FIRN_DENIED);
    assert_non_null(strstr(v.err.text, "denied"));
    assert_non_null(strstr(v.err.text, "missing"));
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_PUT), 0);
    fix_close(&f);
    fix_open(&f, &(struct firn_fake_options){0}, NULL);
    FIX_SCRIPT(&f, FIRN_FAKE_CLEAN, FIRN_FAKE_DENIED); /* writing is forbidden */
    assert_int_equal(prove(&f, &v), FIRN_DENIED);
    assert_non_null(strstr(v.err.text, "creating"));
    fix_close(&f);
}

/* Trouble on the way must not make a good store look bad, nor a bad one good. */
static void test_prove_in_trouble(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct firn_fake_options o = {.seed = seed, .late_max_ns = 100 * FIRN_MS};
        o.faults = (struct firn_fake_faults){.lost_before = 30000,
                                             .lost_after = 60000,
                                             .err_500 = 60000,
                                             .err_503 = 20000,
                                             .err_409 = 60000,
                                             .refused = 30000,
                                             .loser_500 = 100000,
                                             .short_read = 30000};
        o.if_match_bare = seed % 3 == 0;
        o.ignores_if_match = seed % 5 == 0;
        struct fix f;
        struct verdict v;
        fix_open(&f, &o, NULL);
        enum firn_status s = prove(&f, &v);
        if (o.ignores_if_match)
            assert_int_not_equal(s, FIRN_OK);
        else
            assert_int_equal(s, FIRN_OK);
        fix_close(&f);
    }
}

/* ---- uploads */

struct up {
    struct firn_store_upload u;
    int done;
};

static void on_uploaded(struct firn_store_upload *u)
{
    ((struct up *)u->arg)->done++;
}

static bool is_uploaded(void *arg)
{
    return ((struct up *)arg)->done > 0;
}

#define BIG ((size_t)37 << 20)

static uint8_t *big_body(void)
{
    uint8_t *b = firn_malloc(BIG);
    assert_non_null(b);
    for (size_t i = 0; i < BIG; i++)
        b[i] = (uint8_t)(i * 2654435761u >> 13);
    return b;
}

static void start_upload(struct fix *f, struct up *u, const char *key, const void *data, size_t len)
{
    memset(u, 0, sizeof *u);
    u->u.key = key;
    u->u.body = firn_slice_of(data, len);
    u->u.done = on_uploaded;
    u->u.arg = u;
    firn_store_upload(f->store, &u->u);
    assert_int_equal(u->done, 0);
}

static enum firn_status upload(struct fix *f, struct up *u, const char *key, const void *data,
                               size_t len)
{
    start_upload(f, u, key, data, len);
    assert_true(firn_fake_run_until(f->w, is_uploaded, u, 600 * FIRN_SEC));
    assert_int_equal(u->done, 1);
    return u->u.status;
}

static void test_upload(void **state)
{
    (void)state;
    uint8_t *b = big_body();
    struct fix f;
    struct up u;
    fix_open(&f, &(struct firn_fake_options){.seed = 3}, NULL);
    assert_int_equal(upload(&f, &u, "small", b, 16u << 20), FIRN_OK);
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_OPS), 1);
    assert_int_equal(upload(&f, &u, "big", b, BIG), FIRN_OK);
    assert_int_equal(firn_fake_requests(f.w, FIRN_OS_MP_PART), 5);
    struct firn_slice s;
    assert_true(firn_fake_get(f.w, "big", &s));
    assert_true(firn_slice_eq(s, firn_slice_of(b, BIG)));
    /* The reply to complete is lost: it was done nevertheless. */
    FIX_SCRIPT(&f, FIRN_FAKE_CLEAN, FIRN_FAKE_CLEAN, FIRN_FAKE_500, FIRN_FAKE_DROP, FIRN_FAKE_CLEAN,
               FIRN_FAKE_CLEAN, FIRN_FAKE_CLEAN, FIRN_FAKE_CLEAN, FIRN_FAKE_RESET_DONE);
    assert_int_equal(upload(&f, &u, "big2", b, BIG), FIRN_OK);
    assert_true(firn_fake_get(f.w, "big2", &s) && s.len == BIG);
    assert_int_equal(firn_fake_uploads(f.w), 0);
    fix_close(&f);
    firn_free(b);
}

static void test_upload_fails(void **state)
{
    (void)state;
    uint8_t *b = big_body();
    struct fix f;
    struct up u;
    fix_open(&f, &(struct firn_fake_options){.seed = 3}, NULL);
    FIX_SCRIPT(&f, FIRN_FAKE_CLEAN, FIRN_FAKE_CLEAN, FIRN_FAKE_DENIED);
    assert_int_equal(upload(&f, &u, "big", b, BIG), FIRN_DENIED);
    assert_true(u.u.err.text[0]);
    assert_int_equal(firn_fake_uploads(f.w), 0); /* aborted */
    assert_int_equal(firn_fake_count(f.w, ""), 0);
    /* Cancelled half-way. */
    f.script = NULL;
    start_upload(&f, &u, "big", b, BIG);
    while (firn_fake_requests(f.w, FIRN_OS_MP_PART) < 6)
        assert_true(firn_fake_step(f.w));
    firn_store_upload_cancel(f.store, &u.u);
    firn_store_upload_cancel(f.store, &u.u);
    assert_int_equal(u.done, 0);
    assert_true(firn_fake_run_until(f.w, is_uploaded, &u, 10 * FIRN_SEC));
    assert_int_not_equal(u.u.status, FIRN_OK);
    firn_fake_run_for(f.w, FIRN_SEC);
    assert_int_equal(firn_fake_uploads(f.w), 0);
    firn_store_upload_cancel(f.store, &u.u);
    (void)firn_mem_fail_at(1, 0);
    start_upload(&f, &u, "big", b, BIG);
    (void)firn_mem_fail_at(0, 0);
    assert_false(firn_store_idle(f.store)); /* it has yet to be told */
    firn_store_upload_cancel(f.store, &u.u);
    assert_int_equal(u.done, 0);
    firn_fake_run_for(f.w, 0);
    assert_true(u.done == 1 && u.u.status == FIRN_LIMIT && firn_store_idle(f.store));
    /* Without memory at any point: an end and no leak. */
    for (uint64_t n = 1; n < 12; n++) {
        (void)firn_mem_fail_at(n, 0);
        enum firn_status s = upload(&f, &u, "big", b, BIG);
        (void)firn_mem_fail_at(0, 0);
        assert_true(s == FIRN_OK || s == FIRN_LIMIT);
        assert_true(n > 3 || s == FIRN_LIMIT);
    }
    fix_close(&f);
    firn_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_store),       cmocka_unit_test(test_bad_stores),
        cmocka_unit_test(test_prove_in_trouble), cmocka_unit_test(test_upload),
        cmocka_unit_test(test_upload_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
