#include "manifest/check.h"

#include "format/key.h"

/* Features that this program knows, of databases it may read and change. None has been needed yet.
 */
static bool feature_known(const char *name)
{
    (void)name;
    return false;
}

static enum firn_status check_list(Firn__Feature *const *f, size_t n, const char *verb,
                                   struct firn_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!feature_known(f[i]->name))
            return firn_fail(err, FIRN_INVALID,
                             "to %s this database a program must know \"%s\", which Firn has from "
                             "version %s on: use that one or a newer one",
                             verb, f[i]->name, f[i]->since[0] ? f[i]->since : "(unknown)");
    return FIRN_OK;
}

enum firn_status firn_manifest_check_features(const Firn__Manifest *m, bool commit,
                                              struct firn_err *err)
{
    enum firn_status st = check_list(m->features_to_read, m->n_features_to_read, "read", err);
    if (st == FIRN_OK && commit)
        st = check_list(m->features_to_commit, m->n_features_to_commit, "change", err);
    return st;
}

/* ---- one table */

static enum firn_status bad_table(const Firn__Table *t, const char *what, struct firn_err *err)
{
    return firn_fail(err, FIRN_CORRUPT, "table %c%llu-%llu %s",
                     t->role == FIRN__TABLE_ROLE__WRITER ? 'w' : 'c', (unsigned long long)t->epoch,
                     (unsigned long long)t->number, what);
}

/* I10: of an epoch of its role that has been. */
static enum firn_status check_table(const Firn__Manifest *m, const Firn__Table *t,
                                    struct firn_err *err)
{
    const Firn__Role *r = t->role == FIRN__TABLE_ROLE__WRITER ? m->writer : m->compactor;
    if (t->epoch > r->epoch)
        return bad_table(t, "is of an epoch that has not been (I10)", err);
    if (t->max_seqno > m->seqno_at_floor)
        return bad_table(t, "holds a seqno above the floor's", err);
    return FIRN_OK;
}

/* ---- L0 (I7) */

static bool same_range(const Firn__Table *a, const Firn__Table *b)
{
    return firn_place_eq(firn_place_of(a->first), firn_place_of(b->first)) &&
           firn_place_eq(firn_place_of(a->end), firn_place_of(b->end));
}

static bool keys_overlap(const Firn__Table *a, const Firn__Table *b)
{
    return firn_slice_cmp(firn_table_lower(a), firn_table_upper(b)) < 0 &&
           firn_slice_cmp(firn_table_lower(b), firn_table_upper(a)) < 0;
}

/* Table i of L0 against the newer ones before it. Tables of one range (one flush) follow each
 * other. */
static enum firn_status check_l0_neighbour(const Firn__Manifest *m, size_t i, struct firn_err *err)
{
    const Firn__Table *t = m->l0[i];
    if (i == 0)
        return firn_place_eq(firn_place_of(t->end), firn_place_of(m->floor))
                   ? FIRN_OK
                   : bad_table(t, "is the newest of L0 but does not end at the floor (I7)", err);
    if (!same_range(t, m->l0[i - 1]))
        return firn_place_eq(firn_place_of(t->end), firn_place_of(m->l0[i - 1]->first))
                   ? FIRN_OK
                   : bad_table(t, "does not end in L0 where the next newer one begins (I7)", err);
    for (size_t k = i; k-- > 0 && same_range(t, m->l0[k]);)
        if (keys_overlap(t, m->l0[k]))
            return bad_table(t, "overlaps another one of the same flush", err);
    return FIRN_OK;
}

static enum firn_status check_l0(const Firn__Manifest *m, struct firn_err *err)
{
    struct firn_place oldest = firn_place_of(m->floor);
    for (size_t i = 0; i < m->n_l0; i++) {
        const Firn__Table *t = m->l0[i];
        enum firn_status st = check_table(m, t, err);
        if (st != FIRN_OK)
            return st;
        if (firn_place_cmp(firn_place_of(t->first), firn_place_of(t->end)) >= 0)
            return bad_table(t, "has an empty log range in L0", err);
        st = check_l0_neighbour(m, i, err);
        if (st != FIRN_OK)
            return st;
        oldest = firn_place_of(t->first);
    }
    int c = firn_place_cmp(firn_place_of(m->l0_start), oldest);
    if (m->n_l0 ? c != 0 : c > 0)
        return firn_fail(err, FIRN_CORRUPT, "the manifest's l0_start is not where L0 begins (I7)");
    return FIRN_OK;
}

/* ---- L1 (I8) */

static enum firn_status check_run(const Firn__Manifest *m, const Firn__Partition *p,
                                  const Firn__Run *r, struct firn_err *err)
{
    struct firn_slice at = firn_pb_slice(&p->start), end = firn_pb_slice(&p->end);
    if (r->n_tables == 0)
        return firn_fail(err, FIRN_CORRUPT, "the manifest has a run without tables");
    for (size_t i = 0; i < r->n_tables; i++) {
        const Firn__Table *t = r->tables[i];
        enum firn_status st = check_table(m, t, err);
        if (st != FIRN_OK)
            return st;
        if (firn_slice_cmp(firn_table_lower(t), at) < 0)
            return bad_table(
                t, "overlaps the one before it in its run, or its partition's start (I8)", err);
        at = firn_table_upper(t);
        if (end.len && firn_slice_cmp(at, end) > 0)
            return bad_table(t, "reaches behind the end of its partition (I8)", err);
    }
    return FIRN_OK;
}

static enum firn_status check_partitions(const Firn__Manifest *m, struct firn_err *err)
{
    if (m->n_partitions == 0 || m->partitions[0]->start.len ||
        m->partitions[m->n_partitions - 1]->end.len)
        return firn_fail(err, FIRN_CORRUPT, "the partitions do not cover the key space (I8)");
    for (size_t i = 0; i < m->n_partitions; i++) {
        const Firn__Partition *p = m->partitions[i];
        struct firn_slice start = firn_pb_slice(&p->start), end = firn_pb_slice(&p->end);
        bool last = i + 1 == m->n_partitions;
        if (end.len ? firn_slice_cmp(start, end) >= 0 : !last)
            return firn_fail(err, FIRN_CORRUPT, "partition %zu is empty or unbounded (I8)", i);
        if (!last && !firn_slice_eq(end, firn_pb_slice(&m->partitions[i + 1]->start)))
            return firn_fail(err, FIRN_CORRUPT,
                             "partition %zu does not begin where the one before it ends (I8)",
                             i + 1);
        if (firn_place_cmp(firn_place_of(p->l0_upto), firn_place_of(m->floor)) > 0)
            return firn_fail(err, FIRN_CORRUPT, "partition %zu has passed the floor", i);
        for (size_t k = 0; k < p->n_runs; k++) {
            enum firn_status st = check_run(m, p, p->runs[k], err);
            if (st != FIRN_OK)
                return st;
        }
    }
    return FIRN_OK;
}

enum firn_status firn_manifest_check(const Firn__Manifest *m, struct firn_err *err)
{
    struct firn_place floor = firn_place_of(m->floor);
    if (firn_place_cmp(firn_place_of(m->kept), floor) > 0)
        return firn_fail(err, FIRN_CORRUPT, "the manifest's kept lies behind its floor");
    if (floor.epoch > m->writer->epoch + 1 ||
        (floor.epoch == m->writer->epoch + 1 && floor.slot > 0))
        return firn_fail(err, FIRN_CORRUPT,
                         "the manifest's floor lies in an epoch that has not been");
    if (m->expired_to_ms > m->log_time_ms)
        return firn_fail(err, FIRN_CORRUPT, "the manifest's expired_to is above its log_time");
    if (m->version < 1 || m->parent_version >= m->version)
        return firn_fail(err, FIRN_CORRUPT, "version %llu of the manifest has parent %llu",
                         (unsigned long long)m->version, (unsigned long long)m->parent_version);
    enum firn_status st = check_l0(m, err);
    if (st == FIRN_OK)
        st = check_partitions(m, err);
    for (size_t i = 0; st == FIRN_OK && i < m->n_adopted; i++)
        st = check_table(m, m->adopted[i], err);
    for (size_t i = 0; st == FIRN_OK && i < m->n_garbage; i++)
        if (m->garbage[i]->version > m->version)
            st = firn_fail(err, FIRN_CORRUPT, "garbage was dropped by a version to come");
    for (size_t i = 0; st == FIRN_OK && i < m->n_checkpoints; i++)
        if (m->checkpoints[i]->version >= m->version)
            st = firn_fail(err, FIRN_CORRUPT, "checkpoint %s is of a version to come",
                           m->checkpoints[i]->id);
    return st;
}

/* ---- steps */

static enum firn_status went_back(const char *what, uint64_t prev, uint64_t next,
                                  struct firn_err *err)
{
    return firn_fail(
        err, FIRN_CORRUPT,
        "the manifest's %s went back from %llu to %llu: somebody restored an old one, or "
        "the store lost writes",
        what, (unsigned long long)prev, (unsigned long long)next);
}

static bool settings_fixed_equal(const Firn__Settings *a, const Firn__Settings *b)
{
    return a->batch_bytes_max == b->batch_bytes_max && a->value_max == b->value_max &&
           a->block_bytes == b->block_bytes && a->empty_value_deletes == b->empty_value_deletes &&
           a->unflushed_bytes_max == b->unflushed_bytes_max &&
           a->wal_slots_max == b->wal_slots_max && a->wal_grace_ms == b->wal_grace_ms &&
           a->clock_skew_max_ms == b->clock_skew_max_ms;
}

enum firn_status firn_manifest_check_step(const Firn__Manifest *prev, const Firn__Manifest *next,
                                          struct firn_err *err)
{
    const struct {
        const char *what;
        uint64_t prev, next;
    } number[] = {
        {"format", prev->format, next->format},
        {"version", prev->version, next->version},
        {"writer epoch", prev->writer->epoch, next->writer->epoch},
        {"compactor epoch", prev->compactor->epoch, next->compactor->epoch},
        {"writer watermark", prev->writer->watermark, next->writer->watermark},
        {"compactor watermark", prev->compactor->watermark, next->compactor->watermark},
        {"seqno at the floor", prev->seqno_at_floor, next->seqno_at_floor},
        {"log time", prev->log_time_ms, next->log_time_ms},
        {"expired_to", prev->expired_to_ms, next->expired_to_ms},
    };
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
        if (number[i].next < number[i].prev)
            return went_back(number[i].what, number[i].prev, number[i].next, err);
    struct firn_place floor = firn_place_of(prev->floor), kept = firn_place_of(prev->kept);
    if (firn_place_cmp(firn_place_of(next->floor), floor) < 0)
        return went_back("floor (epoch)", floor.epoch, next->floor->epoch, err);
    if (firn_place_cmp(firn_place_of(next->kept), kept) < 0)
        return went_back("kept (epoch)", kept.epoch, next->kept->epoch, err);
    if (!settings_fixed_equal(prev->settings, next->settings))
        return firn_fail(err, FIRN_CORRUPT,
                         "a setting that is fixed at creation has changed in the manifest");
    return FIRN_OK;
}
