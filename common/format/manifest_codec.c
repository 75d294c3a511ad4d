#include "format/manifest_codec.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/codec.h"
#include "format/manifest_shape_priv.h"
#include "format/objheader.h"
#include "format/version.h"

#define AT_CODEC 8
#define AT_RAW_LEN 12
#define AT_STORED_LEN 16
#define AT_ZERO 20
#define AT_SUM 24

/* ---- memory: everything comes from base/mem, so what one allocator made another may free */

struct budget {
    size_t left;
    bool short_of; /* an allocation failed, by the budget or for lack of memory */
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *b = data;
    void *p = size <= b->left ? firn_malloc(size) : NULL;
    if (p)
        b->left -= size;
    else
        b->short_of = true;
    return p;
}

static void budget_free(void *data, void *p)
{
    (void)data;
    firn_free(p);
}

static void *plain_alloc(void *data, size_t size)
{
    (void)data;
    return firn_malloc(size);
}

static ProtobufCAllocator plain = {plain_alloc, budget_free, NULL};

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *d, struct firn_slice raw,
                                struct budget *b)
{
    ProtobufCAllocator bounded = {budget_alloc, budget_free, b};
    return protobuf_c_message_unpack(d, &bounded, raw.len, raw.data);
}

static void free_message(ProtobufCMessage *m)
{
    if (m)
        protobuf_c_message_free_unpacked(m, &plain);
}

/* A copy by packing and unpacking, so that unknown fields come along. */
static void *dup_message(const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *raw = firn_malloc(len);
    if (!raw)
        return NULL;
    struct budget b = {SIZE_MAX, false};
    FIRN_ASSERT(protobuf_c_message_pack(m, raw) == len);
    ProtobufCMessage *copy = unpack(m->descriptor, firn_slice_of(raw, len), &b);
    firn_free(raw);
    FIRN_ASSERT(copy || b.short_of);
    return copy;
}

static void *new_message(const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = firn_malloc(d->sizeof_message);
    if (m)
        protobuf_c_message_init(d, m);
    return m;
}

/* ---- the object */

static uint64_t checksum(const uint8_t *head, struct firn_slice body)
{
    return firn_xxh3_seed(body.data, body.len, firn_xxh3(head, AT_SUM));
}

static enum firn_status append_body(struct firn_slice raw, enum firn_codec *codec,
                                    struct firn_buf *out)
{
    struct firn_codec_ctx ctx = {0};
    enum firn_status st = firn_codec_pack(&ctx, codec, raw, out);
    firn_codec_ctx_clear(&ctx);
    return st;
}

enum firn_status firn_manifest_encode(const Firn__Manifest *m, bool compress, struct firn_buf *out)
{
    FIRN_ASSERT(firn_format_known(m->format));
    size_t start = out->len, len = firn__manifest__get_packed_size(m);
    if (len > FIRN_MANIFEST_RAW_MAX)
        return FIRN_LIMIT;
    uint8_t *raw = firn_malloc(len);
    if (!raw)
        return FIRN_LIMIT;
    FIRN_ASSERT(firn__manifest__pack(m, raw) == len);
    enum firn_codec codec = compress ? FIRN_CODEC_ZSTD : FIRN_CODEC_NONE;
    enum firn_status st = firn_buf_reserve(out, FIRN_MANIFEST_HEADER_BYTES);
    if (st == FIRN_OK) {
        out->len += FIRN_MANIFEST_HEADER_BYTES;
        st = append_body(firn_slice_of(raw, len), &codec, out);
    }
    firn_free(raw);
    if (st != FIRN_OK) {
        out->len = start;
        return st;
    }
    uint8_t *p = out->data + start;
    struct firn_slice body = firn_slice_of(p + FIRN_MANIFEST_HEADER_BYTES,
                                           out->len - start - FIRN_MANIFEST_HEADER_BYTES);
    memset(p, 0, FIRN_MANIFEST_HEADER_BYTES);
    firn_objheader_put(p, FIRN_OBJ_MANIFEST, (uint16_t)m->format);
    p[AT_CODEC] = (uint8_t)codec;
    firn_put_le32(p + AT_RAW_LEN, (uint32_t)len);
    firn_put_le32(p + AT_STORED_LEN, (uint32_t)body.len);
    firn_put_le64(p + AT_SUM, checksum(p, body));
    return FIRN_OK;
}

/* Header and checksum; *body is what lies behind the header. */
static enum firn_status check_object(struct firn_slice object, struct firn_slice *body,
                                     struct firn_err *err)
{
    enum firn_status st = firn_objheader_check(object, FIRN_OBJ_MANIFEST, FIRN_FORMAT_OLDEST,
                                               firn_format_newest, err);
    if (st != FIRN_OK)
        return st;
    if (object.len < FIRN_MANIFEST_HEADER_BYTES)
        return firn_fail(err, FIRN_CORRUPT, "a manifest of %zu bytes, less than its header",
                         object.len);
    const uint8_t *p = object.data;
    *body = firn_slice_of(p + FIRN_MANIFEST_HEADER_BYTES, object.len - FIRN_MANIFEST_HEADER_BYTES);
    if (body->len != firn_le32(p + AT_STORED_LEN))
        return firn_fail(err, FIRN_CORRUPT, "a manifest with %zu bytes of body, not %u", body->len,
                         firn_le32(p + AT_STORED_LEN));
    if (firn_le64(p + AT_SUM) != checksum(p, *body))
        return firn_fail(err, FIRN_CORRUPT, "a manifest whose checksum is wrong");
    bool zero = p[AT_CODEC + 1] == 0 && p[AT_CODEC + 2] == 0 && p[AT_CODEC + 3] == 0 &&
                firn_le32(p + AT_ZERO) == 0;
    if (!zero || !firn_codec_known(p[AT_CODEC]))
        return firn_fail(err, FIRN_INVALID,
                         "a manifest is stored in a way (codec %u) that this version of Firn does "
                         "not know: use a newer one",
                         p[AT_CODEC]);
    if (firn_le32(p + AT_RAW_LEN) > FIRN_MANIFEST_RAW_MAX)
        return firn_fail(err, FIRN_CORRUPT, "a manifest of %u bytes, above the bound of %zu",
                         firn_le32(p + AT_RAW_LEN), FIRN_MANIFEST_RAW_MAX);
    return FIRN_OK;
}

enum firn_status firn_manifest_decode(struct firn_slice object, Firn__Manifest **out,
                                      struct firn_err *err)
{
    struct firn_slice body;
    enum firn_status st = check_object(object, &body, err);
    if (st != FIRN_OK)
        return st;
    size_t raw_len = firn_le32(object.data + AT_RAW_LEN);
    uint8_t *raw = firn_malloc(raw_len);
    if (!raw)
        return firn_fail(err, FIRN_LIMIT, "no memory for a manifest of %zu bytes", raw_len);
    struct budget b = {FIRN_MANIFEST_MEMORY_MAX, false};
    struct firn_codec_ctx ctx = {0};
    Firn__Manifest *m = NULL;
    st = firn_codec_unpack(&ctx, object.data[AT_CODEC], body, raw, raw_len);
    firn_codec_ctx_clear(&ctx);
    if (st != FIRN_OK) {
        (void)firn_fail(err, st, "a manifest that cannot be decompressed to its %zu bytes",
                        raw_len);
        goto out;
    }
    m = (Firn__Manifest *)unpack(&firn__manifest__descriptor, firn_slice_of(raw, raw_len), &b);
    if (!m)
        st = b.short_of
                 ? firn_fail(err, FIRN_LIMIT, "no memory for a manifest of %zu bytes", raw_len)
                 : firn_fail(err, FIRN_CORRUPT, "a manifest that is no protobuf message");
    else if (m->format != firn_objheader_format(object.data))
        st = firn_fail(err, FIRN_CORRUPT, "a manifest of format %u whose header says %u", m->format,
                       firn_objheader_format(object.data));
    else
        st = firn_manifest__check_shape(m, err);
    if (st == FIRN_OK) {
        *out = m;
        m = NULL;
    }
out:
    firn_pb_manifest_free(m);
    firn_free(raw);
    return st;
}

void firn_pb_manifest_free(Firn__Manifest *m)
{
    free_message((ProtobufCMessage *)m);
}

Firn__Manifest *firn_pb_manifest_dup(const Firn__Manifest *m)
{
    return dup_message(&m->base);
}

Firn__Manifest *firn_pb_manifest_new(void)
{
    Firn__Manifest *m = new_message(&firn__manifest__descriptor);
    if (!m)
        return NULL;
    m->format = firn_format_newest;
    m->writer = new_message(&firn__role__descriptor);
    m->compactor = new_message(&firn__role__descriptor);
    m->floor = new_message(&firn__place__descriptor);
    m->kept = new_message(&firn__place__descriptor);
    m->l0_start = new_message(&firn__place__descriptor);
    m->dialect = new_message(&firn__dialect__descriptor);
    m->settings = new_message(&firn__settings__descriptor);
    if (m->writer && m->compactor && m->floor && m->kept && m->l0_start && m->dialect &&
        m->settings)
        return m;
    firn_pb_manifest_free(m);
    return NULL;
}

/* ---- reading */

struct firn_id firn_pb_id(const ProtobufCBinaryData *b)
{
    struct firn_id id = {{0}};
    if (b->len == FIRN_ID_BYTES)
        memcpy(id.byte, b->data, FIRN_ID_BYTES);
    return id;
}

struct firn_slice firn_table_lower(const Firn__Table *t)
{
    struct firn_slice bound = firn_pb_slice(&t->lower), clip = firn_pb_slice(&t->clip_lower);
    return firn_slice_cmp(clip, bound) > 0 ? clip : bound;
}

struct firn_slice firn_table_upper(const Firn__Table *t)
{
    struct firn_slice bound = firn_pb_slice(&t->upper), clip = firn_pb_slice(&t->clip_upper);
    return clip.len && firn_slice_cmp(clip, bound) < 0 ? clip : bound;
}

/* ---- setters */

enum firn_status firn_pb_set_bytes(ProtobufCBinaryData *field, struct firn_slice value)
{
    uint8_t *copy = NULL;
    if (value.len) {
        copy = firn_malloc(value.len);
        if (!copy)
            return FIRN_LIMIT;
        memcpy(copy, value.data, value.len);
    }
    firn_free(field->data);
    *field = (ProtobufCBinaryData){value.len, copy};
    return FIRN_OK;
}

enum firn_status firn_pb_set_id(ProtobufCBinaryData *field, const struct firn_id *id)
{
    return firn_pb_set_bytes(field, firn_slice_of(id->byte, FIRN_ID_BYTES));
}

enum firn_status firn_pb_set_string(char **field, const char *value)
{
    char *copy = firn_strdup(value);
    if (!copy)
        return FIRN_LIMIT;
    if (*field != protobuf_c_empty_string) /* the static default of unset fields */
        firn_free(*field);
    *field = copy;
    return FIRN_OK;
}

enum firn_status firn_pb_set_place(Firn__Place **field, struct firn_place p)
{
    if (!*field)
        *field = new_message(&firn__place__descriptor);
    if (!*field)
        return FIRN_LIMIT;
    (*field)->epoch = p.epoch;
    (*field)->slot = p.slot;
    return FIRN_OK;
}

/* ---- sub-messages */

Firn__Table *firn_pb_table_new(void)
{
    return new_message(&firn__table__descriptor);
}
Firn__Table *firn_pb_table_dup(const Firn__Table *t)
{
    return dup_message(&t->base);
}
void firn_pb_table_free(Firn__Table *t)
{
    free_message((ProtobufCMessage *)t);
}
Firn__Run *firn_pb_run_new(void)
{
    return new_message(&firn__run__descriptor);
}
void firn_pb_run_free(Firn__Run *r)
{
    free_message((ProtobufCMessage *)r);
}
Firn__Partition *firn_pb_partition_new(void)
{
    Firn__Partition *p = new_message(&firn__partition__descriptor);
    if (!p)
        return NULL;
    p->l0_upto = new_message(&firn__place__descriptor);
    if (p->l0_upto)
        return p;
    firn_pb_partition_free(p);
    return NULL;
}
Firn__Partition *firn_pb_partition_dup(const Firn__Partition *p)
{
    return dup_message(&p->base);
}
void firn_pb_partition_free(Firn__Partition *p)
{
    free_message((ProtobufCMessage *)p);
}
Firn__Garbage *firn_pb_garbage_new(void)
{
    return new_message(&firn__garbage__descriptor);
}
void firn_pb_garbage_free(Firn__Garbage *g)
{
    free_message((ProtobufCMessage *)g);
}
Firn__Checkpoint *firn_pb_checkpoint_new(void)
{
    Firn__Checkpoint *c = new_message(&firn__checkpoint__descriptor);
    if (!c)
        return NULL;
    c->floor = new_message(&firn__place__descriptor);
    if (c->floor)
        return c;
    firn_pb_checkpoint_free(c);
    return NULL;
}
void firn_pb_checkpoint_free(Firn__Checkpoint *c)
{
    free_message((ProtobufCMessage *)c);
}
Firn__Feature *firn_pb_feature_new(void)
{
    return new_message(&firn__feature__descriptor);
}
void firn_pb_feature_free(Firn__Feature *f)
{
    free_message((ProtobufCMessage *)f);
}

/* ---- repeated fields */

enum firn_status firn_pb_insert_ptr(void ***array, size_t *count, size_t at, void *element)
{
    FIRN_ASSERT(at <= *count);
    if (*count >= SIZE_MAX / sizeof(void *) - 1)
        return FIRN_LIMIT;
    void **grown = firn_realloc(*array, (*count + 1) * sizeof(void *));
    if (!grown)
        return FIRN_LIMIT;
    memmove(grown + at + 1, grown + at, (*count - at) * sizeof(void *));
    grown[at] = element;
    *array = grown;
    (*count)++;
    return FIRN_OK;
}

void *firn_pb_remove_ptr(void **array, size_t *count, size_t at)
{
    FIRN_ASSERT(at < *count);
    void *element = array[at];
    memmove(array + at, array + at + 1, (*count - at - 1) * sizeof(void *));
    (*count)--;
    return element;
}
