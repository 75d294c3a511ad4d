/* Merges of random runs against a trivial model: after a merge of the newest tables, and after one
 * of all of them, every key reads as if nothing had been merged. A model of the database below the
 * inputs shows that no tombstone is dropped early (I9). */
#include "base/hash.h"
#include "base/mem.h"
#include "lsm/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#define KEYS 200
#define RUNS_MAX 5
#define NOW 1000

static uint64_t rng;
static uint64_t draw(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % n;
}

/* What one run says about one key: nothing (seqno 0), a value, a tombstone; and what covers it. */
struct cell {
    uint64_t seqno, expiry, covering;
    bool deletes;
};

/* A table as a merge has it. */
struct opened {
    struct firn_table_parts parts;
    struct firn_table_head *head;
    struct firn_table_part *index; /* of the partitions that count; NULL: none */
};

struct run {
    struct cell cell[KEYS];
    struct firn_table_object *object;
    size_t objects;
    struct opened *open;
    struct firn_stream_table *table;
};

static bool long_keys; /* keys that differ behind byte 64: tables cannot be cut between them */

static struct firn_slice key_text(char buf[120], unsigned i)
{
    int n = long_keys ? snprintf(buf, 120, "\x10%070u:%03u", i / 40, i)
                      : snprintf(buf, 120, "\x10key:%03u%s", i, i % 3 ? "" : "-with-a-tail");
    return firn_slice_of(buf, (size_t)n);
}

static struct firn_table_options options(uint64_t number)
{
    static const enum firn_codec codecs[] = {FIRN_CODEC_NONE, FIRN_CODEC_LZ4, FIRN_CODEC_ZSTD};
    struct firn_table_options o = {
        .db = {{1, 2, 3}},
        .name = {FIRN_ROLE_COMPACTOR, 1, number},
        .block_bytes = 100 + (uint32_t)draw(600),
        .filter_bits = 10,
        .part_bytes = draw(2) ? 0 : 1 + (uint32_t)draw(200),
        .codec = codecs[draw(3)],
        .hash_index = draw(2),
    };
    return o;
}

static void keep_object(struct run *r, struct firn_table_object o)
{
    r->object = realloc(r->object, (r->objects + 1) * sizeof o);
    r->object[r->objects++] = o;
}

/* Decode what counts of an object whose keys of [t->lower, t->upper) do. */
static void open_table(const struct firn_table_object *o, struct opened *out,
                       struct firn_stream_table *t)
{
    struct firn_table_loc loc = firn_table_loc_of(o->ref);
    struct firn_err err = {{0}};
    const uint8_t *data = o->bytes.data;
    uint32_t first, end;
    assert_int_equal(loc.size, o->bytes.len);
    assert_int_equal(firn_table_parts_of(o->ref, &out->parts, &err), FIRN_OK);
    assert_int_equal(firn_table_head_decode(firn_slice_of(data + loc.head_offset, loc.head_length),
                                            &loc, &out->head, &err),
                     FIRN_OK);
    t->tomb = out->head->tomb;
    t->tombs = out->head->tombs;
    if (!firn_table_parts_range(&out->parts, t->lower, t->upper, &first, &end) || first >= end)
        return;
    struct firn_slice bytes = firn_slice_of(data + out->parts.offset[first],
                                            firn_table_parts_bytes(&out->parts, first, end));
    assert_int_equal(
        firn_table_index_decode(bytes, loc.table_id, &out->parts, first, end, &out->index, &err),
        FIRN_OK);
    t->index = out->index;
}

/* Decode the objects of a run, and let the keys of [lo, hi) count. */
static void open_run(struct run *r, struct firn_slice lo, struct firn_slice hi)
{
    r->open = calloc(r->objects + 1, sizeof *r->open);
    r->table = calloc(r->objects + 1, sizeof *r->table);
    for (size_t i = 0; i < r->objects; i++) {
        const Firn__Table *ref = r->object[i].ref;
        struct firn_slice lower = firn_table_lower(ref), upper = firn_table_upper(ref);
        if (i) /* bounds of neighbours do not overlap */
            assert_true(firn_slice_cmp(firn_table_upper(r->object[i - 1].ref), lower) <= 0);
        r->table[i] = (struct firn_stream_table){.lower = lower, .upper = upper};
        if (firn_slice_cmp(lo, lower) > 0)
            r->table[i].lower = lo;
        if (hi.len && firn_slice_cmp(hi, upper) < 0)
            r->table[i].upper = hi;
        open_table(&r->object[i], &r->open[i], &r->table[i]);
    }
}

static void free_run(struct run *r)
{
    for (size_t i = 0; i < r->objects; i++) {
        firn_table_object_clear(&r->object[i]);
        if (!r->open)
            continue;
        firn_table_parts_clear(&r->open[i].parts);
        firn_table_head_free(r->open[i].head);
        firn_table_part_free(r->open[i].index);
    }
    free(r->object);
    free(r->open);
    free(r->table);
    *r = (struct run){0};
}

static void make_cells(struct run *r, uint64_t *seqno, unsigned density)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (draw(100) < density) {
            struct cell *c = &r->cell[i];
            c->seqno = ++*seqno;
            c->deletes = draw(4) == 0;
            c->expiry = !c->deletes && draw(4) == 0 ? 1 + draw(2 * NOW) : 0;
        }
}

/* A few range deletes, some of which lie over entries of the same run, older and newer. */
static size_t make_tombs(struct run *r, uint64_t *seqno, struct firn_range_tomb *tomb,
                         char text[][2][120])
{
    size_t n = draw(4);
    for (size_t i = 0; i < n; i++) {
        unsigned a = (unsigned)draw(KEYS), b = a + 1 + (unsigned)draw(30);
        uint64_t s = ++*seqno - draw(3);
        tomb[i] = (struct firn_range_tomb){key_text(text[i][0], a), {NULL, 0}, s};
        if (b < KEYS || draw(2))
            tomb[i].end = key_text(text[i][1], b);
        for (unsigned k = a; k < KEYS && (k < b || tomb[i].end.len == 0); k++)
            if (r->cell[k].covering < s)
                r->cell[k].covering = s;
    }
    return n;
}

static void build(struct run *r, uint64_t *seqno, unsigned density, uint64_t number)
{
    char text[4][2][120];
    struct firn_range_tomb raw[4], *tomb;
    struct firn_arena arena = {0};
    size_t tombs;
    make_cells(r, seqno, density);
    size_t n = make_tombs(r, seqno, raw, text);
    assert_int_equal(firn_tombs_fragment(raw, n, &arena, &tomb, &tombs), FIRN_OK);
    struct firn_table_options o = options(number);
    struct firn_table_builder *b;
    assert_int_equal(firn_table_builder_create(&o, &b), FIRN_OK);
    for (unsigned i = 0; i < KEYS; i++) {
        const struct cell *c = &r->cell[i];
        char k[120], v[32];
        int vn = snprintf(v, sizeof v, "value %llu", (unsigned long long)c->seqno);
        struct firn_entry e = {key_text(k, i), firn_slice_of(v, c->deletes ? 0 : (size_t)vn),
                               c->seqno, c->expiry, c->deletes ? FIRN_RECORD_DEL : FIRN_RECORD_PUT};
        if (c->seqno)
            assert_int_equal(firn_table_builder_add(b, &e, firn_xxh3(e.key.data, e.key.len)),
                             FIRN_OK);
    }
    for (size_t i = 0; i < tombs; i++)
        assert_int_equal(firn_table_builder_add_tomb(b, &tomb[i]), FIRN_OK);
    if (!firn_table_builder_empty(b)) {
        struct firn_table_object out;
        assert_int_equal(firn_table_builder_finish(b, &out), FIRN_OK);
        keep_object(r, out);
    }
    firn_table_builder_free(b);
    firn_arena_clear(&arena);
}

static void feed(struct firn_merge *m, struct run *const *run, size_t i)
{
    struct firn_table_stream *s = firn_merge_stream(m, i);
    size_t t;
    uint64_t offset, length;
    assert_true(firn_table_stream_want(s, draw(1500), &t, &offset, &length));
    struct firn_slice bytes = firn_slice_of(run[i]->object[t].bytes.data + offset, length);
    assert_int_equal(firn_table_stream_feed(s, bytes), FIRN_OK);
}

static void merge(struct run *const *run, size_t runs, bool bottom, struct run *out)
{
    struct firn_merge_run_def def[RUNS_MAX];
    for (size_t i = 0; i < runs; i++)
        def[i] = (struct firn_merge_run_def){run[i]->table, run[i]->objects};
    struct firn_merge_options o = {
        .run = def,
        .runs = runs,
        .table = options(1000),
        .table_bytes = 500 + draw(4000),
        .buffer_bytes = 1 << 20,
        .bottom = bottom,
        .expired_before_ms = NOW,
    };
    struct firn_merge *m;
    assert_int_equal(firn_merge_create(&o, &m), FIRN_OK);
    for (;;) {
        enum firn_merge_event ev = firn_merge_run(m);
        assert_int_not_equal(ev, FIRN_MERGE_FAILED);
        if (ev == FIRN_MERGE_DONE)
            break;
        if (ev == FIRN_MERGE_INPUT)
            feed(m, run, firn_merge_needs(m));
        else
            keep_object(out, firn_merge_take(m));
    }
    firn_merge_free(m);
}

/* Read the cells of a run back from its tables. */
static void read_back(struct run *r)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char k[120];
        struct firn_slice key = key_text(k, i);
        struct cell *c = &r->cell[i];
        *c = (struct cell){0};
        for (size_t t = 0; t < r->objects; t++) {
            const struct opened *m = &r->open[t];
            if (firn_slice_cmp(key, r->table[t].lower) < 0 ||
                !firn_before_end(key, r->table[t].upper))
                continue;
            uint64_t cover = firn_tombs_covering(m->head->tomb, m->head->tombs, key);
            if (cover > c->covering)
                c->covering = cover;
            if (!m->index)
                continue;
            const struct firn_table_block *x =
                &m->index->block[firn_seps_find(&m->index->sep, key)];
            uint8_t *raw = malloc(x->raw_len);
            struct firn_block b;
            struct firn_entry e;
            uint64_t h = firn_xxh3(key.data, key.len);
            struct firn_slice stored =
                firn_slice_of(r->object[t].bytes.data + x->offset, x->stored_len);
            assert_int_equal(
                firn_block_unpack(NULL, stored, m->index->table_id, x->offset, raw, x->raw_len),
                FIRN_OK);
            assert_int_equal(firn_block_open(firn_slice_of(raw, x->raw_len), &b), FIRN_OK);
            if (firn_block_get(&b, key, h, &e) == FIRN_OK) {
                assert_int_equal(c->seqno, 0); /* in one table only */
                *c = (struct cell){e.seqno, e.expiry_ms, c->covering, firn_kind_deletes(e.kind)};
                char v[32];
                int n = snprintf(v, sizeof v, "value %llu", (unsigned long long)e.seqno);
                if (!c->deletes)
                    assert_true(firn_slice_eq(e.value, firn_slice_of(v, (size_t)n)));
            }
            free(raw);
        }
    }
}

/* The value of key i as read through the runs, at a time when what expires before NOW has: its
 * seqno, or 0. */
static uint64_t lookup(struct run *const *run, size_t runs, unsigned i)
{
    uint64_t covering = 0;
    struct cell best = {0};
    for (size_t r = 0; r < runs; r++) {
        const struct cell *c = &run[r]->cell[i];
        if (c->covering > covering)
            covering = c->covering;
        if (c->seqno > best.seqno)
            best = *c;
    }
    if (best.seqno < covering || best.deletes || (best.expiry && best.expiry < NOW))
        return 0;
    return best.seqno;
}

/* No more is kept than has to be. */
static void check_minimal(const struct run *out, bool bottom)
{
    for (size_t t = 0; t < out->objects; t++) {
        const Firn__Table *ref = out->object[t].ref;
        assert_true(ref->entries || ref->range_tombstones);
        if (bottom) {
            assert_int_equal(ref->tombstones, 0);
            assert_int_equal(ref->range_tombstones, 0);
            assert_true(ref->min_expiry_ms == 0 || ref->min_expiry_ms >= NOW);
        }
    }
}

/* Runs are numbered newest first. Merge all but the oldest: then read with and without what lies
 * below; then merge the result with the oldest one. */
static void one_round(uint64_t seed)
{
    rng = seed * 0x9e3779b97f4a7c15u + 1;
    long_keys = seed % 5 == 4;
    struct run in[RUNS_MAX] = {0}, upper = {0}, all = {0};
    size_t runs = 2 + draw(RUNS_MAX - 1);
    uint64_t seqno = 5;
    struct run *ptr[RUNS_MAX], *two[2] = {&upper, &in[runs - 1]};
    struct firn_slice none = {NULL, 0};
    for (size_t i = runs; i-- > 0;) {
        ptr[i] = &in[i];
        build(&in[i], &seqno, 5 + (unsigned)draw(60), i + 1);
        open_run(&in[i], none, none);
    }
    merge(ptr, runs - 1, false, &upper);
    open_run(&upper, none, none);
    read_back(&upper);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(lookup(two, 2, i), lookup(ptr, runs, i));
    merge(two, 2, true, &all);
    open_run(&all, none, none);
    read_back(&all);
    check_minimal(&all, true);
    struct run *last = &all;
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(lookup(&last, 1, i), lookup(ptr, runs, i));
    free_run(&all);
    free_run(&upper);
    for (size_t i = 0; i < runs; i++)
        free_run(&in[i]);
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++)
        one_round(seed);
}

/* Only the keys of a range, from tables that go beyond it. */
static void test_range(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        rng = seed * 0x9e3779b97f4a7c15u + 7;
        long_keys = false;
        struct run in[3] = {0}, out = {0}, *ptr[3], *one = &out;
        uint64_t seqno = 5;
        char lo_text[120], hi_text[120];
        unsigned lo = (unsigned)draw(KEYS / 2), hi = lo + 1 + (unsigned)draw(KEYS / 2);
        for (size_t i = 3; i-- > 0;) {
            ptr[i] = &in[i];
            build(&in[i], &seqno, 30, i + 1);
            open_run(&in[i], key_text(lo_text, lo), key_text(hi_text, hi));
        }
        merge(ptr, 3, seed % 2, &out);
        open_run(&out, (struct firn_slice){NULL, 0}, (struct firn_slice){NULL, 0});
        read_back(&out);
        for (unsigned i = 0; i < KEYS; i++) {
            bool inside = i >= lo && i < hi;
            assert_int_equal(lookup(&one, 1, i), inside ? lookup(ptr, 3, i) : 0);
            if (!inside)
                assert_true(out.cell[i].seqno == 0 && out.cell[i].covering == 0);
        }
        free_run(&out);
        for (size_t i = 0; i < 3; i++)
            free_run(&in[i]);
    }
}

/* A damaged block ends the merge with CORRUPT, and nothing leaks. */
static void test_damage(void **state)
{
    (void)state;
    rng = 99;
    long_keys = false;
    struct run in = {0};
    uint64_t seqno = 5;
    build(&in, &seqno, 90, 1);
    open_run(&in, (struct firn_slice){NULL, 0}, (struct firn_slice){NULL, 0});
    in.object[0].bytes.data[in.open[0].index->block[0].offset + 3] ^= 1;
    struct firn_merge_run_def def = {in.table, in.objects};
    struct firn_merge_options o = {
        .run = &def, .runs = 1, .table = options(9), .table_bytes = 1000, .buffer_bytes = 1 << 20};
    struct firn_merge *m;
    struct run *ptr = &in;
    assert_int_equal(firn_merge_create(&o, &m), FIRN_OK);
    assert_int_equal(firn_merge_run(m), FIRN_MERGE_INPUT);
    feed(m, &ptr, 0);
    assert_int_equal(firn_merge_run(m), FIRN_MERGE_FAILED);
    assert_int_equal(firn_merge_status(m), FIRN_CORRUPT);
    assert_int_equal(firn_merge_run(m), FIRN_MERGE_FAILED);
    firn_merge_free(m);
    free_run(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
