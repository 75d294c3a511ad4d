/* The memtable against a list of everything that was written: random writes, range deletes and
 * reads at random seqnos, points and both directions. With some seeds reads are as a
 * writer's: at ends of batches, of which the older ones are given up, or at the very end. */
#include "base/hash.h"
#include "format/record.h"
#include "lsm/memtable.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define OPS 3000
#define KEY_MAX 24

struct version {
    uint8_t key[KEY_MAX];
    size_t len;
    uint64_t seqno;
    bool del;
};
struct range {
    uint8_t start[KEY_MAX], end[KEY_MAX];
    size_t start_len, end_len;
    uint64_t seqno;
};
struct world {
    uint64_t rng, seqno;
    unsigned shape; /* of keys */
    struct firn_memtable *m;
    struct version version[OPS];
    size_t nversions;
    struct range range[OPS];
    size_t nranges;
    bool batched;
    uint64_t end[OPS]; /* of batches: reads are at end[low] … end[nends - 1], or see everything */
    size_t low, nends;
};

static uint64_t draw(struct world *w)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng;
}

/* Few distinct bytes, shared prefixes, zero bytes and all lengths: what breaks prefix comparison.
 */
static size_t draw_key(struct world *w, uint8_t out[KEY_MAX])
{
    size_t len = draw(w) % (w->shape == 0 ? 4 : KEY_MAX);
    unsigned values = w->shape == 0 ? 3 : 2;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(w->shape == 2 && i < 14 ? 'x' : draw(w) % values * 0x7f);
    return len;
}

static struct firn_slice key_of(const struct version *v)
{
    return firn_slice_of(v->key, v->len);
}

static void write_key(struct world *w)
{
    struct version *v = &w->version[w->nversions++];
    v->len = draw_key(w, v->key);
    v->seqno = w->seqno += draw(w) % 3 + 1;
    v->del = draw(w) % 4 == 0;
    struct firn_entry e = {.key = key_of(v),
                           .value = firn_slice_of(&v->seqno, v->del ? 0 : sizeof v->seqno),
                           .seqno = v->seqno,
                           .expiry_ms = v->seqno * 3,
                           .kind = v->del ? FIRN_RECORD_DEL : FIRN_RECORD_PUT};
    assert_int_equal(firn_memtable_add(w->m, &e), FIRN_OK);
}

static void close_batch(struct world *w)
{
    w->end[w->nends++] = w->seqno;
    w->low += draw(w) % (w->nends - w->low);
}

static uint64_t draw_read(struct world *w)
{
    if (!w->batched)
        return draw(w) % (w->seqno + 2);
    size_t i = w->low + draw(w) % (w->nends - w->low + 1);
    return i < w->nends ? w->end[i] : UINT64_MAX;
}

static void write_range(struct world *w)
{
    if (w->batched)
        firn_memtable_horizon(w->m, w->end[w->low], w->end[w->nends - 1]);
    struct range *r = &w->range[w->nranges++];
    r->start_len = draw_key(w, r->start);
    r->end_len = draw(w) % 4 == 0 ? 0 : draw_key(w, r->end);
    r->seqno = ++w->seqno;
    assert_int_equal(firn_memtable_add_range(w->m, firn_slice_of(r->start, r->start_len),
                                             firn_slice_of(r->end, r->end_len), r->seqno),
                     FIRN_OK);
}

static uint64_t model_covering(const struct world *w, struct firn_slice key, uint64_t max_seqno)
{
    uint64_t best = 0;
    for (size_t i = 0; i < w->nranges; i++) {
        const struct range *r = &w->range[i];
        if (r->seqno <= max_seqno &&
            firn_slice_cmp(firn_slice_of(r->start, r->start_len), key) <= 0 &&
            (r->end_len == 0 || firn_slice_cmp(key, firn_slice_of(r->end, r->end_len)) < 0))
            best = r->seqno;
    }
    return best;
}

static void check_entry(const struct firn_entry *e, const struct version *v)
{
    assert_true(firn_slice_eq(e->key, key_of(v)));
    assert_int_equal(e->seqno, v->seqno);
    assert_int_equal(e->expiry_ms, v->seqno * 3);
    assert_int_equal(e->kind, v->del ? FIRN_RECORD_DEL : FIRN_RECORD_PUT);
    assert_true(firn_slice_eq(e->value, firn_slice_of(&v->seqno, v->del ? 0 : sizeof v->seqno)));
}

static void check_point(struct world *w)
{
    uint8_t buf[KEY_MAX];
    struct firn_slice key = {buf, draw_key(w, buf)};
    uint64_t max_seqno = draw_read(w), covering = 0;
    const struct version *want = NULL;
    for (size_t i = 0; i < w->nversions; i++)
        if (w->version[i].seqno <= max_seqno && firn_slice_eq(key_of(&w->version[i]), key))
            want = &w->version[i];
    struct firn_entry e;
    enum firn_status st =
        firn_memtable_get(w->m, key, firn_xxh3(key.data, key.len), max_seqno, &e, &covering);
    assert_int_equal(st, want ? FIRN_OK : FIRN_ABSENT);
    if (want)
        check_entry(&e, want);
    assert_int_equal(covering, model_covering(w, key, max_seqno));
}

static int by_key(const void *a, const void *b)
{
    const struct version *x = *(const struct version *const *)a,
                         *y = *(const struct version *const *)b;
    int c = firn_slice_cmp(key_of(x), key_of(y));
    return c ? c : (x->seqno < y->seqno) - (x->seqno > y->seqno);
}

static int by_key_down(const void *a, const void *b)
{
    const struct version *x = *(const struct version *const *)a,
                         *y = *(const struct version *const *)b;
    int c = firn_slice_cmp(key_of(y), key_of(x));
    return c ? c : (x->seqno < y->seqno) - (x->seqno > y->seqno);
}

static void check_scan(struct world *w)
{
    static const struct version *want[OPS];
    uint8_t buf[KEY_MAX];
    struct firn_slice key = {buf, draw_key(w, buf)};
    uint64_t max_seqno = draw_read(w);
    bool reverse = draw(w) % 2;
    size_t n = 0;
    for (size_t i = 0; i < w->nversions; i++) {
        int c = firn_slice_cmp(key_of(&w->version[i]), key);
        if (w->version[i].seqno <= max_seqno && (reverse ? c < 0 || key.len == 0 : c >= 0))
            want[n++] = &w->version[i];
    }
    qsort(want, n, sizeof *want, reverse ? by_key_down : by_key);
    struct firn_memtable_iter it;
    assert_int_equal(firn_memtable_iter_init(&it, w->m, max_seqno, reverse), FIRN_OK);
    firn_memtable_iter_seek(&it, key);
    struct firn_entry e;
    for (size_t i = 0; i < n;) {
        assert_true(firn_memtable_iter_get(&it, &e));
        check_entry(&e, want[i]);
        if (draw(w) % 8) {
            firn_memtable_iter_next(&it);
            i++;
            continue;
        }
        firn_memtable_iter_skip(&it);
        size_t from = i;
        while (i < n && firn_slice_eq(key_of(want[i]), key_of(want[from])))
            i++;
    }
    assert_false(firn_memtable_iter_get(&it, &e));
}

static void check_tombs(const struct world *w)
{
    const struct firn_range_tomb *t;
    size_t n = firn_memtable_tombs(w->m, &t);
    for (size_t i = 1; i < n; i++) {
        if (firn_slice_eq(t[i].start, t[i - 1].start)) {
            assert_true(firn_slice_eq(t[i].end, t[i - 1].end));
            assert_true(t[i].seqno < t[i - 1].seqno);
        } else {
            assert_true(t[i - 1].end.len && firn_slice_cmp(t[i - 1].end, t[i].start) <= 0);
        }
    }
}

static void run(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    w->shape = (unsigned)(seed % 3);
    unsigned range_in = seed % 5 ? 100 : 10;
    w->batched = seed % 2;
    w->nends = 1; /* the end of what was before */
    assert_int_equal(firn_memtable_create(&w->m), FIRN_OK);
    for (unsigned i = 0; i < OPS; i++) {
        if (draw(w) % range_in == 0 && w->nranges < 60)
            write_range(w);
        else
            write_key(w);
        if (w->batched && draw(w) % 8 == 0)
            close_batch(w);
        check_point(w);
        if (draw(w) % 60 == 0)
            check_scan(w);
        check_tombs(w);
    }
    assert_int_equal(firn_memtable_freeze(w->m), FIRN_OK);
    check_scan(w);
    firn_memtable_unref(w->m);
    free(w);
}

static void memtable_does_what_a_list_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memtable_does_what_a_list_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
