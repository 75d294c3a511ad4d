/* What the tests of views share: a node over a fake world, a manifest made by hand, and tables
 * built from memtables. */
#ifndef FIRN_TESTS_UNIT_LSM_VIEW_FIXTURE_H
#define FIRN_TESTS_UNIT_LSM_VIEW_FIXTURE_H

#include "base/hash.h"
#include "fakes/fake_env.h"
#include "lsm/flush_build.h"
#include "lsm/view.h"
#include "manifest/check.h"

#include <stdio.h>
#include <string.h>

static const struct firn_id vfix_db = {{0xab, 0xcd, 0xef, 1, 5}};

struct vfix {
    struct firn_fake_world *w;
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_lsm *lsm;
    struct firn_manifest manifest; /* as a reply would have shown it */
    Firn__Manifest *pb;
    uint64_t number;     /* of the next table */
    uint32_t part_bytes; /* of the tables' partitions; 0 = the default */
};

static inline void vfix_open(struct vfix *f, const struct firn_fake_options *o,
                             const struct firn_lsm_options *lo)
{
    memset(f, 0, sizeof *f);
    f->w = firn_fake_world_new(o);
    f->env = firn_fake_env(firn_fake_node_add(f->w, NULL));
    assert_int_equal(firn_store_create(f->env, &(struct firn_store_options){0}, &f->store),
                     FIRN_OK);
    assert_int_equal(firn_lsm_create(f->env, f->store, lo, &f->lsm), FIRN_OK);
    f->pb = firn_pb_manifest_new();
    assert_non_null(f->pb);
    f->pb->version = 1;
    f->pb->writer->epoch = 1;
    f->pb->seqno_at_floor = UINT64_MAX / 2;
    assert_int_equal(firn_pb_set_place(&f->pb->floor, (struct firn_place){1, 0}), FIRN_OK);
    assert_int_equal(firn_pb_set_place(&f->pb->l0_start, (struct firn_place){1, 0}), FIRN_OK);
    f->manifest = (struct firn_manifest){.pb = f->pb, .db = vfix_db, .version = 1, .refs = 1};
    f->number = 1;
}

static inline bool vfix_is_idle(void *arg)
{
    return firn_lsm_idle(((struct vfix *)arg)->lsm);
}

static inline void vfix_close(struct vfix *f)
{
    assert_true(vfix_is_idle(f) || firn_fake_run_until(f->w, vfix_is_idle, f, 3600 * FIRN_SEC));
    assert_int_equal(f->manifest.refs, 1);
    assert_int_equal(firn_lsm_stats_of(f->lsm)->pinned_bytes, 0);
    firn_lsm_free(f->lsm);
    firn_store_free(f->store);
    firn_pb_manifest_free(f->pb);
    firn_fake_world_free(f->w);
}

/* Build tables of at most about table_bytes from a memtable, which is frozen, and store them. */
static inline void vfix_build(struct vfix *f, struct firn_memtable *m, uint64_t table_bytes,
                              struct firn_flush_build *b)
{
    assert_int_equal(firn_memtable_freeze(m), FIRN_OK);
    memset(b, 0, sizeof *b);
    b->memtable = m;
    b->table.db = vfix_db;
    b->table.name = (struct firn_table_name){FIRN_ROLE_WRITER, 1, f->number};
    b->table.block_bytes = 512;
    b->table.part_bytes = f->part_bytes;
    b->table.filter_bits = f->number % 3 ? 12 : 0;
    b->table.hash_index = f->number % 2;
    b->table.codec = f->number % 2 ? FIRN_CODEC_LZ4 : FIRN_CODEC_NONE;
    b->table_bytes = table_bytes;
    b->max_seqno = UINT64_MAX;
    firn_flush_build_run(b);
    assert_int_equal(b->status, FIRN_OK);
    for (size_t i = 0; i < b->count; i++) {
        char name[FIRN_NAME_MAX];
        firn_name_table(name, firn_id_short(&vfix_db), &b->object[i].name);
        firn_fake_put(f->w, name, b->object[i].bytes.data, b->object[i].bytes.len);
    }
    f->number += b->count;
}

/* Flush: the memtable, of the slots from the floor to `end`, becomes the newest of L0. */
static inline void vfix_flush_to(struct vfix *f, struct firn_memtable *m, uint64_t table_bytes,
                                 struct firn_place end)
{
    struct firn_flush_build b;
    vfix_build(f, m, table_bytes, &b);
    struct firn_place first = firn_place_of(f->pb->floor);
    for (size_t i = 0; i < b.count; i++) {
        Firn__Table *t = firn_pb_table_dup(b.object[i].ref);
        assert_non_null(t);
        assert_int_equal(firn_pb_set_place(&t->first, first), FIRN_OK);
        assert_int_equal(firn_pb_set_place(&t->end, end), FIRN_OK);
        assert_int_equal(firn_pb_insert(&f->pb->l0, &f->pb->n_l0, 0, t), FIRN_OK);
    }
    if (b.count)
        assert_int_equal(firn_pb_set_place(&f->pb->floor, end), FIRN_OK);
    firn_flush_build_clear(&b);
}

/* The same of one slot. */
static inline void vfix_flush(struct vfix *f, struct firn_memtable *m, uint64_t table_bytes)
{
    vfix_flush_to(f, m, table_bytes, (struct firn_place){1, f->pb->floor->slot + 1});
}

/* Begin with partitions divided at these keys, in order. */
static inline void vfix_partitions(struct vfix *f, const struct firn_slice *at, size_t n)
{
    for (size_t i = 0; i <= n; i++) {
        Firn__Partition *p = firn_pb_partition_new();
        assert_non_null(p);
        if (i > 0)
            assert_int_equal(firn_pb_set_bytes(&p->start, at[i - 1]), FIRN_OK);
        if (i < n)
            assert_int_equal(firn_pb_set_bytes(&p->end, at[i]), FIRN_OK);
        assert_int_equal(firn_pb_set_place(&p->l0_upto, (struct firn_place){1, 0}), FIRN_OK);
        assert_int_equal(firn_pb_insert(&f->pb->partitions, &f->pb->n_partitions, i, p), FIRN_OK);
    }
}

/* A reference to t clipped to partition p, or NULL when nothing of it lies there. */
static inline Firn__Table *vfix_slice(const Firn__Table *t, const Firn__Partition *p)
{
    struct firn_slice start = firn_pb_slice(&p->start), end = firn_pb_slice(&p->end);
    if (!firn_before_end(firn_table_lower(t), end) ||
        firn_slice_cmp(firn_table_upper(t), start) <= 0)
        return NULL;
    Firn__Table *s = firn_pb_table_dup(t);
    assert_non_null(s);
    if (firn_slice_cmp(firn_table_lower(t), start) < 0)
        assert_int_equal(firn_pb_set_bytes(&s->clip_lower, start), FIRN_OK);
    if (end.len && firn_slice_cmp(firn_table_upper(t), end) > 0)
        assert_int_equal(firn_pb_set_bytes(&s->clip_upper, end), FIRN_OK);
    return s;
}

/* The memtable becomes the newest run of every partition; its tables are shared between them. */
static inline void vfix_add_run(struct vfix *f, struct firn_memtable *m, uint64_t table_bytes)
{
    struct firn_flush_build b;
    vfix_build(f, m, table_bytes, &b);
    for (size_t k = 0; k < f->pb->n_partitions; k++) {
        Firn__Partition *p = f->pb->partitions[k];
        Firn__Run *r = firn_pb_run_new();
        assert_non_null(r);
        for (size_t i = 0; i < b.count; i++) {
            Firn__Table *t = vfix_slice(b.object[i].ref, p);
            if (t)
                assert_int_equal(firn_pb_insert(&r->tables, &r->n_tables, r->n_tables, t), FIRN_OK);
        }
        if (r->n_tables)
            assert_int_equal(firn_pb_insert(&p->runs, &p->n_runs, 0, r), FIRN_OK);
        else
            firn_pb_run_free(r);
    }
    firn_flush_build_clear(&b);
}

static inline struct firn_view *vfix_view(struct vfix *f, struct firn_memtable *const *m, size_t n)
{
    struct firn_view *v = NULL;
    struct firn_err err = {""};
    if (firn_manifest_check(f->pb, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    f->manifest.floor = firn_place_of(f->pb->floor);
    assert_int_equal(firn_view_create(f->lsm, &f->manifest, m, n, &v, &err), FIRN_OK);
    return v;
}

static inline void vfix_fetched(struct firn_read *r)
{
    *(bool *)r->arg = true;
}

static inline bool vfix_is_set(void *arg)
{
    return *(bool *)arg;
}

/* Fetch what r wants, and wait for it. */
static inline enum firn_status vfix_fetch(struct vfix *f, struct firn_read *r)
{
    bool done = false;
    assert_true(firn_read_wants(r));
    firn_read_fetch(r, 0, vfix_fetched, &done);
    assert_false(done);
    assert_true(firn_fake_run_until(f->w, vfix_is_set, &done, 3600 * FIRN_SEC));
    return firn_read_status(r);
}

static inline enum firn_status vfix_get(struct vfix *f, struct firn_view *v, struct firn_read *r,
                                        struct firn_slice key, uint64_t max_seqno,
                                        struct firn_entry *out)
{
    for (;;) {
        enum firn_status st = firn_view_get(v, r, key, max_seqno, out);
        if (st != FIRN_AGAIN)
            return st;
        st = vfix_fetch(f, r);
        if (st != FIRN_OK)
            return st;
    }
}

static inline enum firn_status vfix_next(struct vfix *f, struct firn_read *r, struct firn_iter *it,
                                         struct firn_entry *out)
{
    for (;;) {
        enum firn_status st = firn_iter_next(it, out);
        if (st != FIRN_AGAIN)
            return st;
        st = vfix_fetch(f, r);
        if (st != FIRN_OK)
            return st;
    }
}

#endif
