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
    struct firn_buf index; /* struct firn_table_block each */
    struct firn_buf sep;
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
    if (!b->o.max_seqno)
        b->o.max_seqno = UINT64_MAX;
    b->table_id = firn_table_id(&o->db, &o->name);
    firn_buf_init(&b->bytes, o->object_max ? o->object_max : OBJECT_MAX_DEFAULT);
    firn_buf_init(&b->index, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->sep, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->hash, (size_t)8 * FIRN_TABLE_META_MAX);
    firn_buf_init(&b->tombs, FIRN_TABLE_META_MAX);
    firn_buf_init(&b->last_key, FIRN_KEY_MAX);
    firn_block_builder_init(&b->block, b->o.base_seqno, b->o.max_seqno, o->restart_interval,
                            o->hash_index);
    b->props.min_seqno = UINT64_MAX;
    b->props.min_expiry_ms = UINT64_MAX;
    enum firn_status s = firn_table_header_encode(b->table_id, &b->bytes);
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
    if (b->props.blocks) {
        size_t n = 0, max = b->last_key.len < key.len ? b->last_key.len : key.len;
        while (n < max && b->last_key.data[n] == key.data[n])
            n++;
        x.sep_len = (uint32_t)n + 1;
    }
    enum firn_status s = firn_buf_append(&b->sep, key.data, x.sep_len);
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

static enum firn_status put_meta(struct firn_table_builder *b, struct firn_table_loc *loc)
{
    struct firn_buf filter;
    firn_buf_init(&filter, FIRN_TABLE_META_MAX);
    struct firn_table_meta_parts parts = {
        .block = (const struct firn_table_block *)(const void *)b->index.data,
        .blocks = b->index.len / sizeof(struct firn_table_block),
        .sep = firn_buf_slice(&b->sep),
        .tomb = (const struct firn_range_tomb *)(const void *)b->tombs.data,
        .tombs = b->tombs.len / sizeof(struct firn_range_tomb),
        .props = &b->props,
        .created_by = "firn " FIRN_VERSION,
    };
    enum firn_status s = FIRN_OK;
    if (b->hash.len)
        s = firn_filter_build((const uint64_t *)(const void *)b->hash.data, b->hash.len / 8,
                              b->o.filter_bits, &filter);
    parts.filter = firn_buf_slice(&filter);
    loc->meta_offset = b->bytes.len;
    if (s == FIRN_OK)
        s = firn_table_meta_encode(&parts, &b->bytes);
    firn_buf_clear(&filter);
    if (s != FIRN_OK)
        return s;
    loc->meta_length = b->bytes.len - loc->meta_offset;
    loc->meta_checksum = firn_xxh3_seed(b->bytes.data + loc->meta_offset, loc->meta_length,
                                        firn_place_seed(loc->table_id, loc->meta_offset));
    return FIRN_OK;
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

static enum firn_status make_ref(const struct firn_table_builder *b,
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
    r->meta_offset = loc->meta_offset;
    r->meta_length = loc->meta_length;
    r->meta_checksum = loc->meta_checksum;
    r->entries = b->props.entries;
    r->tombstones = b->props.tombstones;
    r->range_tombstones = b->props.range_tombstones;
    r->min_seqno = b->props.min_seqno;
    r->max_seqno = b->props.max_seqno;
    r->min_expiry_ms = b->props.min_expiry_ms;
    r->max_expiry_ms = b->props.max_expiry_ms;
    r->raw_bytes = b->props.raw_bytes;
    r->format = FIRN_TABLE_FORMAT;
    enum firn_status s = set_bounds(b, r);
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
    enum firn_status s = b->block.count ? close_block(b) : FIRN_OK;
    b->props.max_key = firn_buf_slice(&b->last_key);
    if (!b->props.expiring)
        b->props.min_expiry_ms = 0;
    b->props.created_ms = b->o.created_ms;
    if (s == FIRN_OK)
        s = put_meta(b, &loc);
    loc.size = b->bytes.len + FIRN_TABLE_FOOTER_BYTES;
    if (s == FIRN_OK)
        s = firn_table_footer_encode(&loc, &b->bytes);
    Firn__Table *ref = NULL;
    if (s == FIRN_OK)
        s = make_ref(b, &loc, &ref);
    if (s != FIRN_OK)
        return s;
    *out = (struct firn_table_object){b->bytes, b->o.name, ref};
    firn_buf_init(&b->bytes, 0);
    return FIRN_OK;
}
