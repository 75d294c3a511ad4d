#include "lsm/table_build.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

#define BLOCK_BYTES_DEFAULT ((uint32_t)16 << 10)
#define OBJECT_MAX_DEFAULT ((size_t)1 << 40)

struct firn_table_builder {
    struct firn_table_options o;
    uint64_t table_id;
    struct firn_buf bytes; /* the object so far */
    struct firn_block_builder block;
    struct firn_codec_ctx codec;
    struct firn_buf index;    /* struct firn_table_block each */
    struct firn_buf sep;      /* separators of the blocks, one behind the other */
    struct firn_buf sep_at;   /* uint32_t each: where in sep; one more than blocks */
    struct firn_buf hash;     /* firn_xxh3 of every key, 8 bytes each */
    struct firn_buf tombs;    /* struct firn_range_tomb each, bounds in `arena` */
    struct firn_buf last_key; /* of the block before the open one */
    struct firn_arena arena;
    struct firn_table_props props;
    uint8_t *min_key;
};

void firn_table_object_clear(struct firn_table_object *o)
{
    firn_buf_clear(&o->bytes);
    firn_pb_table_free(o->ref);
    o->ref = NULL;
}

enum firn_status firn_table_builder_create(const struct firn_table_options *o,
                                           struct firn_table_builder **out)
{
    if (o->max_seqno && o->max_seqno < o->base_seqno)
        return FIRN_INVALID;
    struct firn_table_builder *b = firn_calloc(1, sizeof *b);
    if (!b)
        return FIRN_LIMIT;
    b->o = *o;
    if (!b->o.block_bytes)
        b->o.block_bytes = BLOCK_BYTES_DEFAULT;
    if (!b->o.format)
        b->o.format = FIRN_FORMAT_OLDEST;
    if (!b->o.max_seqno)
        b->o.max_seqno = UINT64_MAX;
    b->table_id = firn_table_id(&o->db, &o->name);
    firn_buf_init(&b->bytes, o->object_max ? o->object_max : OBJECT_MAX_DEFAULT);
    firn_buf_init(&b->index, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->sep, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->sep_at, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->hash, (size_t)8 * FIRN_TABLE_META_MAX);
    firn_buf_init(&b->tombs, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->last_key, FIRN_KEY_MAX);
    firn_block_builder_init(&b->block, b->o.base_seqno, b->o.max_seqno, o->restart_interval,
                            o->hash_index);
    b->props.min_seqno = UINT64_MAX;
    b->props.min_expiry_ms = UINT64_MAX;
    enum firn_status s = firn_table_header_encode(b->table_id, b->o.format, &b->bytes);
    if (s == FIRN_OK)
        *out = b;
    else
        firn_table_builder_free(b);
    return s;
}

void firn_table_builder_free(struct firn_table_builder *b)
{
    if (!b)
        return;
    firn_buf_clear(&b->bytes);
    firn_block_builder_clear(&b->block);
    firn_codec_ctx_clear(&b->codec);
    firn_buf_clear(&b->index);
    firn_buf_clear(&b->sep);
    firn_buf_clear(&b->sep_at);
    firn_buf_clear(&b->hash);
    firn_buf_clear(&b->tombs);
    firn_buf_clear(&b->last_key);
    firn_arena_clear(&b->arena);
    firn_free(b->min_key);
    firn_free(b);
}

bool firn_table_builder_empty(const struct firn_table_builder *b)
{
    return b->props.entries == 0 && b->tombs.len == 0;
}

uint64_t firn_table_builder_bytes(const struct firn_table_builder *b)
{
    return b->bytes.len + b->block.raw.len;
}

uint64_t firn_table_builder_memory(const struct firn_table_builder *b)
{
    return firn_table_builder_bytes(b) + b->index.len + b->sep.len + b->sep_at.len + b->hash.len +
           b->tombs.len + b->arena.used_bytes;
}

/* Finish the open block and note it in the index; its separator is there already. */
static enum firn_status close_block(struct firn_table_builder *b)
{
    struct firn_table_block *x =
        (struct firn_table_block *)(void *)(b->index.data + b->index.len) - 1;
    uint64_t offset = b->bytes.len;
    x->count = b->block.count;
    b->last_key.len = 0;
    enum firn_status s = firn_buf_append(&b->last_key, b->block.last.data, b->block.last.len);
    if (s != FIRN_OK)
        return s;
    s = firn_block_builder_finish(&b->block, &b->codec, b->o.codec, b->table_id, offset, &b->bytes);
    if (s != FIRN_OK)
        return s;
    x->offset = offset;
    x->stored_len = (uint32_t)(b->bytes.len - offset);
    s = firn_block_raw_len(firn_slice_of(b->bytes.data + offset, x->stored_len), &x->raw_len);
    if (s != FIRN_OK)
        return s;
    b->props.blocks++;
    b->props.raw_bytes += x->raw_len;
    b->props.stored_bytes += x->stored_len;
    return FIRN_OK;
}

/* Begin a block with `key`: its separator is the shortest prefix of key above the last key before.
 */
static enum firn_status open_block(struct firn_table_builder *b, struct firn_slice key)
{
    struct firn_table_block x = {0};
    size_t sep_len = 0;
    if (b->props.blocks) {
        size_t max = b->last_key.len < key.len ? b->last_key.len : key.len;
        sep_len = firn_shared_len(b->last_key.data, key.data, max) + 1;
    }
    uint32_t at[2] = {(uint32_t)b->sep.len, (uint32_t)(b->sep.len + sep_len)};
    bool first = b->sep_at.len == 0;
    enum firn_status s = firn_buf_append(&b->sep, key.data, sep_len);
    if (s == FIRN_OK)
        s = firn_buf_append(&b->sep_at, first ? at : at + 1, (first ? 2 : 1) * sizeof at[0]);
    return s == FIRN_OK ? firn_buf_append(&b->index, &x, sizeof x) : s;
}

static enum firn_status note_entry(struct firn_table_builder *b, const struct firn_entry *e,
                                   uint64_t hash)
{
    struct firn_table_props *p = &b->props;
    if (p->entries == 0) {
        b->min_key = (uint8_t *)firn_strndup((const char *)e->key.data, e->key.len);
        if (!b->min_key)
            return FIRN_LIMIT;
        p->min_key = firn_slice_of(b->min_key, e->key.len);
    }
    if (b->o.filter_bits) {
        enum firn_status s = firn_buf_append(&b->hash, &hash, sizeof hash);
        if (s != FIRN_OK)
            return s;
    }
    p->entries++;
    p->tombstones += firn_kind_deletes(e->kind);
    p->key_bytes += e->key.len;
    p->value_bytes += e->value.len;
    p->min_seqno = e->seqno < p->min_seqno ? e->seqno : p->min_seqno;
    p->max_seqno = e->seqno > p->max_seqno ? e->seqno : p->max_seqno;
    if (e->expiry_ms) {
        p->expiring++;
        p->min_expiry_ms = e->expiry_ms < p->min_expiry_ms ? e->expiry_ms : p->min_expiry_ms;
        p->max_expiry_ms = e->expiry_ms > p->max_expiry_ms ? e->expiry_ms : p->max_expiry_ms;
    }
    return FIRN_OK;
}

enum firn_status firn_table_builder_add(struct firn_table_builder *b, const struct firn_entry *e,
                                        uint64_t hash)
{
    const struct firn_buf *last = b->block.count ? &b->block.last : &b->last_key;
    if (e->key.len < 1 || e->key.len > FIRN_KEY_MAX || e->seqno < b->o.base_seqno ||
        e->seqno > b->o.max_seqno ||
        (b->props.entries && firn_slice_cmp(firn_buf_slice(last), e->key) >= 0))
        return FIRN_INVALID;
    size_t size = e->key.len + e->value.len;
    enum firn_status s = FIRN_OK;
    if (b->block.count && firn_block_builder_size(&b->block) + size > b->o.block_bytes)
        s = close_block(b);
    if (s == FIRN_OK && b->block.count == 0)
        s = open_block(b, e->key);
    if (s == FIRN_OK)
        s = firn_block_builder_add(&b->block, e, hash);
    return s == FIRN_OK ? note_entry(b, e, hash) : s;
}

enum firn_status firn_table_builder_add_tomb(struct firn_table_builder *b,
                                             const struct firn_range_tomb *t)
{
    const struct firn_range_tomb *last = NULL;
    if (b->tombs.len)
        last = (const struct firn_range_tomb *)(const void *)(b->tombs.data + b->tombs.len) - 1;
    if (!firn_before_end(t->start, t->end) || t->seqno < b->o.base_seqno ||
        t->seqno > b->o.max_seqno || t->start.len > FIRN_KEY_MAX + 1 ||
        t->end.len > FIRN_KEY_MAX + 1 ||
        (last && (last->end.len == 0 || firn_slice_cmp(last->end, t->start) > 0)))
        return FIRN_INVALID;
    struct firn_range_tomb own = {firn_arena_copy(&b->arena, t->start),
                                  firn_arena_copy(&b->arena, t->end), t->seqno};
    if ((own.start.len && !own.start.data) || (own.end.len && !own.end.data))
        return FIRN_LIMIT;
    enum firn_status s = firn_buf_append(&b->tombs, &own, sizeof own);
    if (s != FIRN_OK)
        return s;
    b->props.range_tombstones++;
    b->props.min_seqno = t->seqno < b->props.min_seqno ? t->seqno : b->props.min_seqno;
    b->props.max_seqno = t->seqno > b->props.max_seqno ? t->seqno : b->props.max_seqno;
    return FIRN_OK;
}

/* ---- metadata */

/* The partitions as they are made. */
struct parts {
    uint32_t count;
    uint32_t length[FIRN_TABLE_PARTS_MAX], sep_length[FIRN_TABLE_PARTS_MAX];
    uint8_t sep[FIRN_TABLE_PARTS_MAX * FIRN_BOUND_MAX];
    size_t sep_len;
};

static const struct firn_table_block *blocks_of(const struct firn_table_builder *b)
{
    return (const struct firn_table_block *)(const void *)b->index.data;
}

static uint32_t sep_len_of(const struct firn_table_builder *b, uint32_t block)
{
    const uint32_t *at = (const uint32_t *)(const void *)b->sep_at.data;
    return at[block + 1] - at[block];
}

/* About what block i adds to its partition. */
static uint64_t weight(const struct firn_table_builder *b, uint32_t i)
{
    return FIRN_TABLE_INDEX_BYTES + sep_len_of(b, i) +
           (uint64_t)blocks_of(b)[i].count * b->o.filter_bits / 8;
}

/* How much goes into a partition: all are about equal, none is much smaller than asked for, and
 * there are no more than PARTS_MAX. */
static uint64_t part_weight(const struct firn_table_builder *b)
{
    uint64_t total = 0, want = b->o.part_bytes ? b->o.part_bytes : FIRN_TABLE_PART_BYTES;
    for (uint32_t i = 0; i < b->props.blocks; i++)
        total += weight(b, i);
    uint64_t n = (total + want / 2) / want;
    n = n < 1 ? 1 : n > FIRN_TABLE_PARTS_MAX ? FIRN_TABLE_PARTS_MAX : n;
    return (total + n - 1) / n;
}

/* The end of the partition that begins with block `first`. Partitions begin only with a block whose
 * separator the manifest can have whole. */
static uint32_t part_end(const struct firn_table_builder *b, uint32_t first, uint64_t most)
{
    uint64_t sum = weight(b, first);
    uint32_t i = first + 1;
    while (i < b->props.blocks && (sum < most || sep_len_of(b, i) > FIRN_BOUND_MAX))
        sum += weight(b, i++);
    return i;
}

/* Append the partition of blocks [first, end), whose first key is the n-th of the table. */
static enum firn_status put_part(struct firn_table_builder *b, uint32_t first, uint32_t end,
                                 size_t n, size_t keys)
{
    struct firn_buf filter;
    struct firn_table_part_def d = {
        .table_id = b->table_id,
        .offset = b->bytes.len,
        .block = blocks_of(b) + first,
        .blocks = end - first,
        .sep_at = (const uint32_t *)(const void *)b->sep_at.data + first,
        .sep = b->sep.data,
    };
    enum firn_status s = FIRN_OK;
    firn_buf_init(&filter, FIRN_TABLE_META_MAX);
    if (b->o.filter_bits)
        s = firn_filter_build((const uint64_t *)(const void *)b->hash.data + n, keys,
                              b->o.filter_bits, &filter);
    d.filter = firn_buf_slice(&filter);
    if (s == FIRN_OK)
        s = firn_table_part_encode(&d, &b->bytes);
    firn_buf_clear(&filter);
    return s;
}

/* Note the partition of `length` bytes that begins with block `first`. */
static void note_part(const struct firn_table_builder *b, uint32_t first, size_t length,
                      struct parts *p)
{
    FIRN_ASSERT(p->count < FIRN_TABLE_PARTS_MAX); /* each but the last has its full weight */
    uint32_t sep_len = sep_len_of(b, first);
    const uint32_t *at = (const uint32_t *)(const void *)b->sep_at.data;
    if (sep_len)
        memcpy(p->sep + p->sep_len, b->sep.data + at[first], sep_len);
    p->sep_len += sep_len;
    p->length[p->count] = (uint32_t)length;
    p->sep_length[p->count++] = sep_len;
}

static enum firn_status put_parts(struct firn_table_builder *b, struct parts *p)
{
    uint64_t most = part_weight(b);
    size_t n = 0;
    for (uint32_t first = 0, end; first < b->props.blocks; first = end) {
        size_t keys = 0, offset = b->bytes.len;
        end = part_end(b, first, most);
        for (uint32_t i = first; i < end; i++)
            keys += blocks_of(b)[i].count;
        enum firn_status s = put_part(b, first, end, n, keys);
        if (s != FIRN_OK)
            return s;
        n += keys;
        note_part(b, first, b->bytes.len - offset, p);
    }
    return FIRN_OK;
}

static enum firn_status put_meta(struct firn_table_builder *b, struct parts *p,
                                 struct firn_table_loc *loc)
{
    enum firn_status s = put_parts(b, p);
    if (s != FIRN_OK)
        return s;
    struct firn_table_head_def d = {
        .part_length = p->length,
        .part_sep_length = p->sep_length,
        .parts = p->count,
        .part_sep = firn_slice_of(p->sep, p->sep_len),
        .tomb = (const struct firn_range_tomb *)(const void *)b->tombs.data,
        .tombs = b->tombs.len / sizeof(struct firn_range_tomb),
        .props = &b->props,
        .created_by = "firn " FIRN_VERSION,
    };
    loc->head_offset = b->bytes.len;
    s = firn_table_head_encode(&d, &b->bytes);
    if (s != FIRN_OK)
        return s;
    loc->head_length = b->bytes.len - loc->head_offset;
    loc->head_checksum = firn_xxh3_seed(b->bytes.data + loc->head_offset, loc->head_length,
                                        firn_place_seed(loc->table_id, loc->head_offset));
    return FIRN_OK;
}

/* ---- the manifest's reference */

static enum firn_status set_parts(const struct parts *p, Firn__Table *ref)
{
    if (p->count == 0)
        return FIRN_OK;
    ref->part_lengths = firn_malloc(p->count * sizeof *ref->part_lengths);
    ref->part_separator_lengths = firn_malloc(p->count * sizeof *ref->part_separator_lengths);
    if (!ref->part_lengths || !ref->part_separator_lengths)
        return FIRN_LIMIT;
    ref->n_part_lengths = p->count;
    ref->n_part_separator_lengths = p->count - 1;
    memcpy(ref->part_lengths, p->length, p->count * sizeof p->length[0]);
    memcpy(ref->part_separator_lengths, p->sep_length + 1,
           (p->count - 1) * sizeof p->sep_length[0]);
    return firn_pb_set_bytes(&ref->part_separators, firn_slice_of(p->sep, p->sep_len));
}

/* The manifest's bounds over entries and range tombstones: short, and not exact. */
static enum firn_status set_bounds(const struct firn_table_builder *b, Firn__Table *ref)
{
    static const uint8_t everything[1] = {FIRN_NS_DB_END};
    uint8_t key_end[FIRN_BOUND_MAX], tomb_end[FIRN_BOUND_MAX];
    struct firn_slice lower = b->props.min_key, upper = {NULL, 0};
    if (b->props.entries)
        upper = firn_slice_of(key_end, firn_bound_upper(b->props.max_key, true, key_end));
    size_t n = b->tombs.len / sizeof(struct firn_range_tomb);
    if (n) {
        const struct firn_range_tomb *t = (const struct firn_range_tomb *)(void *)b->tombs.data;
        struct firn_slice end = t[n - 1].end;
        struct firn_slice up = firn_slice_of(everything, 1);
        if (end.len)
            up = firn_slice_of(tomb_end, firn_bound_upper(end, false, tomb_end));
        if (!b->props.entries || firn_slice_cmp(t[0].start, lower) < 0)
            lower = t[0].start;
        if (!b->props.entries || firn_slice_cmp(up, upper) > 0)
            upper = up;
    }
    enum firn_status s = firn_pb_set_bytes(&ref->lower, firn_bound_lower(lower));
    return s == FIRN_OK ? firn_pb_set_bytes(&ref->upper, upper) : s;
}

static enum firn_status make_ref(const struct firn_table_builder *b, const struct parts *p,
                                 const struct firn_table_loc *loc, Firn__Table **out)
{
    Firn__Table *r = firn_pb_table_new();
    if (!r)
        return FIRN_LIMIT;
    r->role = (Firn__TableRole)b->o.name.role;
    r->epoch = b->o.name.epoch;
    r->number = b->o.name.number;
    r->table_id = loc->table_id;
    r->size = loc->size;
    r->head_offset = loc->head_offset;
    r->head_length = loc->head_length;
    r->head_checksum = loc->head_checksum;
    r->entries = b->props.entries;
    r->tombstones = b->props.tombstones;
    r->range_tombstones = b->props.range_tombstones;
    r->min_seqno = b->props.min_seqno;
    r->max_seqno = b->props.max_seqno;
    r->expiring = b->props.expiring;
    r->min_expiry_ms = b->props.min_expiry_ms;
    r->max_expiry_ms = b->props.max_expiry_ms;
    r->raw_bytes = b->props.raw_bytes;
    r->format = b->o.format;
    enum firn_status s = set_bounds(b, r);
    if (s == FIRN_OK)
        s = set_parts(p, r);
    if (s == FIRN_OK)
        *out = r;
    else
        firn_pb_table_free(r);
    return s;
}

enum firn_status firn_table_builder_finish(struct firn_table_builder *b,
                                           struct firn_table_object *out)
{
    FIRN_ASSERT(!firn_table_builder_empty(b));
    struct firn_table_loc loc = {.table_id = b->table_id};
    struct parts parts;
    parts.count = 0;
    parts.sep_len = 0;
    enum firn_status s = b->block.count ? close_block(b) : FIRN_OK;
    b->props.max_key = firn_buf_slice(&b->last_key);
    if (!b->props.expiring)
        b->props.min_expiry_ms = 0;
    b->props.created_ms = b->o.created_ms;
    if (s == FIRN_OK)
        s = put_meta(b, &parts, &loc);
    loc.size = b->bytes.len + FIRN_TABLE_FOOTER_BYTES;
    if (s == FIRN_OK)
        s = firn_table_footer_encode(&loc, b->o.format, &b->bytes);
    Firn__Table *ref = NULL;
    if (s == FIRN_OK)
        s = make_ref(b, &parts, &loc, &ref);
    if (s != FIRN_OK)
        return s;
    *out = (struct firn_table_object){b->bytes, b->o.name, ref};
    firn_buf_init(&b->bytes, 0);
    return FIRN_OK;
}
