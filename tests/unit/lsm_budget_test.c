/* The budget: shares that add up, counters, and the cache that gives way. */
#include "obs/budget.h"

#include "lsm/cache.h"
#include "obs/metrics.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define MB ((uint64_t)1 << 20)

static const struct firn_budget_need needs[FIRN_BUDGET_PARTS] = {
    [FIRN_BUDGET_CACHE] = {1 * MB, 3},   [FIRN_BUDGET_PINNED] = {1 * MB, 1},
    [FIRN_BUDGET_FETCHES] = {1 * MB, 1}, [FIRN_BUDGET_MEMTABLES] = {5 * MB, 4},
    [FIRN_BUDGET_BATCHES] = {2 * MB, 2}, [FIRN_BUDGET_TABLES] = {0, 0},
    [FIRN_BUDGET_CLIENTS] = {3 * MB, 3}, [FIRN_BUDGET_SNAPSHOTS] = {0, 1},
};

static void shares_add_up_to_the_bound(void **state)
{
    (void)state;
    struct firn_budget b;
    assert_int_equal(firn_budget_least(needs), 13 * MB);
    for (uint64_t total = 13 * MB; total < 64 * MB; total += 1234567) {
        uint64_t sum = 0;
        firn_budget_init(&b, total);
        firn_budget_divide(&b, needs);
        for (int i = 0; i < FIRN_BUDGET_PARTS; i++) {
            assert_true(b.part[i].share >= needs[i].least);
            sum += b.part[i].share;
        }
        assert_int_equal(sum, total);
        assert_int_equal(b.part[FIRN_BUDGET_TABLES].share, 0);
    }
    assert_int_equal(firn_budget_cap(&b, FIRN_BUDGET_CLIENTS, 2, 1), 1);
    assert_int_equal(firn_budget_cap(&b, FIRN_BUDGET_CLIENTS, 2, UINT64_MAX),
                     b.part[FIRN_BUDGET_CLIENTS].share / 2);
    assert_int_equal(firn_budget_cap(NULL, FIRN_BUDGET_CLIENTS, 2, 7), 7);
}

static uint64_t draw(uint64_t *rng)
{
    *rng ^= *rng << 13;
    *rng ^= *rng >> 7;
    *rng ^= *rng << 17;
    return *rng;
}

static void shrink(void *arg)
{
    firn_cache_shrink(arg);
}

struct pins {
    struct firn_cache_entry *at[64];
    size_t n;
};

static void one_use_of_the_cache(struct firn_cache *c, uint64_t *rng, struct pins *p,
                                 const struct firn_budget *b)
{
    uint64_t name = draw(rng) % 5000 + 1;
    struct firn_cache_entry *e = firn_cache_find(c, name, 0);
    if (e) {
        firn_cache_touch(e);
        firn_cache_ref(c, e);
    } else {
        e = firn_cache_new_block(name, 0, draw(rng) % 16384);
        assert_non_null(e);
        firn_cache_insert(c, e);
    }
    bool room = p->n < 64 && b->part[FIRN_BUDGET_PINNED].used < b->part[FIRN_BUDGET_PINNED].share;
    if (room && draw(rng) % 4 == 0)
        p->at[p->n++] = e;
    else
        firn_cache_unref(c, e);
    if (p->n && draw(rng) % 8 == 0)
        firn_cache_unref(c, p->at[--p->n]);
    if (draw(rng) % 50 == 0 && (e = firn_cache_find(c, draw(rng) % 5000 + 1, 0)))
        firn_cache_drop(c, e);
}

/* Whatever the others do within their shares, the sum holds, and the cache never starves. */
static void the_cache_takes_what_the_others_leave(void **state)
{
    (void)state;
    static const enum firn_budget_part others[] = {FIRN_BUDGET_FETCHES, FIRN_BUDGET_MEMTABLES,
                                                   FIRN_BUDGET_BATCHES, FIRN_BUDGET_CLIENTS};
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t rng = seed * UINT64_C(0x9e3779b97f4a7c15), most = 0;
        struct firn_budget b;
        struct firn_cache *c;
        struct pins pins = {.n = 0};
        firn_budget_init(&b, 16 * MB);
        firn_budget_divide(&b, needs);
        assert_int_equal(firn_cache_create(UINT64_MAX, &c), FIRN_OK);
        b.reclaim = shrink;
        b.reclaim_arg = c;
        firn_cache_set_budget(c, &b);
        for (int i = 0; i < 20000; i++) {
            enum firn_budget_part part = others[draw(&rng) % 4];
            if (draw(&rng) % 100 == 0)
                firn_budget_set(&b, part, draw(&rng) % (b.part[part].share + 1));
            one_use_of_the_cache(c, &rng, &pins, &b);
            uint64_t sum = 0;
            for (int k = 0; k < FIRN_BUDGET_PARTS; k++)
                sum += b.part[k].used;
            assert_int_equal(sum, b.sum);
            assert_true(b.sum <= b.total);
            most = b.part[FIRN_BUDGET_CACHE].used > most ? b.part[FIRN_BUDGET_CACHE].used : most;
        }
        assert_true(b.sum_peak <= b.total);
        assert_true(most > 2 * b.part[FIRN_BUDGET_CACHE].share); /* it did take what was left */
        while (pins.n)
            firn_cache_unref(c, pins.at[--pins.n]);
        firn_cache_free(c);
        assert_int_equal(b.part[FIRN_BUDGET_CACHE].used + b.part[FIRN_BUDGET_PINNED].used, 0);
    }
}

static void collect(struct firn_metrics_out *out, void *arg)
{
    firn_budget_collect(out, arg);
}

static void every_part_is_reported(void **state)
{
    (void)state;
    struct firn_budget b;
    struct firn_metrics m;
    struct firn_buf out;
    struct firn_collector c = {.collect = collect, .arg = &b};
    firn_budget_init(&b, 13 * MB);
    firn_budget_divide(&b, needs);
    firn_budget_set(&b, FIRN_BUDGET_CLIENTS, 12345);
    firn_budget_set(NULL, FIRN_BUDGET_CLIENTS, 1); /* harmless */
    firn_metrics_init(&m);
    firn_metrics_add(&m, &c);
    firn_buf_init(&out, SIZE_MAX);
    assert_int_equal(firn_metrics_render(&m, &out), FIRN_OK);
    assert_int_equal(firn_buf_append(&out, "", 1), FIRN_OK);
    const char *text = (const char *)out.data;
    assert_non_null(strstr(text, "firn_memory_bytes{part=\"clients\"} 12345"));
    for (int i = 0; i < FIRN_BUDGET_PARTS; i++)
        assert_non_null(strstr(text, firn_budget_part_name((enum firn_budget_part)i)));
    firn_buf_clear(&out);
    firn_metrics_remove(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_add_up_to_the_bound),
        cmocka_unit_test(the_cache_takes_what_the_others_leave),
        cmocka_unit_test(every_part_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
