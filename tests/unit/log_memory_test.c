/* What a node keeps of the log in memory (log/memory): random slots, freezes and flushes, whose
 * ends have nothing to do with each other. Whatever parts are kept below the floor, there is never
 * a gap between them, the oldest go first, and a view over them and the tables shows every key as
 * it is at any seqno a read may name (I8). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "log/memory.h"
#include "obs/budget.h"
#include "unit/lsm_view_fixture.h"

#define KEYS 24
#define OPS_MAX 4000
#define STEPS 400
#define WARM_MAX 4

struct op {
    uint64_t slot, seqno;
    unsigned key, end; /* end: of a range delete, 0 = none */
    bool del;
};

struct node {
    struct vfix f;
    struct firn_budget budget;
    struct firn_memory memory;
    struct op op[OPS_MAX];
    size_t ops;
    uint64_t next_slot, seqno, seqno_at_floor;
};

static uint64_t draw(struct node *n, uint64_t below)
{
    return firn_fake_random(n->f.w) % below;
}

static struct firn_slice key_of(unsigned i, char buf[16])
{
    return firn_slice_of(buf, (size_t)snprintf(buf, 16, "\x10k%02u", i));
}

/* The record of an op, and its key and value in the buffers. */
static struct firn_record record_of(const struct op *o, char key[16], char value[32])
{
    struct firn_record r = {.key = key_of(o->key, key), .kind = FIRN_RECORD_PUT};
    if (o->end) {
        r.kind = FIRN_RECORD_RANGEDEL;
        r.end_key = key_of(o->end, value);
    } else if (o->del) {
        r.kind = FIRN_RECORD_DEL;
    } else {
        r.value = firn_slice_of(value,
                                (size_t)snprintf(value, 32, "v%llu", (unsigned long long)o->seqno));
    }
    return r;
}

/* The seqno of the key's value at `seqno`; 0: it has none. */
static uint64_t model(const struct node *n, unsigned key, uint64_t seqno)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n->ops && n->op[i].seqno <= seqno; i++) {
        const struct op *o = &n->op[i];
        if (o->end ? o->key <= key && key < o->end : o->key == key)
            at = o->end || o->del ? 0 : o->seqno;
    }
    return at;
}

static void open_node(struct node *n, uint64_t seed)
{
    static const struct firn_lsm_options lo = {.cache_bytes = 4 << 20};
    memset(n, 0, sizeof *n);
    vfix_open(&n->f, &(struct firn_fake_options){.seed = seed}, &lo);
    vfix_partitions(&n->f, NULL, 0);
    n->f.manifest.floor = firn_place_of(n->f.pb->floor);
    firn_budget_init(&n->budget, 1 << 30);
    assert_int_equal(firn_memory_init(&n->memory, (struct firn_place){1, 0}, &n->budget), FIRN_OK);
}

static void close_node(struct node *n)
{
    firn_memory_deinit(&n->memory);
    assert_int_equal(n->budget.part[FIRN_BUDGET_MEMTABLES].used, 0);
    vfix_close(&n->f);
}

static void add_slot(struct node *n)
{
    for (uint64_t k = 1 + draw(n, 4); k && n->ops < OPS_MAX; k--) {
        struct op *o = &n->op[n->ops++];
        *o = (struct op){n->next_slot, ++n->seqno, (unsigned)draw(n, KEYS), 0, draw(n, 4) == 0};
        if (draw(n, 10) == 0)
            o->end = o->key + 1 + (unsigned)draw(n, 6);
        char key[16], value[32];
        struct firn_record r = record_of(o, key, value);
        assert_int_equal(
            firn_memory_put(&n->memory, &r, o->seqno, (struct firn_place){1, n->next_slot}),
            FIRN_OK);
    }
    firn_memory_slot_ends(&n->memory, (struct firn_place){1, n->next_slot++}, n->next_slot);
}

/* What somebody else flushed: the slots from the floor to a place of its choice. */
static void flush(struct node *n)
{
    uint64_t from = n->f.pb->floor->slot;
    if (from == n->next_slot)
        return;
    uint64_t end = from + 1 + draw(n, n->next_slot - from);
    struct firn_memtable *m = NULL;
    assert_int_equal(firn_memtable_create(&m), FIRN_OK);
    for (size_t i = 0; i < n->ops; i++) {
        const struct op *o = &n->op[i];
        char key[16], value[32];
        struct firn_record r = record_of(o, key, value);
        if (o->slot < from || o->slot >= end)
            continue;
        struct firn_entry e = {.key = r.key, .value = r.value, .seqno = o->seqno, .kind = r.kind};
        enum firn_status s = o->end ? firn_memtable_add_range(m, r.key, r.end_key, o->seqno)
                                    : firn_memtable_add(m, &e);
        assert_int_equal(s, FIRN_OK);
        n->seqno_at_floor = o->seqno;
    }
    vfix_flush_to(&n->f, m, 1 << 30, (struct firn_place){1, end});
    n->f.manifest.floor = firn_place_of(n->f.pb->floor);
    firn_memtable_unref(m);
}

static void check_reads(struct node *n, struct firn_view *v, uint64_t seqno)
{
    for (unsigned i = 0; i < KEYS; i++) {
        struct firn_read r;
        struct firn_entry e = {.seqno = 0};
        char key[16];
        firn_read_init(&r, n->f.lsm);
        enum firn_status s = vfix_get(&n->f, v, &r, key_of(i, key), seqno, &e);
        uint64_t want = model(n, i, seqno);
        if (s == FIRN_OK && firn_kind_deletes(e.kind))
            s = FIRN_ABSENT;
        assert_int_equal(s, want ? FIRN_OK : FIRN_ABSENT);
        if (want)
            assert_int_equal(e.seqno, want);
        firn_read_clear(&r);
    }
}

/* L0 tables with slots before the view's memory; the others are left out. */
static size_t tables_below(const struct node *n, struct firn_place from)
{
    size_t count = 0;
    for (size_t i = 0; i < n->f.pb->n_l0; i++)
        count += firn_place_cmp(firn_place_of(n->f.pb->l0[i]->first), from) < 0;
    return count;
}

static void check_parts(const struct node *n, size_t warm)
{
    const struct firn_memory *m = &n->memory;
    struct firn_place floor = n->f.manifest.floor;
    uint64_t bytes = 0;
    assert_true(m->warm <= warm && m->warm < m->parts);
    assert_true(firn_place_cmp(firn_memory_first(m), floor) <= 0);
    for (size_t i = 0; i < m->parts; i++) {
        const struct firn_memory_part *p = &m->part[i];
        if (i + 1 < m->parts)
            assert_true(firn_place_eq(p->end, p[1].first) && firn_memtable_frozen(p->table));
        if (i + 1 < m->parts) /* warm is exactly what is in tables */
            assert_int_equal(i < m->warm, firn_place_cmp(p->end, floor) <= 0);
        bytes += firn_memtable_bytes(p->table);
    }
    assert_int_equal(m->part[m->parts - 1].end.slot, n->next_slot);
    assert_int_equal(firn_memory_bytes(m), bytes + m->gone_bytes);
    assert_int_equal(n->budget.part[FIRN_BUDGET_MEMTABLES].used, firn_memory_bytes(m));
}

/* Take the view of the manifest as a reader does, and look through it. */
static struct firn_view *take(struct node *n, size_t warm)
{
    struct firn_view *v = NULL;
    struct firn_err err = {""};
    struct firn_place newest = firn_memory_active(&n->memory)->first;
    assert_int_equal(firn_memory_view(&n->memory, warm, n->f.lsm, &n->f.manifest, &v, &err),
                     FIRN_OK);
    firn_memory_flushed(&n->memory, n->f.manifest.floor, warm);
    assert_true(firn_place_eq(firn_memory_active(&n->memory)->first, newest));
    check_parts(n, warm);
    assert_int_equal(firn_view_memtables(v), n->memory.parts);
    assert_int_equal(firn_view_l0_tables(v), tables_below(n, firn_memory_first(&n->memory)));
    check_reads(n, v, n->seqno);
    if (n->seqno > n->seqno_at_floor)
        check_reads(n, v, n->seqno_at_floor + draw(n, n->seqno - n->seqno_at_floor));
    return v;
}

static void views_over_warm_parts_show_all_there_is(void **state)
{
    (void)state;
    static struct node n;
    bool kept_some = false, partly = false;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct firn_view *held = NULL;
        uint64_t held_seqno = 0;
        open_node(&n, seed);
        for (size_t i = 0; i < STEPS; i++) {
            uint64_t what = draw(&n, 10);
            if (what < 5) {
                add_slot(&n);
            } else if (what < 7) {
                assert_int_equal(firn_memory_rotate(&n.memory), FIRN_OK);
            } else if (what < 9) {
                flush(&n);
                struct firn_view *v = take(&n, draw(&n, WARM_MAX + 1));
                kept_some |= n.memory.warm > 0;
                partly |= tables_below(&n, firn_memory_first(&n.memory)) < n.f.pb->n_l0 &&
                          firn_place_cmp(firn_memory_first(&n.memory), n.f.manifest.floor) < 0;
                firn_view_unref(v);
            } else { /* a read that takes long: what memory lets go of stays with it */
                if (held)
                    check_reads(&n, held, held_seqno);
                firn_view_unref(held);
                held = take(&n, 0);
                held_seqno = n.seqno;
            }
        }
        firn_view_unref(held);
        firn_memory_sweep(&n.memory);
        assert_int_equal(n.memory.gone_bytes, 0);
        close_node(&n);
    }
    assert_true(kept_some && partly);
}

/* The newest warm parts stay, and sums speak of the others alone. */
static void the_oldest_go_first(void **state)
{
    (void)state;
    static struct node n;
    open_node(&n, 7);
    for (size_t i = 0; i < 5; i++) {
        add_slot(&n);
        assert_int_equal(firn_memory_rotate(&n.memory), FIRN_OK);
    }
    struct firn_place floor = {1, 4};
    firn_memory_flushed(&n.memory, floor, 3);
    assert_int_equal(n.memory.warm, 3);
    assert_int_equal(firn_memory_first(&n.memory).slot, 1);
    assert_int_equal(firn_memory_slots(&n.memory), 1);
    assert_int_equal(firn_memory_raw_bytes(&n.memory), n.memory.part[3].raw_bytes);
    assert_int_equal(firn_memory_unflushed(&n.memory),
                     n.memory.part[3].bytes + n.memory.part[4].bytes);
    assert_ptr_equal(firn_memory_oldest_frozen(&n.memory), &n.memory.part[3]);
    firn_memory_flushed(&n.memory, floor, 1);
    assert_int_equal(n.memory.warm, 1);
    assert_int_equal(firn_memory_first(&n.memory).slot, 3);
    firn_memory_flushed(&n.memory, (struct firn_place){1, 5}, 0);
    assert_int_equal(n.memory.parts, 1);
    assert_null(firn_memory_oldest_frozen(&n.memory));
    close_node(&n);
}

/* A dropped table fills memory as long as a read holds it. Nobody says when the read ends: who
 * waits for memory sweeps. */
static void what_a_read_held_goes_with_a_sweep(void **state)
{
    (void)state;
    static struct node n;
    open_node(&n, 8);
    for (size_t i = 0; i < 5; i++)
        add_slot(&n);
    struct firn_view *held = take(&n, 0);
    assert_int_equal(firn_memory_rotate(&n.memory), FIRN_OK);
    n.budget.part[FIRN_BUDGET_MEMTABLES].share = firn_memory_bytes(&n.memory);
    assert_true(firn_budget_full(&n.budget, FIRN_BUDGET_MEMTABLES));
    firn_memory_flushed(&n.memory, (struct firn_place){1, n.next_slot}, 0);
    assert_int_equal(n.memory.ngone, 1);
    firn_memory_sweep(&n.memory);
    assert_int_equal(n.memory.ngone, 1);
    assert_true(firn_budget_full(&n.budget, FIRN_BUDGET_MEMTABLES));
    firn_view_unref(held);
    firn_memory_sweep(&n.memory);
    assert_int_equal(n.memory.ngone, 0);
    assert_false(firn_budget_full(&n.budget, FIRN_BUDGET_MEMTABLES));
    close_node(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_over_warm_parts_show_all_there_is),
        cmocka_unit_test(the_oldest_go_first),
        cmocka_unit_test(what_a_read_held_goes_with_a_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
