#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"
#include "lsm/cache.h"

#define RAW 1000

static struct firn_cache *make(uint64_t bytes)
{
    struct firn_cache *c = NULL;
    assert_int_equal(firn_cache_create(bytes, &c), FIRN_OK);
    return c;
}

static void add(struct firn_cache *c, uint64_t offset)
{
    struct firn_cache_entry *e = firn_cache_new_block(7, offset, RAW);
    assert_non_null(e);
    firn_cache_insert(c, e);
    firn_cache_unref(c, e);
}

static void the_bound_holds_and_counts_everything(void **state)
{
    (void)state;
    struct firn_cache *c = make(100000);
    const struct firn_cache_stats *s = firn_cache_stats_of(c);
    for (uint64_t i = 0; i < 1000; i++) {
        add(c, i);
        assert_true(s->bytes <= 100000);
    }
    assert_true(s->entries > 50 && s->entries < 100 && s->evictions == 1000 - s->entries);
    assert_true(s->bytes > s->entries * RAW);
    firn_cache_free(c);
}

static void pinned_entries_stay_and_go_when_unpinned(void **state)
{
    (void)state;
    struct firn_cache *c = make(20000);
    const struct firn_cache_stats *s = firn_cache_stats_of(c);
    struct firn_cache_entry *pinned[40];
    for (uint64_t i = 0; i < 40; i++) {
        pinned[i] = firn_cache_new_block(1, i, RAW);
        assert_non_null(pinned[i]);
        firn_cache_insert(c, pinned[i]);
    }
    assert_int_equal(s->entries, 40); /* over the bound, for all of them are in use */
    assert_true(s->pinned_bytes > 40000 && s->bytes > 20000);
    for (uint64_t i = 0; i < 40; i++)
        assert_ptr_equal(firn_cache_find(c, 1, i), pinned[i]);
    firn_cache_ref(c, pinned[0]);
    firn_cache_unref(c, pinned[0]);
    for (uint64_t i = 0; i < 40; i++)
        firn_cache_unref(c, pinned[i]);
    assert_int_equal(s->pinned_bytes, 0);
    assert_true(s->bytes <= 20000);
    firn_cache_free(c);
}

static void a_scan_does_not_throw_out_what_is_used(void **state)
{
    (void)state;
    struct firn_cache *c = make(200000);
    for (uint64_t i = 0; i < 40; i++)
        add(c, i);
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t i = 0; i < 40; i++)
            firn_cache_touch(firn_cache_find(c, 7, i));
    for (uint64_t i = 1000; i < 3000; i++)
        add(c, i);
    for (uint64_t i = 0; i < 40; i++)
        assert_non_null(firn_cache_find(c, 7, i));
    firn_cache_free(c);
}

static void what_comes_back_soon_enters_the_main_queue(void **state)
{
    (void)state;
    struct firn_cache *c = make(100000);
    add(c, 1);
    uint64_t i = 1000;
    while (firn_cache_find(c, 7, 1))
        add(c, i++);
    add(c, 1); /* remembered: not to be thrown out by new ones again */
    for (unsigned n = 0; n < 60; n++)
        add(c, i++);
    assert_non_null(firn_cache_find(c, 7, 1));
    firn_cache_free(c);
}

static struct firn_cache_entry *new_head(uint64_t table_id)
{
    struct firn_table_head *h = firn_calloc(1, sizeof *h);
    assert_non_null(h);
    h->bytes = sizeof *h;
    h->table_id = table_id;
    struct firn_cache_entry *e = firn_cache_new_head(500, h);
    assert_non_null(e);
    return e;
}

static struct firn_cache_entry *new_part(uint64_t table_id, uint64_t offset)
{
    struct firn_table_part *p = firn_calloc(1, sizeof *p);
    assert_non_null(p);
    p->bytes = sizeof *p;
    p->table_id = table_id;
    struct firn_cache_entry *e = firn_cache_new_part(offset, p);
    assert_non_null(e);
    return e;
}

static void metadata_outlives_blocks_and_tells_its_holder(void **state)
{
    (void)state;
    struct firn_cache *c = make(50000);
    struct firn_cache_entry *holder = new_head(3);
    holder->holder = &holder;
    firn_cache_insert(c, holder);
    firn_cache_unref(c, holder);
    for (uint64_t i = 0; i < 500; i++)
        add(c, i);
    assert_non_null(holder);
    assert_ptr_equal(firn_cache_find(c, 3, 500), holder);
    firn_cache_ref(c, holder);
    struct firn_cache_entry *e = holder;
    firn_cache_drop(c, e);
    assert_null(holder);
    assert_null(firn_cache_find(c, 3, 500));
    assert_int_equal(e->head->bytes, sizeof *e->head); /* still ours */
    firn_cache_unref(c, e);
    firn_cache_free(c);
}

static void too_much_metadata_goes(void **state)
{
    (void)state;
    struct firn_cache *c = make(20000);
    static struct firn_cache_entry *holder[200];
    for (unsigned i = 0; i < 200; i++) {
        holder[i] = new_part(i % 3, i * 10);
        holder[i]->holder = &holder[i];
        struct firn_cache_entry *e = holder[i];
        firn_cache_insert(c, e);
        firn_cache_unref(c, e);
    }
    unsigned left = 0;
    for (unsigned i = 0; i < 200; i++)
        left += holder[i] != NULL;
    assert_int_equal(left, firn_cache_stats_of(c)->entries);
    assert_true(left > 0 && left < 100 && firn_cache_stats_of(c)->bytes <= 20000);
    firn_cache_free(c);
}

static void short_memory_is_borne(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 20; n++) {
        struct firn_cache *c = NULL;
        firn_mem_fail_at(n, 1);
        enum firn_status st = firn_cache_create(1 << 20, &c);
        firn_mem_fail_at(0, 0);
        if (st != FIRN_OK) {
            assert_int_equal(st, FIRN_LIMIT);
            continue;
        }
        for (uint64_t i = 0; i < 300; i++) {
            struct firn_cache_entry *e = firn_cache_new_block(7, i, 10);
            assert_non_null(e);
            firn_mem_fail_at(i % 2, 1); /* tables that cannot grow */
            firn_cache_insert(c, e);
            firn_mem_fail_at(0, 0);
            firn_cache_unref(c, e);
            assert_non_null(firn_cache_find(c, 7, i));
        }
        firn_cache_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_holds_and_counts_everything),
        cmocka_unit_test(pinned_entries_stay_and_go_when_unpinned),
        cmocka_unit_test(a_scan_does_not_throw_out_what_is_used),
        cmocka_unit_test(what_comes_back_soon_enters_the_main_queue),
        cmocka_unit_test(metadata_outlives_blocks_and_tells_its_holder),
        cmocka_unit_test(too_much_metadata_goes),
        cmocka_unit_test(short_memory_is_borne),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
