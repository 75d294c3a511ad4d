/* Decoding partitions: first all is checked and counted, then it is copied into one allocation. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/table_priv.h"

/* A partition as it lies in its bytes. */
struct stored {
    uint32_t number; /* among the table's */
    const uint8_t *entry, *sep;
    uint64_t offset; /* of its first block */
    uint32_t blocks, sep_len;
    struct firn_slice filter; /* data NULL: there is none */
};

static enum firn_status open_index(struct firn_slice x, struct stored *out, struct firn_err *err)
{
    if (!x.data || x.len < FIRN_TABLE__INDEX_HEADER)
        return firn_table__bad(err, "index");
    out->offset = firn_le64(x.data);
    out->blocks = firn_le32(x.data + 8);
    out->sep_len = firn_le32(x.data + 12);
    out->entry = x.data + FIRN_TABLE__INDEX_HEADER;
    if (out->blocks == 0 || x.len != FIRN_TABLE__INDEX_HEADER +
                                         (uint64_t)out->blocks * FIRN_TABLE__INDEX_ENTRY +
                                         out->sep_len)
        return firn_table__bad(err, "length of the index");
    out->sep = out->entry + (size_t)out->blocks * FIRN_TABLE__INDEX_ENTRY;
    return FIRN_OK;
}

static enum firn_status open_part(struct firn_slice bytes, uint64_t table_id,
                                  const struct firn_table_parts *parts, uint32_t i,
                                  struct stored *out, struct firn_err *err)
{
    if (bytes.len != firn_table_parts_bytes(parts, i, i + 1) || bytes.len < FIRN_TABLE__SUM_BYTES)
        return firn_table__bad(err, "length of a partition");
    bytes.len -= FIRN_TABLE__SUM_BYTES;
    uint64_t seed = firn_place_seed(table_id, parts->offset[i]);
    if (firn_xxh3_seed(bytes.data, bytes.len, seed) != firn_le64(bytes.data + bytes.len))
        return firn_table__bad(err, "checksum of a partition");
    struct firn_slice section[FIRN_TABLE__SECTIONS];
    enum firn_status s = firn_table__sections(bytes, section, err);
    if (s != FIRN_OK)
        return s;
    *out = (struct stored){.number = i, .filter = section[FIRN_TABLE__FILTER]};
    return open_index(section[FIRN_TABLE__INDEX], out, err);
}

static enum firn_status open_filter(struct firn_slice x, struct firn_filter *out,
                                    struct firn_err *err)
{
    if (!x.data)
        return FIRN_OK;
    enum firn_status s = firn_filter_open(x, out);
    if (s == FIRN_INVALID)
        return firn_fail(err, s, "a table has a filter of an unknown kind: upgrade to read it");
    return s == FIRN_OK ? s : firn_table__bad(err, "filter");
}

/* What is pushed: blocks so far, and where the next one lies (0 = anywhere). */
struct copy {
    struct firn_table_block *block;
    struct firn_seps_maker sep;
    uint64_t at;
};

/* Separator k of a partition against the partition's own and the next one's. */
static bool within(const struct firn_table_parts *parts, const struct stored *p, uint32_t k,
                   struct firn_slice sep)
{
    if (k == 1 && firn_slice_cmp(firn_seps_get(&parts->sep, p->number), sep) >= 0)
        return false;
    return p->number + 1 == parts->sep.count ||
           firn_slice_cmp(sep, firn_seps_get(&parts->sep, p->number + 1)) < 0;
}

static const char *copy_blocks(const struct firn_table_parts *parts, const struct stored *p,
                               struct copy *c)
{
    const uint8_t *e = p->entry, *sep = p->sep;
    uint32_t left = p->sep_len;
    uint64_t at = p->offset, end = parts->offset[0];
    if (at < FIRN_TABLE_HEADER_BYTES || (c->at && at != c->at) ||
        (p->number == 0 && at != FIRN_TABLE_HEADER_BYTES))
        return "place of a partition's blocks";
    for (uint32_t k = 0; k < p->blocks; k++, e += FIRN_TABLE__INDEX_ENTRY) {
        struct firn_table_block b = {at, firn_le32(e), firn_le32(e + 4), firn_le32(e + 8)};
        uint32_t len = firn_le32(e + 12);
        if (b.stored_len < FIRN_BLOCK_FRAME_BYTES || b.raw_len < FIRN_BLOCK_TRAILER_BYTES ||
            b.raw_len > FIRN_BLOCK_RAW_MAX || b.count == 0 || at > end || b.stored_len > end - at)
            return "place of a block";
        if (len > left || len > FIRN_KEY_MAX || (k == 0 && len > 0))
            return "separators";
        struct firn_slice own = firn_slice_of(sep, len);
        if (k == 0 && c->sep.pushed > 0) /* of several partitions: this one's */
            own = firn_seps_get(&parts->sep, p->number);
        if ((k > 0 && !within(parts, p, k, own)) || !firn_seps_push(&c->sep, own))
            return "order of separators";
        *c->block++ = b;
        sep += len;
        left -= len;
        at += b.stored_len;
    }
    if (left || (p->number + 1 == parts->sep.count && at != end))
        return "blocks do not fill the object";
    c->at = at;
    return NULL;
}

static size_t align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* Everything in one allocation: struct, filter lines (on a cache line), arrays, bytes. */
static enum firn_status build(const struct stored *p, uint32_t n, uint64_t table_id,
                              const struct firn_table_parts *parts,
                              const struct firn_filter *filter, struct firn_table_part **out,
                              struct firn_err *err)
{
    size_t blocks = 0, sep_len = 0;
    for (uint32_t i = 0; i < n; i++) {
        blocks += p[i].blocks;
        sep_len += p[i].sep_len + (i ? firn_seps_get(&parts->sep, p[i].number).len : 0);
    }
    size_t filter_at = align_up(sizeof(struct firn_table_part), FIRN_FILTER_LINE_BYTES);
    size_t filter_len = (size_t)filter->lines * FIRN_FILTER_LINE_BYTES;
    size_t block_at = filter_at + filter_len;
    size_t sep_at = block_at + blocks * sizeof(struct firn_table_block);
    size_t total = sep_at + firn_seps_room(blocks, sep_len);
    if (blocks > UINT32_MAX || sep_len > UINT32_MAX)
        return firn_table__bad(err, "more blocks than there can be");
    uint8_t *mem = firn_aligned(FIRN_FILTER_LINE_BYTES, total);
    if (!mem)
        return firn_fail(err, FIRN_LIMIT, "no memory for a partition of a table");
    struct firn_table_part *m = (struct firn_table_part *)(void *)mem;
    *m = (struct firn_table_part){.table_id = table_id, .bytes = total, .filter = *filter};
    if (filter_len)
        memcpy(mem + filter_at, filter->line, filter_len);
    m->filter.line = mem + filter_at;
    struct copy c = {.block = (struct firn_table_block *)(void *)(mem + block_at)};
    m->block = c.block;
    firn_seps_begin(&c.sep, mem + sep_at, (uint32_t)blocks);
    const char *why = NULL;
    for (uint32_t i = 0; !why && i < n; i++)
        why = copy_blocks(parts, &p[i], &c);
    if (why) {
        firn_free(mem);
        return firn_table__bad(err, why);
    }
    m->sep = firn_seps_end(&c.sep);
    *out = m;
    return FIRN_OK;
}

enum firn_status firn_table_part_decode(struct firn_slice bytes, uint64_t table_id,
                                        const struct firn_table_parts *parts, uint32_t i,
                                        struct firn_table_part **out, struct firn_err *err)
{
    struct stored p;
    struct firn_filter filter = {0};
    FIRN_ASSERT(i < parts->sep.count);
    enum firn_status s = open_part(bytes, table_id, parts, i, &p, err);
    if (s == FIRN_OK)
        s = open_filter(p.filter, &filter, err);
    return s == FIRN_OK ? build(&p, 1, table_id, parts, &filter, out, err) : s;
}

enum firn_status firn_table_index_decode(struct firn_slice bytes, uint64_t table_id,
                                         const struct firn_table_parts *parts, uint32_t first,
                                         uint32_t end, struct firn_table_part **out,
                                         struct firn_err *err)
{
    struct stored p[FIRN_TABLE_PARTS_MAX];
    static const struct firn_filter none;
    FIRN_ASSERT(first < end && end <= parts->sep.count);
    if (bytes.len != firn_table_parts_bytes(parts, first, end))
        return firn_table__bad(err, "length of partitions");
    enum firn_status s = FIRN_OK;
    for (uint32_t i = first; s == FIRN_OK && i < end; i++) {
        struct firn_slice one = firn_slice_of(bytes.data + firn_table_parts_bytes(parts, first, i),
                                              firn_table_parts_bytes(parts, i, i + 1));
        s = open_part(one, table_id, parts, i, &p[i - first], err);
    }
    return s == FIRN_OK ? build(p, end - first, table_id, parts, &none, out, err) : s;
}

void firn_table_part_free(struct firn_table_part *p)
{
    firn_free(p);
}
