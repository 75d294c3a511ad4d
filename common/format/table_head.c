/* Decoding the head: first its sections are checked, then they are copied into one allocation. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/table_priv.h"
#include "table.pb-c.h"

struct parse {
    struct firn_slice section[FIRN_TABLE__SECTIONS];
    struct firn_table_parts parts;
    size_t tombs, tomb_bytes;
    Firn__TableProperties *props;
};

static enum firn_status check_place(struct firn_slice bytes, const struct firn_table_loc *loc,
                                    struct firn_err *err)
{
    if (loc->head_offset < FIRN_TABLE_HEADER_BYTES || loc->head_length > FIRN_TABLE_META_MAX ||
        loc->head_offset > loc->size ||
        loc->size - loc->head_offset != loc->head_length + FIRN_TABLE_FOOTER_BYTES)
        return firn_table__bad(err, "the head does not lie at the end of the object");
    if (bytes.len != loc->head_length)
        return firn_table__bad(err, "length of the head");
    uint64_t seed = firn_place_seed(loc->table_id, loc->head_offset);
    if (firn_xxh3_seed(bytes.data, bytes.len, seed) != loc->head_checksum)
        return firn_table__bad(err, "checksum of the head");
    return FIRN_OK;
}

static enum firn_status check_parts(struct parse *p, const struct firn_table_loc *loc,
                                    struct firn_err *err)
{
    struct firn_slice x = p->section[FIRN_TABLE__PARTS];
    uint32_t length[FIRN_TABLE_PARTS_MAX], sep_length[FIRN_TABLE_PARTS_MAX];
    if (!x.data || x.len < FIRN_TABLE__PARTS_HEADER)
        return firn_table__bad(err, "partitions");
    uint32_t n = firn_le32(x.data), sep_len = firn_le32(x.data + 4);
    if (n > FIRN_TABLE_PARTS_MAX ||
        x.len != FIRN_TABLE__PARTS_HEADER + (uint64_t)n * FIRN_TABLE__PARTS_ENTRY + sep_len)
        return firn_table__bad(err, "length of the list of partitions");
    const uint8_t *e = x.data + FIRN_TABLE__PARTS_HEADER;
    for (uint32_t i = 0; i < n; i++, e += FIRN_TABLE__PARTS_ENTRY) {
        length[i] = firn_le32(e);
        sep_length[i] = firn_le32(e + 4);
    }
    if (n && sep_length[0])
        return firn_table__bad(err, "a separator of the first partition");
    struct firn_table__parts_def d = {.length = length,
                                      .sep_length = sep_length + 1,
                                      .count = n,
                                      .sep = firn_slice_of(e, sep_len),
                                      .end = loc->head_offset};
    const char *why;
    enum firn_status s = firn_table__parts_make(&d, &p->parts, &why);
    if (s == FIRN_CORRUPT)
        return firn_table__bad(err, why);
    return s == FIRN_OK ? s : firn_fail(err, s, "no memory for the partitions of a table");
}

/* One fragment at *at; *at moves behind it. */
static bool read_tomb(const uint8_t **at, const uint8_t *end, struct firn_range_tomb *out)
{
    const uint8_t *e = *at;
    if ((size_t)(end - e) < FIRN_TABLE__TOMB_ENTRY)
        return false;
    uint32_t start_len = firn_le32(e + 8), end_len = firn_le32(e + 12);
    size_t left = (size_t)(end - e) - FIRN_TABLE__TOMB_ENTRY;
    if (start_len > FIRN_KEY_MAX + 1 || end_len > FIRN_KEY_MAX + 1 || start_len > left ||
        end_len > left - start_len)
        return false;
    e += FIRN_TABLE__TOMB_ENTRY;
    *out =
        (struct firn_range_tomb){firn_slice_of(e, start_len), firn_slice_of(e + start_len, end_len),
                                 firn_le64(e - FIRN_TABLE__TOMB_ENTRY)};
    *at = e + start_len + end_len;
    return true;
}

static enum firn_status check_tombs(struct parse *p, struct firn_err *err)
{
    struct firn_slice x = p->section[FIRN_TABLE__TOMBS];
    if (!x.data)
        return FIRN_OK;
    if (x.len < FIRN_TABLE__TOMB_HEADER)
        return firn_table__bad(err, "range tombstones");
    p->tombs = firn_le32(x.data);
    p->tomb_bytes = x.len - FIRN_TABLE__TOMB_HEADER;
    const uint8_t *at = x.data + FIRN_TABLE__TOMB_HEADER, *end = x.data + x.len;
    struct firn_range_tomb t, before = {{NULL, 0}, {NULL, 0}, 0};
    for (size_t i = 0; i < p->tombs; i++, before = t) {
        if (!read_tomb(&at, end, &t))
            return firn_table__bad(err, "a range tombstone");
        if (!firn_before_end(t.start, t.end) ||
            (i && (before.end.len == 0 || firn_slice_cmp(before.end, t.start) > 0)))
            return firn_table__bad(err, "order of range tombstones");
    }
    return at == end ? FIRN_OK : firn_table__bad(err, "length of the range tombstones");
}

/* protobuf-c does not say whether it ran short of memory or met damage: its allocator notes the
 * first. */
static void *pb_alloc(void *failed, size_t size)
{
    void *p = firn_malloc(size);
    if (!p)
        *(bool *)failed = true;
    return p;
}

static void pb_release(void *failed, void *p)
{
    (void)failed;
    firn_free(p);
}

static void free_props(struct parse *p)
{
    bool failed;
    ProtobufCAllocator mem = {pb_alloc, pb_release, &failed};
    firn__table_properties__free_unpacked(p->props, &mem);
}

/* PROPS_MAX bounds what a hostile message can make protobuf-c allocate to some tens of MiB. */
static enum firn_status check_props(struct parse *p, struct firn_err *err)
{
    struct firn_slice x = p->section[FIRN_TABLE__PROPS];
    bool failed = false;
    ProtobufCAllocator mem = {pb_alloc, pb_release, &failed};
    if (!x.data || x.len > FIRN_TABLE__PROPS_MAX)
        return firn_table__bad(err, "length of the properties");
    p->props = firn__table_properties__unpack(&mem, x.len, x.data);
    if (!p->props && failed)
        return firn_fail(err, FIRN_LIMIT, "no memory for the properties of a table");
    if (!p->props || p->props->min_key.len > FIRN_KEY_MAX || p->props->max_key.len > FIRN_KEY_MAX)
        return firn_table__bad(err, "properties");
    return FIRN_OK;
}

/* ---- building the result */

static void copy_props(const Firn__TableProperties *m, uint8_t **room, struct firn_table_props *out)
{
    *out = (struct firn_table_props){
        .entries = m->entries,
        .tombstones = m->tombstones,
        .range_tombstones = m->range_tombstones,
        .expiring = m->expiring,
        .blocks = m->blocks,
        .raw_bytes = m->raw_bytes,
        .stored_bytes = m->stored_bytes,
        .key_bytes = m->key_bytes,
        .value_bytes = m->value_bytes,
        .min_seqno = m->min_seqno,
        .max_seqno = m->max_seqno,
        .min_expiry_ms = m->min_expiry_ms,
        .max_expiry_ms = m->max_expiry_ms,
        .created_ms = m->created_ms,
    };
    out->min_key = firn_slice_of(*room, m->min_key.len);
    if (m->min_key.len)
        memcpy(*room, m->min_key.data, m->min_key.len);
    *room += m->min_key.len;
    out->max_key = firn_slice_of(*room, m->max_key.len);
    if (m->max_key.len)
        memcpy(*room, m->max_key.data, m->max_key.len);
    *room += m->max_key.len;
}

static void copy_tombs(const struct parse *p, struct firn_range_tomb *tomb, uint8_t **room,
                       struct firn_table_head *h)
{
    if (p->tomb_bytes)
        memcpy(*room, p->section[FIRN_TABLE__TOMBS].data + FIRN_TABLE__TOMB_HEADER, p->tomb_bytes);
    const uint8_t *at = *room, *end = *room + p->tomb_bytes;
    for (size_t i = 0; i < p->tombs; i++) {
        bool ok = read_tomb(&at, end, &tomb[i]);
        FIRN_ASSERT(ok); /* check_tombs read the same bytes */
    }
    *room += p->tomb_bytes;
    h->tomb = tomb;
    h->tombs = p->tombs;
}

/* One allocation, and that of the partitions, which moves. */
static struct firn_table_head *build(struct parse *p, uint64_t table_id)
{
    size_t bytes_at = sizeof(struct firn_table_head) + p->tombs * sizeof(struct firn_range_tomb);
    size_t total = bytes_at + p->tomb_bytes + p->props->min_key.len + p->props->max_key.len;
    uint8_t *mem = firn_malloc(total);
    if (!mem)
        return NULL;
    struct firn_table_head *h = (struct firn_table_head *)(void *)mem;
    size_t parts = ((size_t)p->parts.sep.count + 1) * sizeof p->parts.offset[0] +
                   firn_seps_room(p->parts.sep.count, p->parts.sep.at[p->parts.sep.count]);
    *h = (struct firn_table_head){.table_id = table_id, .bytes = total + parts, .parts = p->parts};
    p->parts = (struct firn_table_parts){0};
    uint8_t *room = mem + bytes_at;
    copy_tombs(p, (struct firn_range_tomb *)(void *)(h + 1), &room, h);
    copy_props(p->props, &room, &h->props);
    return h;
}

enum firn_status firn_table_head_decode(struct firn_slice bytes, const struct firn_table_loc *loc,
                                        struct firn_table_head **out, struct firn_err *err)
{
    struct parse p = {0};
    enum firn_status s = check_place(bytes, loc, err);
    if (s == FIRN_OK)
        s = firn_table__sections(bytes, p.section, err);
    if (s == FIRN_OK)
        s = check_parts(&p, loc, err);
    if (s == FIRN_OK)
        s = check_tombs(&p, err);
    if (s == FIRN_OK)
        s = check_props(&p, err);
    if (s == FIRN_OK) {
        struct firn_table_head *h = build(&p, loc->table_id);
        if (h)
            *out = h;
        else
            s = firn_fail(err, FIRN_LIMIT, "no memory for the head of a table");
    }
    firn_table_parts_clear(&p.parts);
    free_props(&p);
    return s;
}

void firn_table_head_free(struct firn_table_head *h)
{
    if (!h)
        return;
    firn_table_parts_clear(&h->parts);
    firn_free(h);
}
