#include "lsm/planner.h"

#include "base/mem.h"
#include "format/event.h"

static bool overlaps(const Firn__Table *t, const Firn__Partition *p)
{
    return firn_before_end(firn_table_lower(t), firn_pb_slice(&p->end)) &&
           firn_slice_cmp(firn_pb_slice(&p->start), firn_table_upper(t)) < 0;
}

/* Has the partition yet to take its part of this L0 table? */
static bool is_pending(const Firn__Table *t, const Firn__Partition *p)
{
    return firn_place_cmp(firn_place_of(t->end), firn_place_of(p->l0_upto)) > 0 && overlaps(t, p);
}

/* The bytes of a table that a partition has to take, supposing it is spread evenly. */
static uint64_t slice_bytes(const Firn__Manifest *m, const Firn__Table *t)
{
    uint64_t parts = 0;
    for (size_t i = 0; i < m->n_partitions; i++)
        parts += overlaps(t, m->partitions[i]);
    return parts ? t->size / parts : t->size;
}

static uint64_t pending_bytes(const Firn__Manifest *m, const Firn__Partition *p, size_t *tables)
{
    uint64_t sum = 0;
    *tables = 0;
    for (size_t i = 0; i < m->n_l0; i++)
        if (is_pending(m->l0[i], p)) {
            sum += slice_bytes(m, m->l0[i]);
            (*tables)++;
        }
    return sum;
}

/* Are there enough L0 tables to begin? */
static bool is_due(const Firn__Manifest *m, const struct firn_plan_options *o)
{
    if (o->all || m->n_l0 >= o->l0_force_tables)
        return m->n_l0 > 0;
    if (m->n_l0 < o->l0_compact_tables)
        return false;
    uint64_t bytes = 0, slices = 0;
    for (size_t i = 0; i < m->n_partitions; i++) {
        size_t tables;
        bytes += pending_bytes(m, m->partitions[i], &tables);
        slices += tables;
    }
    return slices && bytes / slices >= o->slice_bytes_min;
}

static uint64_t run_bytes(const void *partition, size_t run)
{
    const Firn__Run *r = ((const Firn__Partition *)partition)->runs[run];
    uint64_t sum = 0;
    for (size_t i = 0; i < r->n_tables; i++)
        sum += r->tables[i]->size;
    return sum;
}

/* See the top of the header. */
size_t firn_plan_runs(uint64_t l0_bytes, size_t runs, uint64_t (*left)(const void *arg, size_t run),
                      const void *arg)
{
    uint64_t bytes = l0_bytes;
    size_t n = 0;
    for (; n < runs; n++) {
        uint64_t b = left(arg, n);
        if (b / 2 > bytes && runs - n < FIRN_PLAN_RUNS_MAX)
            break;
        bytes += b;
    }
    return n;
}

size_t firn_plan_runs_left(const struct firn_plan *p, size_t flushes, size_t runs,
                           uint64_t (*left)(const void *arg, size_t run), const void *arg)
{
    size_t n = firn_plan_runs(p->l0_bytes, runs, left, arg), inputs = flushes;
    for (size_t i = 0; i < n; i++)
        inputs += left(arg, i) > 0;
    while (p->inputs_max && n > p->runs && inputs > p->inputs_max)
        inputs -= left(arg, --n) > 0;
    return n;
}

/* ---- garbage */

/* About how many of a table's entries a merge at the bottom would drop: expired ones, supposing
 * that their times are spread evenly, and tombstones with what each deletes. */
static double garbage_entries(const Firn__Table *t, uint64_t expired_before_ms)
{
    double share = 0;
    if (t->expiring && t->max_expiry_ms < expired_before_ms)
        share = 1;
    else if (t->expiring && t->min_expiry_ms < expired_before_ms)
        share = (double)(expired_before_ms - t->min_expiry_ms) /
                (double)(t->max_expiry_ms - t->min_expiry_ms + 1);
    return share * (double)t->expiring + 2 * (double)t->tombstones;
}

static bool is_mostly_garbage(const Firn__Manifest *m, const Firn__Partition *p)
{
    uint64_t before = firn_plan_expired_before(m);
    double entries = 0, garbage = 0;
    for (size_t i = 0; i < m->n_l0; i++)
        if (is_pending(m->l0[i], p)) {
            entries += (double)m->l0[i]->entries;
            garbage += garbage_entries(m->l0[i], before);
        }
    for (size_t r = 0; r < p->n_runs; r++)
        for (size_t i = 0; i < p->runs[r]->n_tables; i++) {
            entries += (double)p->runs[r]->tables[i]->entries;
            garbage += garbage_entries(p->runs[r]->tables[i], before);
        }
    return entries > 0 && garbage * 100 >= entries * FIRN_PLAN_GARBAGE_PERCENT;
}

/* ---- choosing */

bool firn_plan_same_flush(const Firn__Table *a, const Firn__Table *b)
{
    return firn_place_eq(firn_place_of(a->end), firn_place_of(b->end));
}

/* Leave the newest flushes to a later job where there are more inputs than may be merged at a time
 * (I7: from the oldest end, and whole log ranges). The runs stay as they were chosen for all. */
static void limit_l0(struct firn_plan *p, const Firn__Manifest *m, size_t inputs_max)
{
    size_t most = inputs_max > p->runs ? inputs_max - p->runs : 1, flushes = 0, first = p->nl0;
    if (inputs_max == 0)
        return;
    while (first > 0 && flushes <= most) {
        first--;
        flushes += first + 1 == p->nl0 || !firn_plan_same_flush(p->l0[first], p->l0[first + 1]);
    }
    if (flushes <= most)
        return;
    first++; /* the one that began a flush too many */
    for (size_t i = 0; i < first; i++) {
        uint64_t bytes = slice_bytes(m, p->l0[i]);
        p->l0_bytes -= bytes;
        p->bytes -= bytes;
    }
    p->nl0 -= first;
    memmove(p->l0, p->l0 + first, p->nl0 * sizeof *p->l0);
}

static enum firn_status make_plan(const Firn__Manifest *m, const struct firn_plan_options *o,
                                  size_t partition, bool whole, struct firn_plan *out)
{
    const Firn__Partition *p = m->partitions[partition];
    size_t tables, n = 0;
    uint64_t l0_bytes = pending_bytes(m, p, &tables), bytes = l0_bytes;
    const Firn__Table **l0 = firn_malloc((tables + 1) * sizeof *l0);
    if (!l0)
        return FIRN_LIMIT;
    for (size_t i = 0; i < m->n_l0; i++)
        if (is_pending(m->l0[i], p))
            l0[n++] = m->l0[i];
    size_t runs = whole ? p->n_runs : firn_plan_runs(l0_bytes, p->n_runs, run_bytes, p);
    for (size_t i = 0; i < runs; i++)
        bytes += run_bytes(p, i);
    *out = (struct firn_plan){
        .partition = partition,
        .start = firn_pb_slice(&p->start),
        .end = firn_pb_slice(&p->end),
        .l0 = l0,
        .nl0 = n,
        .runs = runs,
        .whole = whole,
        .bottom = runs == p->n_runs,
        .inputs_max = o->inputs_max,
        .l0_bytes = l0_bytes,
        .bytes = bytes,
    };
    limit_l0(out, m, o->inputs_max);
    return FIRN_OK;
}

enum firn_status firn_plan_choose(const Firn__Manifest *m, const struct firn_plan_options *o,
                                  struct firn_plan *out)
{
    size_t best = SIZE_MAX;
    uint64_t best_bytes = 0;
    for (size_t i = 0; i < m->n_partitions && m->n_l0 < o->l0_force_tables; i++)
        if (is_mostly_garbage(m, m->partitions[i]))
            return make_plan(m, o, i, true, out);
    if (!is_due(m, o))
        return FIRN_ABSENT;
    for (size_t i = 0; i < m->n_partitions; i++) {
        size_t tables;
        uint64_t bytes = pending_bytes(m, m->partitions[i], &tables);
        if (tables && (best == SIZE_MAX || bytes > best_bytes)) {
            best = i;
            best_bytes = bytes;
        }
    }
    return best == SIZE_MAX ? FIRN_ABSENT : make_plan(m, o, best, false, out);
}

void firn_plan_clear(struct firn_plan *p)
{
    firn_free(p->l0);
    *p = (struct firn_plan){0};
}

bool firn_plan_covered(const struct firn_range_tomb *tomb, size_t tombs, struct firn_slice lower,
                       struct firn_slice upper, uint64_t max_seqno)
{
    struct firn_slice at = lower;
    for (size_t i = firn_tombs_find(tomb, tombs, lower); i < tombs; i++) {
        if (firn_slice_cmp(tomb[i].start, at) > 0 || tomb[i].seqno <= max_seqno)
            return false;
        if (tomb[i].end.len == 0 || firn_slice_cmp(tomb[i].end, upper) >= 0)
            return true;
        at = tomb[i].end;
    }
    return false;
}

bool firn_plan_expired(const Firn__Manifest *m, const Firn__Table *t)
{
    return t->entries > 0 && t->expiring == t->entries && t->range_tombstones == 0 &&
           t->max_expiry_ms < firn_plan_expired_before(m);
}

size_t firn_plan_splits(Firn__Table *const *table, size_t tables, uint64_t partition_bytes,
                        struct firn_slice *out, size_t max)
{
    uint64_t total = 0, sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < tables; i++)
        total += table[i]->size;
    if (total <= partition_bytes)
        return 0;
    for (size_t i = 0; i + 1 < tables && n < max; i++) {
        sum += table[i]->size;
        if (sum < partition_bytes / 2)
            continue;
        out[n++] = firn_table_lower(table[i + 1]);
        sum = 0;
    }
    return n;
}

uint64_t firn_plan_expired_before(const Firn__Manifest *m)
{
    bool events = firn_events_want_expired(m->settings->notify_keyspace_events);
    return events && m->expired_to_ms < m->log_time_ms ? m->expired_to_ms : m->log_time_ms;
}
