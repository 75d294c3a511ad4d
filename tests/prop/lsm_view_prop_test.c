/* Views of random layers (memtables over L0 over partitions with runs, slices of shared tables,
 * range tombstones, expiring keys) against a list of all that was written: points, and scans in
 * both directions, with caches from far too small to ample. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "unit/lsm_view_fixture.h"

#include <stdlib.h>

#define LAYERS_MAX 8
#define WRITES_MAX 4000
#define KEY_BYTES 12
#define NOW_MS 1000

struct write {
    uint8_t key[KEY_BYTES], end[KEY_BYTES]; /* end: of a range */
    size_t len, end_len;
    bool range, del;
    uint64_t seqno, expiry_ms;
};

struct world {
    struct vfix f;
    uint64_t rng, seqno, floor_seqno;
    unsigned keys;                           /* about how many different ones */
    struct firn_memtable *layer[LAYERS_MAX]; /* oldest first; those of tables are NULL */
    size_t nlayers;
    struct write w[WRITES_MAX];
    size_t n;
    struct firn_view *view;
};

static uint64_t draw(struct world *w, uint64_t n)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return w->rng % n;
}

static size_t draw_key(struct world *w, uint8_t out[KEY_BYTES])
{
    char text[KEY_BYTES + 1];
    int n = snprintf(text, sizeof text, "%ckey:%05u", FIRN_NS_DB0 + (int)draw(w, 2),
                     (unsigned)draw(w, w->keys));
    memcpy(out, text, (size_t)n);
    return draw(w, 40) == 0 ? 3 : (size_t)n;
}

static struct firn_slice key_of(const struct write *x)
{
    return firn_slice_of(x->key, x->len);
}

static struct firn_slice end_of(const struct write *x)
{
    return firn_slice_of(x->end, x->end_len);
}

static void write_one(struct world *w, struct firn_memtable *m, unsigned range_in)
{
    struct write *x = &w->w[w->n++];
    x->len = draw_key(w, x->key);
    x->seqno = w->seqno += 1 + draw(w, 3);
    x->range = draw(w, range_in) == 0;
    if (x->range) {
        if (draw(w, 3) == 0)
            x->end[x->end_len++] = FIRN_NS_DB0 + 1 + (uint8_t)draw(w, 2);
        else
            x->end_len = draw_key(w, x->end);
        assert_int_equal(firn_memtable_add_range(m, key_of(x), end_of(x), x->seqno), FIRN_OK);
        return;
    }
    x->del = draw(w, 5) == 0;
    x->expiry_ms = draw(w, 6) == 0 ? 1 + draw(w, 2 * NOW_MS) : 0;
    struct firn_entry e = {.key = key_of(x),
                           .value = firn_slice_of(&x->seqno, sizeof x->seqno),
                           .seqno = x->seqno,
                           .expiry_ms = x->del ? 0 : x->expiry_ms,
                           .kind = x->del ? FIRN_RECORD_DEL : FIRN_RECORD_PUT};
    if (x->del)
        e.value.len = 0;
    assert_int_equal(firn_memtable_add(m, &e), FIRN_OK);
}

static struct firn_memtable *write_layer(struct world *w)
{
    struct firn_memtable *m = NULL;
    assert_int_equal(firn_memtable_create(&m), FIRN_OK);
    unsigned range_in = draw(w, 3) ? 60 : 1000;
    for (size_t n = draw(w, 400) + 1; n > 0; n--)
        write_one(w, m, range_in);
    return m;
}

/* The newest write of key that max_seqno may see, or NULL when it is deleted or was never written.
 */
static const struct write *model_get(const struct world *w, struct firn_slice key,
                                     uint64_t max_seqno)
{
    for (size_t i = w->n; i-- > 0;) {
        const struct write *x = &w->w[i];
        if (x->seqno > max_seqno)
            continue;
        if (x->range ? firn_slice_cmp(key_of(x), key) <= 0 && firn_before_end(key, end_of(x))
                     : firn_slice_eq(key_of(x), key))
            return x->range || x->del ? NULL : x;
    }
    return NULL;
}

static void check_entry(const struct firn_entry *e, const struct write *x)
{
    assert_true(firn_slice_eq(e->key, key_of(x)));
    assert_int_equal(e->seqno, x->seqno);
    assert_int_equal(e->expiry_ms, x->expiry_ms);
    assert_true(firn_slice_eq(e->value, firn_slice_of(&x->seqno, sizeof x->seqno)));
}

/* A seqno that the view can answer for: tables hold no history. */
static uint64_t draw_seqno(struct world *w)
{
    return draw(w, 3) == 0 ? UINT64_MAX : w->floor_seqno + draw(w, w->seqno - w->floor_seqno + 1);
}

static void check_point(struct world *w)
{
    uint8_t buf[KEY_BYTES];
    struct firn_slice key = {buf, draw_key(w, buf)};
    uint64_t max_seqno = draw_seqno(w);
    const struct write *want = model_get(w, key, max_seqno);
    struct firn_read r;
    struct firn_entry e;
    firn_read_init(&r, w->f.lsm);
    enum firn_status st = vfix_get(&w->f, w->view, &r, key, max_seqno, &e);
    assert_int_equal(st, want ? FIRN_OK : FIRN_ABSENT);
    if (want)
        check_entry(&e, want);
    assert_true(r.trips <= 2);
    firn_read_clear(&r);
}

static int by_key(const void *a, const void *b)
{
    return firn_slice_cmp(key_of(*(const struct write *const *)a),
                          key_of(*(const struct write *const *)b));
}

struct scan {
    struct firn_read r;
    struct firn_iter *it;
    bool reverse;
    const struct write *want[WRITES_MAX]; /* ascending */
    size_t n, at;
};

static void scan_begin(struct world *w, struct scan *s)
{
    uint8_t a[KEY_BYTES], b[KEY_BYTES];
    struct firn_iter_options o = {.start = {a, draw(w, 3) ? draw_key(w, a) : 0},
                                  .end = {b, draw(w, 3) ? draw_key(w, b) : 0},
                                  .reverse = draw(w, 2),
                                  .max_seqno = draw_seqno(w),
                                  .now_ms = draw(w, 2) * NOW_MS};
    s->n = s->at = 0;
    s->reverse = o.reverse;
    for (size_t i = 0; i < w->n; i++) {
        const struct write *x = &w->w[i];
        if (x->range || firn_slice_cmp(key_of(x), o.start) < 0 ||
            !firn_before_end(key_of(x), o.end))
            continue;
        bool expired = o.now_ms && x->expiry_ms && x->expiry_ms <= o.now_ms;
        if (model_get(w, key_of(x), o.max_seqno) == x && !expired)
            s->want[s->n++] = x;
    }
    qsort(s->want, s->n, sizeof s->want[0], by_key);
    firn_read_init(&s->r, w->f.lsm);
    assert_int_equal(firn_iter_create(w->view, &s->r, &o, &s->it), FIRN_OK);
    memset(a, 0xee, sizeof a); /* the bounds were copied */
    memset(b, 0xee, sizeof b);
}

static bool scan_step(struct world *w, struct scan *s)
{
    struct firn_entry e;
    enum firn_status st = vfix_next(&w->f, &s->r, s->it, &e);
    if (s->at == s->n) {
        assert_int_equal(st, FIRN_ABSENT);
        assert_int_equal(vfix_next(&w->f, &s->r, s->it, &e), FIRN_ABSENT);
        return false;
    }
    assert_int_equal(st, FIRN_OK);
    check_entry(&e, s->want[s->reverse ? s->n - 1 - s->at : s->at]);
    s->at++;
    return true;
}

static void scan_end(struct scan *s)
{
    firn_iter_free(s->it);
    firn_read_clear(&s->r);
}

/* Two scans step by step in turn, so that each throws out what the other has read. */
static void check_scans(struct world *w)
{
    static struct scan a, b;
    scan_begin(w, &a);
    scan_begin(w, &b);
    bool more_a = true, more_b = true;
    while (more_a || more_b) {
        more_a = more_a && scan_step(w, &a);
        more_b = more_b && scan_step(w, &b);
        if (draw(w, 200) == 0)
            break; /* given up in the middle */
    }
    scan_end(&a);
    scan_end(&b);
}

static void make_layers(struct world *w)
{
    struct firn_slice at[3];
    uint8_t buf[3][KEY_BYTES];
    size_t n = draw(w, 4);
    for (size_t i = 0; i < n; i++) {
        uint8_t *b = buf[i];
        int len = snprintf((char *)b, KEY_BYTES, "%ckey:%05u", FIRN_NS_DB0 + (i == 2),
                           (unsigned)((i + 1) * w->keys / 4));
        at[i] = firn_slice_of(b, (size_t)len);
    }
    vfix_partitions(&w->f, at, n);
    size_t runs = draw(w, 3), l0 = draw(w, 4), memtables = 1 + draw(w, 3);
    for (size_t i = 0; i < runs + l0 + memtables; i++) {
        struct firn_memtable *m = write_layer(w);
        uint64_t table_bytes = draw(w, 2) ? 2048 : 1 << 20;
        if (i < runs)
            vfix_add_run(&w->f, m, table_bytes);
        else if (i < runs + l0)
            vfix_flush(&w->f, m, table_bytes);
        else
            w->layer[w->nlayers++] = m;
        if (i < runs + l0) {
            firn_memtable_unref(m);
            w->floor_seqno = w->seqno;
        }
    }
}

static void run(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    w->keys = draw(w, 2) ? 100 : 2000;
    static const uint64_t cache_bytes[] = {1, 16384, 65536, 4 << 20};
    struct firn_fake_options fo = {.seed = seed};
    struct firn_lsm_options lo = {.cache_bytes = cache_bytes[draw(w, 4)],
                                  .fetch_bytes_max = draw(w, 2) ? 1 : 1 << 20,
                                  .readahead_bytes = draw(w, 2) ? 0 : 2000};
    if (seed % 3 == 0) /* no flipped bits: three in a row would be CORRUPT, rightly */
        fo.faults = (struct firn_fake_faults){.lost_before = 20000, .err_503 = 20000};
    vfix_open(&w->f, &fo, &lo);
    static const uint32_t part_bytes[] = {0, 1, 100, 400}; /* one partition to one per block */
    w->f.part_bytes = part_bytes[draw(w, 4)];
    make_layers(w);
    struct firn_memtable *newest_first[LAYERS_MAX];
    for (size_t i = 0; i < w->nlayers; i++)
        newest_first[i] = w->layer[w->nlayers - 1 - i];
    w->view = vfix_view(&w->f, newest_first, w->nlayers);
    for (unsigned i = 0; i < 200; i++)
        check_point(w);
    for (unsigned i = 0; i < 15; i++)
        check_scans(w);
    firn_view_unref(w->view);
    for (size_t i = 0; i < w->nlayers; i++)
        firn_memtable_unref(w->layer[i]);
    vfix_close(&w->f);
    free(w);
}

static void views_show_what_was_written(void **state)
{
    (void)state;
    const char *one = getenv("FIRN_SEED");
    if (one) {
        run(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 60; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(views_show_what_was_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
