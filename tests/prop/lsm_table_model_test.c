/* Random tables built, decoded and read back against arrays: every key and none other, in both
 * directions, range tombstones, bounds and properties; then the same with a byte damaged: an error
 * or the same answers, never others. */
#include "base/hash.h"
#include "base/mem.h"
#include "lsm/table_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// clang-format off
#include <cmocka.h>
// clang-format on

#define ENTRIES_MAX 700
#define TOMBS_MAX 12

static uint64_t rng;
static uint64_t draw(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % n;
}

struct model {
    size_t entries, tombs;
    struct firn_entry entry[ENTRIES_MAX];
    struct firn_range_tomb tomb[TOMBS_MAX];
    struct firn_arena arena;
};

static struct firn_slice text(struct model *m, const char *fmt, unsigned a, unsigned b)
{
    char buf[400];
    int n = snprintf(buf, sizeof buf, fmt, a, b);
    return firn_arena_copy(&m->arena, firn_slice_of(buf, (size_t)n));
}

/* Ascending keys of different kinds: short, long, sharing much and little. */
static void make_model(struct model *m)
{
    static const char *const shapes[] = {"\x10%06u", "\x11user:%04u:profile:%02u", "\x12%0120u-%u"};
    const char *shape = shapes[draw(3)];
    memset(m, 0, sizeof *m);
    m->entries = draw(ENTRIES_MAX);
    unsigned at = 0;
    for (size_t i = 0; i < m->entries; i++) {
        at += 1 + (unsigned)draw(5);
        struct firn_entry *e = &m->entry[i];
        e->key = text(m, shape, at, 7);
        e->value =
            draw(5) ? text(m, "value %0*u", 1 + (unsigned)draw(300), at) : firn_slice_str("");
        e->seqno = 100 + draw(1000000);
        e->expiry_ms = draw(3) ? 0 : 1 + draw(1u << 30);
        e->kind = draw(4) ? FIRN_RECORD_PUT : FIRN_RECORD_DEL;
    }
    m->tombs = m->entries ? draw(TOMBS_MAX) : 1 + draw(TOMBS_MAX - 1);
    for (size_t i = 0; i < m->tombs; i++) {
        unsigned start = (unsigned)i * 100, end = start + 1 + (unsigned)draw(100);
        m->tomb[i] = (struct firn_range_tomb){text(m, shape, start, 0), text(m, shape, end, 0),
                                              100 + draw(5000)};
        if (i + 1 == m->tombs && draw(2))
            m->tomb[i].end.len = 0;
    }
}

static void build(const struct model *m, struct firn_table_object *out)
{
    struct firn_table_options o = {
        .db = {{9}},
        .name = {FIRN_ROLE_WRITER, 3, 1 + draw(1000)},
        .base_seqno = 100,
        .max_seqno = draw(2) ? 2000000 : 0,
        .block_bytes = 64 + (uint32_t)draw(4000),
        .restart_interval = (uint32_t)draw(20),
        .filter_bits = (unsigned)draw(17),
        .codec = (enum firn_codec)draw(3),
        .hash_index = draw(2),
        .part_bytes = draw(3) ? 1 + (uint32_t)draw(600) : 0,
    };
    struct firn_table_builder *b;
    assert_int_equal(firn_table_builder_create(&o, &b), FIRN_OK);
    assert_true(firn_table_builder_empty(b));
    for (size_t i = 0; i < m->entries; i++) {
        const struct firn_entry *e = &m->entry[i];
        uint64_t h = firn_xxh3(e->key.data, e->key.len);
        assert_int_equal(firn_table_builder_add(b, e, h), FIRN_OK);
        assert_int_equal(firn_table_builder_add(b, e, h), FIRN_INVALID); /* not above the last */
    }
    for (size_t i = 0; i < m->tombs; i++)
        assert_int_equal(firn_table_builder_add_tomb(b, &m->tomb[i]), FIRN_OK);
    assert_int_equal(firn_table_builder_finish(b, out), FIRN_OK);
    firn_table_builder_free(b);
}

/* ---- reading */

struct reader {
    const struct firn_table_object *object;
    struct firn_table_parts parts; /* as the manifest names them */
    struct firn_table_head *head;
    struct firn_table_part *part[FIRN_TABLE_PARTS_MAX];
    struct firn_table_part *index; /* all of them as one */
    uint8_t *raw;
    struct firn_block block;
};

static enum firn_status open_block(struct reader *r, const struct firn_table_block *x)
{
    free(r->raw);
    r->raw = malloc(x->raw_len);
    struct firn_slice stored = firn_slice_of(r->object->bytes.data + x->offset, x->stored_len);
    enum firn_status s =
        firn_block_unpack(NULL, stored, r->head->table_id, x->offset, r->raw, x->raw_len);
    return s == FIRN_OK ? firn_block_open(firn_slice_of(r->raw, x->raw_len), &r->block) : s;
}

/* Head and partitions, each by itself, and all partitions as one index. */
static enum firn_status open_table(struct reader *r, const struct firn_table_object *o)
{
    const uint8_t *data = o->bytes.data;
    struct firn_table_loc loc = firn_table_loc_of(o->ref);
    *r = (struct reader){.object = o};
    enum firn_status s = firn_table_parts_of(o->ref, &r->parts, NULL);
    const struct firn_table_parts *p = &r->parts;
    if (s == FIRN_OK)
        s = firn_table_head_decode(firn_slice_of(data + loc.head_offset, loc.head_length), &loc,
                                   &r->head, NULL);
    uint32_t n = s == FIRN_OK ? p->sep.count : 0;
    for (uint32_t i = 0; s == FIRN_OK && i < n; i++)
        s = firn_table_part_decode(
            firn_slice_of(data + p->offset[i], firn_table_parts_bytes(p, i, i + 1)), loc.table_id,
            p, i, &r->part[i], NULL);
    if (s == FIRN_OK && n)
        s = firn_table_index_decode(
            firn_slice_of(data + p->offset[0], firn_table_parts_bytes(p, 0, n)), loc.table_id, p, 0,
            n, &r->index, NULL);
    return s;
}

static void close_table(struct reader *r)
{
    free(r->raw);
    firn_table_parts_clear(&r->parts);
    firn_table_head_free(r->head);
    for (unsigned i = 0; i < FIRN_TABLE_PARTS_MAX; i++)
        firn_table_part_free(r->part[i]);
    firn_table_part_free(r->index);
    *r = (struct reader){0};
}

/* The partitions, one behind the other, are the index of the whole table. */
static void check_parts(const struct reader *r)
{
    uint32_t at = 0;
    assert_true(firn_table_parts_same(&r->head->parts, &r->parts));
    assert_true(firn_table_parts_match(&r->parts, r->object->ref));
    for (uint32_t i = 0; i < r->parts.sep.count; i++) {
        const struct firn_table_part *p = r->part[i];
        assert_true(
            firn_slice_eq(firn_seps_get(&r->index->sep, at), firn_seps_get(&r->parts.sep, i)));
        assert_true(firn_seps_get(&r->parts.sep, i).len <= FIRN_BOUND_MAX);
        for (uint32_t k = 0; k < p->sep.count; k++, at++) {
            const struct firn_table_block *x = &p->block[k], *y = &r->index->block[at];
            assert_true(x->offset == y->offset && x->stored_len == y->stored_len &&
                        x->raw_len == y->raw_len && x->count == y->count);
            if (k)
                assert_true(
                    firn_slice_eq(firn_seps_get(&p->sep, k), firn_seps_get(&r->index->sep, at)));
        }
    }
    assert_int_equal(at, r->head->props.blocks);
}

static bool equal(const struct firn_entry *a, const struct firn_entry *b)
{
    return firn_slice_eq(a->key, b->key) && firn_slice_eq(a->value, b->value) &&
           a->seqno == b->seqno && a->expiry_ms == b->expiry_ms && a->kind == b->kind;
}

static void check_scan(struct reader *r, const struct model *m)
{
    struct firn_block_iter it = {0};
    size_t at = 0;
    for (uint32_t i = 0; r->index && i < r->index->sep.count; i++) {
        assert_int_equal(open_block(r, &r->index->block[i]), FIRN_OK);
        assert_int_equal(r->block.count, r->index->block[i].count);
        assert_int_equal(firn_block_iter_init(&it, &r->block), FIRN_OK);
        for (firn_block_iter_first(&it); it.valid; firn_block_iter_next(&it), at++)
            assert_true(at < m->entries && equal(&it.e, &m->entry[at]));
        size_t back = at;
        for (firn_block_iter_last(&it); it.valid; firn_block_iter_prev(&it))
            assert_true(equal(&it.e, &m->entry[--back]));
        assert_int_equal(at - back, r->block.count);
    }
    assert_int_equal(at, m->entries);
    firn_block_iter_clear(&it);
}

/* A point read as a node does it: partition, filter, index, block. */
static enum firn_status get(struct reader *r, struct firn_slice key, struct firn_entry *out)
{
    uint64_t h = firn_xxh3(key.data, key.len);
    if (r->parts.sep.count == 0)
        return FIRN_ABSENT;
    const struct firn_table_part *p = r->part[firn_seps_find(&r->parts.sep, key)];
    if (!firn_filter_may_have(&p->filter, h))
        return FIRN_ABSENT;
    enum firn_status s = open_block(r, &p->block[firn_seps_find(&p->sep, key)]);
    return s == FIRN_OK ? firn_block_get(&r->block, key, h, out) : s;
}

static void check_gets(struct reader *r, const struct model *m)
{
    struct firn_entry e;
    for (size_t i = 0; i < m->entries; i += 1 + draw(4)) {
        uint8_t other[500];
        struct firn_slice key = m->entry[i].key;
        assert_int_equal(get(r, key, &e), FIRN_OK);
        assert_true(equal(&e, &m->entry[i]));
        memcpy(other, key.data, key.len);
        other[key.len] = 0; /* its successor, and a key just before it */
        assert_int_equal(get(r, firn_slice_of(other, key.len + 1), &e), FIRN_ABSENT);
        assert_int_equal(get(r, firn_slice_of(other, key.len - 1), &e), FIRN_ABSENT);
    }
    assert_int_equal(get(r, firn_slice_str("\x01"), &e), FIRN_ABSENT);
    assert_int_equal(get(r, firn_slice_str("\x1f\xff"), &e), FIRN_ABSENT);
}

static void check_tombs(const struct firn_table_head *t, const struct model *m)
{
    assert_int_equal(t->tombs, m->tombs);
    for (size_t i = 0; i < m->tombs; i++) {
        assert_true(firn_slice_eq(t->tomb[i].start, m->tomb[i].start));
        assert_true(firn_slice_eq(t->tomb[i].end, m->tomb[i].end));
        assert_int_equal(t->tomb[i].seqno, m->tomb[i].seqno);
        assert_int_equal(firn_tombs_covering(t->tomb, t->tombs, m->tomb[i].start),
                         m->tomb[i].seqno);
    }
}

/* Bounds are short, cover everything, and properties count it. */
static void check_ref(const Firn__Table *ref, const struct firn_table_head *t,
                      const struct model *m)
{
    struct firn_slice lower = firn_pb_slice(&ref->lower), upper = firn_pb_slice(&ref->upper);
    assert_true(lower.len <= FIRN_BOUND_MAX && upper.len >= 1 && upper.len <= FIRN_BOUND_MAX);
    size_t deletes = 0, expiring = 0;
    for (size_t i = 0; i < m->entries; i++) {
        assert_true(firn_slice_cmp(lower, m->entry[i].key) <= 0);
        assert_true(firn_slice_cmp(m->entry[i].key, upper) < 0);
        deletes += m->entry[i].kind == FIRN_RECORD_DEL;
        expiring += m->entry[i].expiry_ms != 0;
        assert_true(ref->min_seqno <= m->entry[i].seqno && ref->max_seqno >= m->entry[i].seqno);
    }
    for (size_t i = 0; i < m->tombs; i++) {
        assert_true(firn_slice_cmp(lower, m->tomb[i].start) <= 0);
        assert_true(m->tomb[i].end.len ? firn_slice_cmp(m->tomb[i].end, upper) <= 0
                                       : firn_slice_eq(upper, firn_slice_str("\x20")));
    }
    assert_int_equal(ref->entries, m->entries);
    assert_int_equal(ref->tombstones, deletes);
    assert_int_equal(ref->range_tombstones, m->tombs);
    assert_int_equal(t->props.entries, m->entries);
    assert_int_equal(t->props.tombstones, deletes);
    assert_int_equal(t->props.expiring, expiring);
    if (m->entries) {
        assert_true(firn_slice_eq(t->props.min_key, m->entry[0].key));
        assert_true(firn_slice_eq(t->props.max_key, m->entry[m->entries - 1].key));
    }
}

static void check_footer(const struct firn_table_object *o)
{
    struct firn_table_loc loc, want = firn_table_loc_of(o->ref);
    struct firn_slice footer = firn_slice_of(o->bytes.data + o->bytes.len - FIRN_TABLE_FOOTER_BYTES,
                                             FIRN_TABLE_FOOTER_BYTES);
    assert_int_equal(firn_table_footer_decode(footer, o->bytes.len, &loc, NULL), FIRN_OK);
    assert_memory_equal(&loc, &want, sizeof loc);
    struct firn_slice header = firn_slice_of(o->bytes.data, FIRN_TABLE_HEADER_BYTES);
    assert_int_equal(firn_table_header_check(header, loc.table_id, NULL), FIRN_OK);
    assert_int_equal(firn_table_header_check(header, loc.table_id + 1, NULL), FIRN_CORRUPT);
}

static void test_round_trip(void **state)
{
    (void)state;
    static struct model m;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct firn_table_object o;
        struct reader r;
        rng = seed * 0x9e3779b97f4a7c15u;
        make_model(&m);
        if (m.entries == 0 && m.tombs == 0)
            continue;
        build(&m, &o);
        assert_int_equal(open_table(&r, &o), FIRN_OK);
        check_parts(&r);
        check_scan(&r, &m);
        check_gets(&r, &m);
        check_tombs(r.head, &m);
        check_ref(o.ref, r.head, &m);
        check_footer(&o);
        close_table(&r);
        firn_table_object_clear(&o);
        firn_arena_clear(&m.arena);
    }
}

/* One damaged byte anywhere: whoever reads it says so. */
static void test_damage(void **state)
{
    (void)state;
    static struct model m;
    rng = 4711;
    do {
        firn_arena_clear(&m.arena);
        make_model(&m);
    } while (m.entries < 50 || m.entries > 200 || m.tombs == 0);
    struct firn_table_object o;
    build(&m, &o);
    for (size_t i = FIRN_TABLE_HEADER_BYTES; i < o.bytes.len; i += 1 + draw(3)) {
        struct reader r;
        struct firn_table_loc loc;
        o.bytes.data[i] ^= (uint8_t)(1u << draw(8));
        enum firn_status s = open_table(&r, &o);
        for (uint32_t b = 0; s == FIRN_OK && b < r.index->sep.count; b++)
            s = open_block(&r, &r.index->block[b]);
        if (s == FIRN_OK)
            s = firn_table_footer_decode(
                firn_slice_of(o.bytes.data + o.bytes.len - FIRN_TABLE_FOOTER_BYTES,
                              FIRN_TABLE_FOOTER_BYTES),
                o.bytes.len, &loc, NULL);
        assert_int_equal(s, FIRN_CORRUPT);
        close_table(&r);
        firn_table_object_clear(&o);
        build(&m, &o);
    }
    firn_table_object_clear(&o);
    firn_arena_clear(&m.arena);
}

/* Memory that runs out anywhere is LIMIT, leaks nothing and breaks nothing. */
static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct firn_table_options o = {.name = {FIRN_ROLE_WRITER, 1, 1},
                                       .block_bytes = 100,
                                       .part_bytes = 100,
                                       .filter_bits = 10,
                                       .codec = FIRN_CODEC_ZSTD,
                                       .hash_index = true};
        struct firn_table_builder *b = NULL;
        struct firn_table_object out = {.ref = NULL};
        struct reader r = {0};
        (void)firn_mem_fail_at(n, 0);
        enum firn_status s = firn_table_builder_create(&o, &b);
        for (unsigned i = 0; s == FIRN_OK && i < 40; i++) {
            char key[16];
            int len = snprintf(key, sizeof key, "\x10%04u", i);
            struct firn_entry e = {firn_slice_of(key, (size_t)len), firn_slice_str("value"), i, 0,
                                   FIRN_RECORD_PUT};
            s = firn_table_builder_add(b, &e, i);
        }
        struct firn_range_tomb t = {firn_slice_str("\x10"
                                                   "1"),
                                    {NULL, 0},
                                    3};
        if (s == FIRN_OK)
            s = firn_table_builder_add_tomb(b, &t);
        if (s == FIRN_OK)
            s = firn_table_builder_finish(b, &out);
        if (s == FIRN_OK)
            s = open_table(&r, &out);
        (void)firn_mem_fail_at(0, 0);
        assert_true(s == FIRN_OK || s == FIRN_LIMIT);
        firn_table_builder_free(b);
        close_table(&r);
        firn_table_object_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
