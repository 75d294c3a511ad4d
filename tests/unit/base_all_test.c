/* The foundation: slices, buffers, arena, heap, list, varints, hashes, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/hashtab.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/slice.h"
#include "base/sometimes.h"

#include <string.h>

static uint64_t rng_state = 1;

static uint64_t rng(void)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return rng_state >> 20;
}

static void test_slices(void **state)
{
    (void)state;
    struct firn_slice none = {0}, a = firn_slice_str("a"), ab = firn_slice_str("ab");
    struct firn_slice high = firn_slice_of("\xff", 1);
    assert_true(firn_slice_cmp(none, a) < 0);
    assert_true(firn_slice_cmp(a, ab) < 0);
    assert_true(firn_slice_cmp(ab, a) > 0);
    assert_true(firn_slice_cmp(ab, high) < 0); /* bytes are unsigned */
    assert_int_equal(firn_slice_cmp(ab, ab), 0);
    assert_true(firn_slice_eq(none, firn_slice_of("x", 0)));
    assert_true(firn_slice_starts(ab, a) && firn_slice_starts(ab, none));
    assert_false(firn_slice_starts(a, ab));
    assert_true(firn_slice_ieq(firn_slice_str("GeT"), "get"));
    assert_false(firn_slice_ieq(firn_slice_str("ge"), "get"));
    assert_false(firn_slice_ieq(firn_slice_str("gets"), "get"));
    assert_false(firn_slice_ieq(firn_slice_of("get\0", 4), "get"));
}

static void test_buf(void **state)
{
    (void)state;
    struct firn_buf b;
    firn_buf_init(&b, 300);
    for (int i = 0; i < 100; i++)
        assert_int_equal(firn_buf_append(&b, "abc", 3), FIRN_OK);
    assert_int_equal(b.len, 300);
    assert_int_equal(firn_buf_append(&b, "x", 1), FIRN_LIMIT);
    assert_int_equal(firn_buf_append(&b, NULL, 0), FIRN_OK);
    assert_int_equal(firn_buf_reserve(&b, SIZE_MAX), FIRN_LIMIT);
    assert_int_equal(b.len, 300);
    firn_buf_consume(&b, 299);
    assert_int_equal(b.len, 1);
    assert_int_equal(b.data[0], 'c');
    firn_buf_clear(&b);
    firn_buf_clear(NULL);
    assert_true(b.max == 300 && b.len == 0 && !b.data);
    assert_int_equal(firn_buf_printf(&b, "%d-%s", 42, "x"), FIRN_OK);
    assert_true(firn_slice_eq(firn_buf_slice(&b), firn_slice_str("42-x")));
    assert_int_equal(firn_buf_printf(&b, "%400d", 1), FIRN_LIMIT);
    assert_int_equal(b.len, 4);
    firn_buf_clear(&b);
    (void)firn_mem_fail_at(1, 0);
    assert_int_equal(firn_buf_append(&b, "x", 1), FIRN_LIMIT);
    (void)firn_mem_fail_at(0, 0);
    assert_int_equal(b.len, 0);
}

static void test_arena(void **state)
{
    (void)state;
    struct firn_arena a = {.chunk_bytes = 1024};
    uint8_t *p[500];
    size_t len[500];
    for (int i = 0; i < 500; i++) {
        len[i] = (size_t)(rng() % (i % 50 ? 60 : 3000));
        p[i] = firn_arena_alloc(&a, len[i]);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 8, 0);
        memset(p[i], i & 0xff, len[i]);
    }
    for (int i = 0; i < 500; i++) {
        for (size_t k = 0; k < len[i]; k++)
            assert_int_equal(p[i][k], i & 0xff);
    }
    assert_true(a.used_bytes > 0);
    struct firn_slice s = firn_arena_copy(&a, firn_slice_str("hello"));
    assert_true(firn_slice_eq(s, firn_slice_str("hello")));
    assert_null(firn_arena_alloc(&a, SIZE_MAX));
    firn_arena_clear(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_int_equal(a.chunk_bytes, 1024);
    (void)firn_mem_fail_at(1, 1);
    assert_null(firn_arena_alloc(&a, 10));
    assert_null(firn_arena_copy(&a, firn_slice_str("x")).data);
    (void)firn_mem_fail_at(0, 0);
}

/* Against the simplest model: what comes out is always the smallest of what is in. */
static void test_heap(void **state)
{
    (void)state;
    enum { N = 64 };
    struct firn_heap h = {0};
    struct firn_heap_node n[N] = {0};
    assert_null(firn_heap_min(&h));
    for (int step = 0; step < 20000; step++) {
        struct firn_heap_node *x = &n[rng() % N];
        if (x->pos) {
            firn_heap_remove(&h, x);
            assert_int_equal(x->pos, 0);
            firn_heap_remove(&h, x);
        } else {
            x->key = rng() % 40;
            assert_int_equal(firn_heap_push(&h, x), FIRN_OK);
        }
        uint64_t least = UINT64_MAX;
        size_t in = 0;
        for (int i = 0; i < N; i++) {
            if (n[i].pos) {
                in++;
                least = n[i].key < least ? n[i].key : least;
            }
        }
        assert_int_equal(h.len, in);
        assert_true(in ? firn_heap_min(&h)->key == least : !firn_heap_min(&h));
    }
    firn_heap_clear(&h);
    struct firn_heap_node one = {0};
    (void)firn_mem_fail_at(1, 0);
    assert_int_equal(firn_heap_push(&h, &one), FIRN_LIMIT);
    (void)firn_mem_fail_at(0, 0);
    assert_int_equal(one.pos, 0);
}

static void test_hashtab(void **state)
{
    (void)state;
    enum { N = 300 };
    struct item {
        struct firn_hashtab_node node;
        bool in;
    } item[N] = {0};
    struct firn_hashtab t = {0};
    assert_null(firn_hashtab_find(&t, 7));
    for (int round = 0; round < 3000; round++) {
        struct item *x = &item[rng() % N];
        uint64_t hash = (uint64_t)(x - item) / 3; /* three of each hash */
        if (x->in)
            firn_hashtab_remove(&t, &x->node);
        else
            assert_int_equal(firn_hashtab_add(&t, &x->node, hash), FIRN_OK);
        x->in = !x->in;
        size_t found = 0, there = 0;
        for (struct firn_hashtab_node *n = firn_hashtab_find(&t, hash); n; n = firn_hashtab_next(n))
            found += FIRN_CONTAINER(n, struct item, node)->in;
        for (size_t i = 3 * hash; i < 3 * hash + 3; i++)
            there += item[i].in;
        assert_int_equal(found, there);
    }
    firn_hashtab_clear(&t);
    (void)firn_mem_fail_at(1, 1);
    assert_int_equal(firn_hashtab_add(&t, &item[0].node, 1), FIRN_LIMIT);
    (void)firn_mem_fail_at(0, 0);
    assert_int_equal(t.len, 0);
}

static void test_list(void **state)
{
    (void)state;
    struct firn_list a, b, n[6];
    firn_list_init(&a);
    firn_list_init(&b);
    assert_null(firn_list_pop(&a));
    for (int i = 0; i < 6; i++)
        firn_list_push(i < 3 ? &a : &b, &n[i]);
    firn_list_splice(&a, &b);
    assert_true(firn_list_empty(&b));
    firn_list_splice(&a, &b);
    firn_list_remove(&n[0]);
    firn_list_remove(&n[0]);
    firn_list_push_front(&a, &n[0]);
    int i = 0;
    FIRN_LIST_EACH(l, nx, &a)
    {
        assert_ptr_equal(l, &n[i++]);
        firn_list_remove(l);
    }
    assert_int_equal(i, 6);
    assert_true(firn_list_empty(&a));
}

static void test_varints(void **state)
{
    (void)state;
    uint8_t b[FIRN_VARINT_MAX + 1];
    for (int i = 0; i < 2000; i++) {
        uint64_t v = rng() * rng() >> (rng() % 64), back = ~v;
        if (i < 64)
            v = UINT64_MAX >> i;
        size_t n = firn_varint_put(b, v);
        assert_int_equal(n, firn_varint_len(v));
        assert_ptr_equal(firn_varint_get(b, b + n, &back), b + n);
        assert_true(back == v);
        assert_null(firn_varint_get(b, b + n - 1, &back)); /* cut off */
    }
    uint64_t v;
    memset(b, 0x80, sizeof b);
    assert_null(firn_varint_get(b, b + sizeof b, &v)); /* never ends */
    memset(b, 0xff, 9);
    b[9] = 2; /* bit 64 */
    assert_null(firn_varint_get(b, b + 10, &v));
    b[9] = 1;
    assert_non_null(firn_varint_get(b, b + 10, &v));
    assert_true(v == UINT64_MAX);
    firn_put_be64(b, UINT64_C(0x0102030405060708));
    assert_memory_equal(b, "\1\2\3\4\5\6\7\10", 8);
    assert_true(firn_be64(b) == UINT64_C(0x0102030405060708));
    assert_int_equal(firn_le32(b), 0x04030201);
}

static void test_hashes(void **state)
{
    (void)state;
    /* RFC 3720 B.4 */
    uint8_t b[32];
    memset(b, 0, sizeof b);
    assert_int_equal(firn_crc32c(0, b, 32), 0x8a9136aa);
    memset(b, 0xff, sizeof b);
    assert_int_equal(firn_crc32c(0, b, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        b[i] = i;
    assert_int_equal(firn_crc32c(0, b, 32), 0x46dd794e);
    assert_int_equal(firn_crc32c(firn_crc32c(0, b, 13), b + 13, 19), 0x46dd794e);
    /* xxHash's own test value for no bytes. */
    assert_true(firn_xxh3("", 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(firn_xxh3_seed(b, 32, 0) == firn_xxh3(b, 32));
    assert_true(firn_xxh3_seed(b, 32, 1) != firn_xxh3(b, 32));
}

static void test_memory(void **state)
{
    (void)state;
    (void)firn_mem_fail_at(3, 0);
    void *a = firn_malloc(1), *b = firn_calloc(2, 2), *c = firn_malloc(1), *d = firn_malloc(0);
    assert_true(a && b && !c && d);
    (void)firn_mem_fail_at(2, 1);
    void *e = firn_realloc(a, 100);
    assert_true(e && !firn_malloc(1) && !firn_aligned(64, 1) && !firn_strdup("x"));
    assert_int_equal(firn_mem_fail_at(0, 0), 4);
    void *f = firn_aligned(4096, 5000);
    assert_true(f && (uintptr_t)f % 4096 == 0);
    char *s = firn_strndup("hello", 3);
    assert_string_equal(s, "hel");
    void *all[] = {b, d, e, f, s};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        firn_free(all[i]);
    firn_free(NULL);
}

static void test_status(void **state)
{
    (void)state;
    for (int s = FIRN_OK; s <= FIRN_BUG; s++)
        assert_string_not_equal(firn_status_name((enum firn_status)s), "unknown");
    assert_string_equal(firn_status_name((enum firn_status)99), "unknown");
    struct firn_err err = {{0}};
    assert_int_equal(firn_fail(&err, FIRN_LIMIT, "first %d", 1), FIRN_LIMIT);
    assert_int_equal(firn_fail(&err, FIRN_BUG, "second"), FIRN_BUG);
    assert_string_equal(err.text, "first 1");
    assert_int_equal(firn_fail(NULL, FIRN_BUG, "nobody listens"), FIRN_BUG);
    err.text[0] = '\0';
    (void)firn_fail(&err, FIRN_BUG, "%600d", 7);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

struct seen {
    uint64_t once, thrice, never;
    int points;
};

static void see(void *arg, const struct firn_sometimes *p, uint64_t count)
{
    struct seen *s = arg;
    uint64_t *of = strcmp(p->name, "base_test: once") == 0     ? &s->once
                   : strcmp(p->name, "base_test: thrice") == 0 ? &s->thrice
                   : strcmp(p->name, "base_test: never") == 0  ? &s->never
                                                               : NULL;
    assert_non_null(of);
    assert_true(strstr(p->file, "base_all_test.c") && p->line > 0);
    *of = count;
    s->points++;
}

static void test_sometimes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        FIRN_SOMETIMES("base_test: thrice");
    FIRN_SOMETIMES_IF(true, "base_test: once");
    FIRN_SOMETIMES_IF(false, "base_test: never");
    struct seen s = {.never = 1};
    firn_sometimes_each(see, &s);
    assert_int_equal(s.points, 3); /* linked means listed, reached or not */
    assert_int_equal(s.once, 1);
    assert_int_equal(s.thrice, 3);
    assert_int_equal(s.never, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),    cmocka_unit_test(test_buf),
        cmocka_unit_test(test_arena),     cmocka_unit_test(test_heap),
        cmocka_unit_test(test_hashtab),   cmocka_unit_test(test_list),
        cmocka_unit_test(test_varints),   cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_status),
        cmocka_unit_test(test_sometimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
