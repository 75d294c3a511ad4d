#include "bench/load_record.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

#define MAGIC "firn-load record 1\n"
#define HEAD_BYTES 24    /* of a value */
#define FILLER_SPREAD 64 /* values begin at different places of the filler, 64 bytes apart */
#define FILLER_PLACES 1024

enum firn_status load_record_init(struct load_record *r, uint32_t keys_log2, uint32_t value_bytes)
{
    size_t filler = (size_t)FILLER_SPREAD * FILLER_PLACES + value_bytes;
    r->keys_log2 = keys_log2;
    r->value_bytes = value_bytes;
    r->key = firn_calloc((size_t)1 << keys_log2, sizeof *r->key);
    r->filler = firn_malloc(filler + sizeof(uint64_t));
    if (!r->key || !r->filler) {
        load_record_deinit(r);
        return FIRN_LIMIT;
    }
    for (size_t i = 0; i < filler; i += sizeof(uint64_t))
        firn_put_le64(r->filler + i, firn_xxh3(&i, sizeof i));
    return FIRN_OK;
}

void load_record_deinit(struct load_record *r)
{
    firn_free(r->key);
    firn_free(r->filler);
    *r = (struct load_record){0};
}

struct head {
    char magic[sizeof MAGIC];
    uint32_t keys_log2, value_bytes;
    uint64_t sum;
};

static void head_of(const struct load_record *r, struct head *h)
{
    memset(h, 0, sizeof *h);
    memcpy(h->magic, MAGIC, sizeof MAGIC);
    h->keys_log2 = r->keys_log2;
    h->value_bytes = r->value_bytes;
    h->sum = firn_xxh3(r->key, sizeof *r->key << r->keys_log2);
}

enum firn_status load_record_read(struct load_record *r, const char *path, struct firn_err *err)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return firn_fail(err, errno == ENOENT ? FIRN_ABSENT : FIRN_INVALID, "%s: %s", path,
                         strerror(errno));
    struct head got, want;
    size_t keys = (size_t)1 << r->keys_log2;
    bool whole =
        fread(&got, sizeof got, 1, f) == 1 && fread(r->key, sizeof *r->key, keys, f) == keys;
    (void)fclose(f);
    head_of(r, &want);
    if (whole && memcmp(&got, &want, sizeof got) == 0)
        return FIRN_OK;
    return firn_fail(err, FIRN_INVALID, "%s: damaged, or of other keys or values", path);
}

enum firn_status load_record_write(const struct load_record *r, const char *path,
                                   struct firn_err *err)
{
    struct head h;
    size_t keys = (size_t)1 << r->keys_log2;
    head_of(r, &h);
    FILE *f = fopen(path, "wbe");
    bool ok =
        f && fwrite(&h, sizeof h, 1, f) == 1 && fwrite(r->key, sizeof *r->key, keys, f) == keys;
    if (f && fclose(f) != 0)
        ok = false;
    return ok ? FIRN_OK : firn_fail(err, FIRN_INVALID, "%s: %s", path, strerror(errno));
}

void load_record_key(uint64_t key, char out[LOAD_KEY_BYTES])
{
    memcpy(out, "key:", 4);
    for (size_t i = LOAD_KEY_BYTES; i > 4; key /= 10)
        out[--i] = (char)('0' + key % 10);
}

static const uint8_t *filler_of(const struct load_record *r, uint64_t key, uint32_t seq)
{
    return r->filler + FILLER_SPREAD * ((key * 31 + seq) % FILLER_PLACES);
}

void load_record_value(const struct load_record *r, uint64_t key, uint32_t seq, uint8_t *out)
{
    firn_put_le64(out, seq);
    firn_put_le64(out + 8, key);
    firn_put_le64(out + 16, firn_xxh3(out, 16));
    memcpy(out + HEAD_BYTES, filler_of(r, key, seq), r->value_bytes - HEAD_BYTES);
}

enum firn_status load_record_check(const struct load_record *r, uint64_t key, struct firn_slice v,
                                   uint32_t *seq)
{
    if (v.len != r->value_bytes || firn_le64(v.data) > UINT32_MAX || firn_le64(v.data + 8) != key ||
        firn_le64(v.data + 16) != firn_xxh3(v.data, 16))
        return FIRN_CORRUPT;
    *seq = (uint32_t)firn_le64(v.data);
    if (memcmp(v.data + HEAD_BYTES, filler_of(r, key, *seq), v.len - HEAD_BYTES) != 0)
        return FIRN_CORRUPT;
    return FIRN_OK;
}
