/* Where the partitions of a table lie. */
#include "base/mem.h"
#include "format/table_priv.h"

/* A partition has a directory with an index of at least one block, and a checksum. */
#define PART_BYTES_MIN                                                                             \
    (FIRN_TABLE__DIRECTORY + FIRN_TABLE__SECTION_BYTES + FIRN_TABLE__INDEX_HEADER +                \
     FIRN_TABLE__INDEX_ENTRY + FIRN_TABLE__SUM_BYTES)

/* The partitions' bytes in all, and their separators'; NULL, or what is wrong. */
static const char *check_sums(const struct firn_table__parts_def *d, uint64_t *total)
{
    uint64_t seps = 0;
    *total = 0;
    if (d->count > FIRN_TABLE_PARTS_MAX)
        return "too many partitions";
    for (size_t i = 0; i < d->count; i++) {
        if (d->length[i] < PART_BYTES_MIN || d->length[i] > FIRN_TABLE_META_MAX)
            return "length of a partition";
        *total += d->length[i];
    }
    for (size_t i = 1; i < d->count; i++) {
        if (d->sep_length[i - 1] > FIRN_BOUND_MAX)
            return "length of a separator of partitions";
        seps += d->sep_length[i - 1];
    }
    if (seps != d->sep.len)
        return "separators of partitions";
    uint64_t least = FIRN_TABLE_HEADER_BYTES + (d->count ? FIRN_BLOCK_FRAME_BYTES : 0);
    if (d->end < least || *total > d->end - least ||
        (d->count == 0 && d->end != FIRN_TABLE_HEADER_BYTES))
        return "place of the partitions";
    return NULL;
}

enum firn_status firn_table__parts_make(const struct firn_table__parts_def *d,
                                        struct firn_table_parts *out, const char **why)
{
    uint64_t total;
    *why = check_sums(d, &total);
    if (*why)
        return FIRN_CORRUPT;
    uint32_t n = (uint32_t)d->count;
    uint64_t *offset = firn_malloc((n + 1) * sizeof *offset + firn_seps_room(n, d->sep.len));
    if (!offset)
        return FIRN_LIMIT;
    struct firn_seps_maker m;
    const uint8_t *sep = d->sep.data;
    bool ok = true;
    firn_seps_begin(&m, offset + n + 1, n);
    offset[0] = d->end - total;
    for (uint32_t i = 0; ok && i < n; i++) {
        size_t len = i ? d->sep_length[i - 1] : 0;
        ok = firn_seps_push(&m, firn_slice_of(sep, len));
        sep += len;
        offset[i + 1] = offset[i] + d->length[i];
    }
    if (!ok) {
        firn_free(offset);
        *why = "order of the separators of partitions";
        return FIRN_CORRUPT;
    }
    *out = (struct firn_table_parts){firn_seps_end(&m), offset, offset};
    return FIRN_OK;
}

void firn_table_parts_clear(struct firn_table_parts *p)
{
    firn_free(p->room);
    *p = (struct firn_table_parts){0};
}

bool firn_table_parts_same(const struct firn_table_parts *a, const struct firn_table_parts *b)
{
    return firn_seps_same(&a->sep, &b->sep) &&
           memcmp(a->offset, b->offset, ((size_t)a->sep.count + 1) * sizeof a->offset[0]) == 0;
}

bool firn_table_parts_match(const struct firn_table_parts *p, const Firn__Table *t)
{
    uint32_t n = p->sep.count;
    if (t->n_part_lengths != n || t->n_part_separator_lengths != (n ? n - 1 : 0) ||
        p->offset[n] != t->head_offset ||
        !firn_slice_eq(firn_pb_slice(&t->part_separators),
                       firn_slice_of(p->sep.bytes, p->sep.at[n])))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (p->offset[i + 1] - p->offset[i] != t->part_lengths[i] ||
            (i && firn_seps_get(&p->sep, i).len != t->part_separator_lengths[i - 1]))
            return false;
    return true;
}

/* What a reference says beside its partitions. */
static const char *check_reference(const Firn__Table *t)
{
    if (t->table_id == 0)
        return "no table id";
    if (t->size < FIRN_TABLE_FOOTER_BYTES || t->head_offset > t->size - FIRN_TABLE_FOOTER_BYTES ||
        t->head_length != t->size - FIRN_TABLE_FOOTER_BYTES - t->head_offset ||
        t->head_length > FIRN_TABLE_META_MAX || t->head_length < FIRN_TABLE__DIRECTORY)
        return "place of the head";
    if ((t->entries > 0) != (t->n_part_lengths > 0))
        return "entries without partitions, or partitions without entries";
    if (t->n_part_separator_lengths != (t->n_part_lengths ? t->n_part_lengths - 1 : 0))
        return "number of separators of partitions";
    return NULL;
}

/* Every partition has keys within the bounds. */
static bool within_bounds(const struct firn_table_parts *p, const Firn__Table *t)
{
    uint32_t n = p->sep.count;
    return n < 2 || (firn_slice_cmp(firn_pb_slice(&t->lower), firn_seps_get(&p->sep, 1)) < 0 &&
                     firn_slice_cmp(firn_seps_get(&p->sep, n - 1), firn_pb_slice(&t->upper)) < 0);
}

enum firn_status firn_table_parts_of(const Firn__Table *t, struct firn_table_parts *out,
                                     struct firn_err *err)
{
    struct firn_table__parts_def d = {
        .length = t->part_lengths,
        .sep_length = t->part_separator_lengths,
        .count = t->n_part_lengths,
        .sep = firn_pb_slice(&t->part_separators),
        .end = t->head_offset,
    };
    struct firn_table_parts p = {0};
    const char *why = check_reference(t);
    enum firn_status s = why ? FIRN_CORRUPT : firn_table__parts_make(&d, &p, &why);
    if (s == FIRN_LIMIT)
        return firn_fail(err, s, "no memory for the partitions of a table");
    if (s == FIRN_OK && !within_bounds(&p, t)) {
        firn_table_parts_clear(&p);
        why = "separators of partitions outside of the table's bounds";
        s = FIRN_CORRUPT;
    }
    if (s != FIRN_OK)
        return firn_fail(err, s, "the reference makes no sense: %s (size %llu, head %llu at %llu)",
                         why, (unsigned long long)t->size, (unsigned long long)t->head_length,
                         (unsigned long long)t->head_offset);
    *out = p;
    return FIRN_OK;
}

bool firn_table_parts_range(const struct firn_table_parts *p, struct firn_slice lower,
                            struct firn_slice upper, uint32_t *first, uint32_t *end)
{
    if (p->sep.count == 0)
        return false;
    *first = firn_seps_find(&p->sep, lower);
    *end = p->sep.count;
    if (upper.len) {
        uint32_t i = firn_seps_find(&p->sep, upper); /* has keys below upper if it begins below */
        *end = firn_slice_cmp(firn_seps_get(&p->sep, i), upper) < 0 ? i + 1 : i;
    }
    return true;
}
