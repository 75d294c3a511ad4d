#include "format/filter.h"

#include "base/assert.h"
#include "base/bytes.h"

#define KIND_BLOCKED_BLOOM 1
#define PROBES_MAX 16

/* The line of a hash: its high half scaled to the number of lines. */
static inline size_t line_at(uint64_t hash, uint32_t lines)
{
    return (size_t)(((hash >> 32) * lines) >> 32) * FIRN_FILTER_LINE_BYTES;
}

/* Probe i of a key: the top 9 bits of its low half, multiplied by the golden ratio once per probe.
 */
static inline uint32_t probe_first(uint64_t hash)
{
    return (uint32_t)hash * 0x9e3779b9u;
}
static inline uint32_t probe_next(uint32_t h)
{
    return h * 0x9e3779b9u;
}

/* Probes that give the least false positives: about 0.69 per bit, somewhat less within lines. */
static unsigned probes_for(unsigned bits_per_key)
{
    unsigned k = (bits_per_key * 6 + 5) / 10;
    return k < 1 ? 1 : k > PROBES_MAX ? PROBES_MAX : k;
}

enum firn_status firn_filter_build(const uint64_t *hash, size_t n, unsigned bits_per_key,
                                   struct firn_buf *out)
{
    FIRN_ASSERT(bits_per_key >= 1 && bits_per_key <= 64);
    uint64_t lines = ((uint64_t)n * bits_per_key + 511) / 512;
    if (lines == 0)
        lines = 1;
    if (lines > UINT32_MAX)
        return FIRN_LIMIT;
    size_t size = FIRN_FILTER_HEADER_BYTES + (size_t)lines * FIRN_FILTER_LINE_BYTES;
    enum firn_status s = firn_buf_reserve(out, size);
    if (s != FIRN_OK)
        return s;
    uint8_t *p = out->data + out->len;
    memset(p, 0, size);
    unsigned probes = probes_for(bits_per_key);
    p[0] = KIND_BLOCKED_BLOOM;
    p[1] = (uint8_t)probes;
    firn_put_le32(p + 4, (uint32_t)lines);
    p += FIRN_FILTER_HEADER_BYTES;
    for (size_t i = 0; i < n; i++) {
        uint8_t *line = p + line_at(hash[i], (uint32_t)lines);
        uint32_t h = probe_first(hash[i]);
        for (unsigned k = 0; k < probes; k++, h = probe_next(h))
            line[h >> 26] |= (uint8_t)(1u << ((h >> 23) & 7));
    }
    out->len += size;
    return FIRN_OK;
}

enum firn_status firn_filter_open(struct firn_slice bytes, struct firn_filter *out)
{
    if (bytes.len < FIRN_FILTER_HEADER_BYTES)
        return FIRN_CORRUPT;
    if (bytes.data[0] != KIND_BLOCKED_BLOOM)
        return FIRN_INVALID;
    unsigned probes = bytes.data[1];
    uint32_t lines = firn_le32(bytes.data + 4);
    if (probes < 1 || probes > PROBES_MAX || firn_le16(bytes.data + 2) != 0 || lines == 0 ||
        (uint64_t)lines * FIRN_FILTER_LINE_BYTES != bytes.len - FIRN_FILTER_HEADER_BYTES)
        return FIRN_CORRUPT;
    *out = (struct firn_filter){bytes.data + FIRN_FILTER_HEADER_BYTES, lines, probes};
    return FIRN_OK;
}

bool firn_filter_may_have(const struct firn_filter *f, uint64_t hash)
{
    if (!f->lines)
        return true;
    const uint8_t *line = f->line + line_at(hash, f->lines);
    uint32_t h = probe_first(hash);
    for (unsigned k = 0; k < f->probes; k++, h = probe_next(h))
        if (!(line[h >> 26] & (1u << ((h >> 23) & 7))))
            return false;
    return true;
}
