#include "format/table.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/objheader.h"
#include "format/table_priv.h"
#include "table.pb-c.h"

struct firn_table_loc firn_table_loc_of(const Firn__Table *t)
{
    return (struct firn_table_loc){t->table_id, t->size, t->meta_offset, t->meta_length,
                                   t->meta_checksum};
}

enum firn_status firn_table_header_check(struct firn_slice header, uint64_t table_id,
                                         struct firn_err *err)
{
    enum firn_status s =
        firn_objheader_check(header, FIRN_OBJ_TABLE, FIRN_TABLE_FORMAT, FIRN_TABLE_FORMAT, err);
    if (s != FIRN_OK)
        return s;
    if (header.len < FIRN_TABLE_HEADER_BYTES ||
        firn_le64(header.data + FIRN_OBJHEADER_BYTES) != table_id)
        return firn_fail(err, FIRN_CORRUPT, "the object is another table than its name says");
    return FIRN_OK;
}

enum firn_status firn_table_footer_decode(struct firn_slice footer, uint64_t size,
                                          struct firn_table_loc *out, struct firn_err *err)
{
    if (footer.len != FIRN_TABLE_FOOTER_BYTES ||
        firn_le64(footer.data + 40) != firn_xxh3(footer.data, 40))
        return firn_fail(err, FIRN_CORRUPT, "no footer of a table, or a damaged one");
    enum firn_status s =
        firn_objheader_check(firn_slice_of(footer.data + 32, FIRN_OBJHEADER_BYTES), FIRN_OBJ_TABLE,
                             FIRN_TABLE_FORMAT, FIRN_TABLE_FORMAT, err);
    if (s != FIRN_OK)
        return s;
    *out = (struct firn_table_loc){
        .table_id = firn_le64(footer.data + 24),
        .size = size,
        .meta_offset = firn_le64(footer.data),
        .meta_length = firn_le64(footer.data + 8),
        .meta_checksum = firn_le64(footer.data + 16),
    };
    return FIRN_OK;
}

/* ---- metadata: first find and check the sections, then copy them into one allocation */

struct parse {
    struct firn_slice section[FIRN_TABLE__SECTIONS];
    uint32_t blocks, sep_len, common;
    const uint8_t *sep;
    size_t tombs, tomb_bytes;
    struct firn_filter filter;
    Firn__TableProperties *props;
};

static enum firn_status bad(struct firn_err *err, const char *what)
{
    return firn_fail(err, FIRN_CORRUPT, "metadata of a table is damaged: %s", what);
}

static enum firn_status check_place(struct firn_slice region, const struct firn_table_loc *loc,
                                    struct firn_err *err)
{
    if (loc->meta_offset < FIRN_TABLE_HEADER_BYTES || loc->meta_length > FIRN_TABLE_META_MAX ||
        loc->meta_length < FIRN_TABLE__META_HEADER || loc->meta_offset > loc->size ||
        loc->size - loc->meta_offset != loc->meta_length + FIRN_TABLE_FOOTER_BYTES)
        return bad(err, "it does not lie at the end of the object");
    if (region.len != loc->meta_length)
        return bad(err, "length");
    uint64_t seed = firn_place_seed(loc->table_id, loc->meta_offset);
    if (firn_xxh3_seed(region.data, region.len, seed) != loc->meta_checksum)
        return bad(err, "checksum");
    return FIRN_OK;
}

static enum firn_status find_sections(struct firn_slice region, struct parse *p,
                                      struct firn_err *err)
{
    uint32_t n = firn_le32(region.data);
    if (n > (region.len - FIRN_TABLE__META_HEADER) / FIRN_TABLE__SECTION_BYTES)
        return bad(err, "number of sections");
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *d =
            region.data + FIRN_TABLE__META_HEADER + (size_t)i * FIRN_TABLE__SECTION_BYTES;
        unsigned kind = firn_le16(d);
        uint32_t at = firn_le32(d + 8), len = firn_le32(d + 12);
        if (at > region.len || len > region.len - at)
            return bad(err, "place of a section");
        if (kind == 0 || kind >= FIRN_TABLE__SECTIONS) {
            if (firn_le16(d + 2) & FIRN_TABLE__MUST_KNOW)
                return firn_fail(err, FIRN_INVALID,
                                 "a table has metadata of kind %u: upgrade to read it", kind);
            continue;
        }
        if (p->section[kind].data)
            return bad(err, "a section twice");
        p->section[kind] = firn_slice_of(region.data + at, len);
    }
    if (!p->section[FIRN_TABLE__INDEX].data || !p->section[FIRN_TABLE__PROPS].data)
        return bad(err, "a section is missing");
    return FIRN_OK;
}

/* Check separator i (at `at`, `len` bytes) against the one before it. */
static bool sep_ok(const struct parse *p, uint32_t i, struct firn_slice before,
                   struct firn_slice sep)
{
    if (i == 0)
        return sep.len == 0;
    if (firn_slice_cmp(before, sep) >= 0 || sep.len < p->common || sep.len > FIRN_KEY_MAX)
        return false;
    return i == 1 || p->common == 0 || memcmp(before.data, sep.data, p->common) == 0;
}

static enum firn_status check_index(struct parse *p, const struct firn_table_loc *loc,
                                    struct firn_err *err)
{
    struct firn_slice x = p->section[FIRN_TABLE__INDEX];
    if (x.len < FIRN_TABLE__INDEX_HEADER)
        return bad(err, "index");
    p->blocks = firn_le32(x.data);
    p->sep_len = firn_le32(x.data + 4);
    p->common = firn_le32(x.data + 12);
    if (x.len !=
        FIRN_TABLE__INDEX_HEADER + (uint64_t)p->blocks * FIRN_TABLE__INDEX_ENTRY + p->sep_len)
        return bad(err, "length of the index");
    const uint8_t *e = x.data + FIRN_TABLE__INDEX_HEADER;
    p->sep = e + (size_t)p->blocks * FIRN_TABLE__INDEX_ENTRY;
    struct firn_slice before = {NULL, 0};
    uint64_t offset = FIRN_TABLE_HEADER_BYTES;
    uint32_t sep_at = 0;
    for (uint32_t i = 0; i < p->blocks; i++, e += FIRN_TABLE__INDEX_ENTRY) {
        uint32_t stored = firn_le32(e + 8), raw = firn_le32(e + 12), sep_len = firn_le32(e + 20);
        if (firn_le64(e) != offset || stored < FIRN_BLOCK_FRAME_BYTES ||
            raw < FIRN_BLOCK_TRAILER_BYTES || raw > FIRN_BLOCK_RAW_MAX || firn_le32(e + 16) == 0)
            return bad(err, "place of a block");
        if (sep_len > p->sep_len - sep_at)
            return bad(err, "separators");
        struct firn_slice sep = firn_slice_of(p->sep + sep_at, sep_len);
        if (!sep_ok(p, i, before, sep))
            return bad(err, "order of separators");
        before = sep;
        sep_at += sep_len;
        offset += stored;
    }
    if (sep_at != p->sep_len || offset != loc->meta_offset)
        return bad(err, "blocks do not fill the object");
    return FIRN_OK;
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
        return bad(err, "range tombstones");
    p->tombs = firn_le32(x.data);
    p->tomb_bytes = x.len - FIRN_TABLE__TOMB_HEADER;
    const uint8_t *at = x.data + FIRN_TABLE__TOMB_HEADER, *end = x.data + x.len;
    struct firn_range_tomb t, before = {{NULL, 0}, {NULL, 0}, 0};
    for (size_t i = 0; i < p->tombs; i++, before = t) {
        if (!read_tomb(&at, end, &t))
            return bad(err, "a range tombstone");
        if (!firn_before_end(t.start, t.end) ||
            (i && (before.end.len == 0 || firn_slice_cmp(before.end, t.start) > 0)))
            return bad(err, "order of range tombstones");
    }
    return at == end ? FIRN_OK : bad(err, "length of the range tombstones");
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
    if (x.len > FIRN_TABLE__PROPS_MAX)
        return bad(err, "length of the properties");
    p->props = firn__table_properties__unpack(&mem, x.len, x.data);
    if (!p->props && failed)
        return firn_fail(err, FIRN_LIMIT, "no memory for the properties of a table");
    if (!p->props || p->props->min_key.len > FIRN_KEY_MAX || p->props->max_key.len > FIRN_KEY_MAX)
        return bad(err, "properties");
    return FIRN_OK;
}

static enum firn_status check_filter(struct parse *p, struct firn_err *err)
{
    struct firn_slice x = p->section[FIRN_TABLE__FILTER];
    if (!x.data)
        return FIRN_OK;
    enum firn_status s = firn_filter_open(x, &p->filter);
    if (s == FIRN_INVALID)
        return firn_fail(err, s, "a table has a filter of an unknown kind: upgrade to read it");
    return s == FIRN_OK ? s : bad(err, "filter");
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

static void copy_index(const struct parse *p, struct firn_table_block *block, uint64_t *prefix,
                       uint8_t **room, struct firn_table_meta *m)
{
    if (p->sep_len)
        memcpy(*room, p->sep, p->sep_len);
    m->sep = *room;
    *room += p->sep_len;
    m->block = block;
    m->prefix = prefix;
    m->blocks = p->blocks;
    m->common = p->common;
    const uint8_t *e = p->section[FIRN_TABLE__INDEX].data + FIRN_TABLE__INDEX_HEADER;
    uint32_t sep_at = 0;
    for (uint32_t i = 0; i < p->blocks; i++, e += FIRN_TABLE__INDEX_ENTRY) {
        block[i] = (struct firn_table_block){
            .offset = firn_le64(e),
            .stored_len = firn_le32(e + 8),
            .raw_len = firn_le32(e + 12),
            .count = firn_le32(e + 16),
            .sep_at = sep_at,
            .sep_len = firn_le32(e + 20),
        };
        prefix[i] = i ? firn_key_prefix(firn_table_sep(m, i), p->common) : 0;
        sep_at += block[i].sep_len;
    }
}

static void copy_tombs(const struct parse *p, struct firn_range_tomb *tomb, uint8_t **room,
                       struct firn_table_meta *m)
{
    if (p->tomb_bytes)
        memcpy(*room, p->section[FIRN_TABLE__TOMBS].data + FIRN_TABLE__TOMB_HEADER, p->tomb_bytes);
    const uint8_t *at = *room, *end = *room + p->tomb_bytes;
    for (size_t i = 0; i < p->tombs; i++) {
        bool ok = read_tomb(&at, end, &tomb[i]);
        FIRN_ASSERT(ok); /* check_tombs read the same bytes */
    }
    *room += p->tomb_bytes;
    m->tomb = tomb;
    m->tombs = p->tombs;
}

static size_t align_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* Everything in one allocation: struct, filter lines (on a cache line), arrays, bytes. */
static struct firn_table_meta *build(const struct parse *p, uint64_t table_id)
{
    size_t filter_at = align_up(sizeof(struct firn_table_meta), FIRN_FILTER_LINE_BYTES);
    size_t filter_len = (size_t)p->filter.lines * FIRN_FILTER_LINE_BYTES;
    size_t block_at = filter_at + filter_len;
    size_t prefix_at = block_at + p->blocks * sizeof(struct firn_table_block);
    size_t tomb_at = prefix_at + p->blocks * sizeof(uint64_t);
    size_t bytes_at = tomb_at + p->tombs * sizeof(struct firn_range_tomb);
    size_t total =
        bytes_at + p->sep_len + p->tomb_bytes + p->props->min_key.len + p->props->max_key.len;
    uint8_t *mem = firn_aligned(FIRN_FILTER_LINE_BYTES, total);
    if (!mem)
        return NULL;
    struct firn_table_meta *m = (struct firn_table_meta *)(void *)mem;
    *m = (struct firn_table_meta){.table_id = table_id, .bytes = total, .filter = p->filter};
    if (filter_len)
        memcpy(mem + filter_at, p->filter.line, filter_len);
    m->filter.line = mem + filter_at;
    uint8_t *room = mem + bytes_at;
    copy_index(p, (struct firn_table_block *)(void *)(mem + block_at),
               (uint64_t *)(void *)(mem + prefix_at), &room, m);
    copy_tombs(p, (struct firn_range_tomb *)(void *)(mem + tomb_at), &room, m);
    copy_props(p->props, &room, &m->props);
    return m;
}

static enum firn_status decode(struct firn_slice region, const struct firn_table_loc *loc,
                               bool lean, struct firn_table_meta **out, struct firn_err *err)
{
    struct parse p = {0};
    enum firn_status s = check_place(region, loc, err);
    if (s == FIRN_OK)
        s = find_sections(region, &p, err);
    if (s == FIRN_OK)
        s = check_index(&p, loc, err);
    if (s == FIRN_OK)
        s = check_filter(&p, err);
    if (s == FIRN_OK)
        s = check_tombs(&p, err);
    if (s == FIRN_OK)
        s = check_props(&p, err);
    if (lean)
        p.filter = (struct firn_filter){0};
    if (s == FIRN_OK) {
        struct firn_table_meta *m = build(&p, loc->table_id);
        if (m)
            *out = m;
        else
            s = firn_fail(err, FIRN_LIMIT, "no memory for the metadata of a table");
    }
    free_props(&p);
    return s;
}

enum firn_status firn_table_meta_decode(struct firn_slice region, const struct firn_table_loc *loc,
                                        struct firn_table_meta **out, struct firn_err *err)
{
    return decode(region, loc, false, out, err);
}

enum firn_status firn_table_meta_decode_lean(struct firn_slice region,
                                             const struct firn_table_loc *loc,
                                             struct firn_table_meta **out, struct firn_err *err)
{
    return decode(region, loc, true, out, err);
}

void firn_table_meta_free(struct firn_table_meta *m)
{
    firn_free(m);
}

/* ---- searching */

/* How many of the n numbers are below p: a binary search whose steps are conditional moves. */
static uint32_t count_below(const uint64_t *array, uint32_t n, uint64_t p)
{
    const uint64_t *base = array;
    while (n > 1) {
        uint32_t half = n / 2;
        base += (base[half - 1] < p) ? half : 0;
        n -= half;
    }
    return (uint32_t)(base - array) + (n == 1 && *base < p);
}

uint32_t firn_table_find(const struct firn_table_meta *m, struct firn_slice key)
{
    FIRN_ASSERT(m->blocks > 0);
    if (m->blocks == 1)
        return 0;
    if (m->common) {
        size_t n = key.len < m->common ? key.len : m->common;
        int c = n ? memcmp(key.data, firn_table_sep(m, 1).data, n) : 0;
        if (c != 0)
            return c < 0 ? 0 : m->blocks - 1;
        if (key.len < m->common)
            return 0;
    }
    uint64_t p = firn_key_prefix(key, m->common);
    uint32_t lo = 1 + count_below(m->prefix + 1, m->blocks - 1, p), hi = m->blocks;
    if (lo == m->blocks || m->prefix[lo] != p)
        return lo - 1;
    if (p < UINT64_MAX)
        hi = 1 + count_below(m->prefix + 1, m->blocks - 1, p + 1);
    while (lo < hi) { /* among separators with equal prefixes: the first above key */
        uint32_t mid = lo + (hi - lo) / 2;
        if (firn_slice_cmp(firn_table_sep(m, mid), key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1;
}
