/* Values as strings of bits: SETBIT, GETBIT, BITCOUNT, BITPOS. Bit 0 is the highest of byte 0.
 * Ranges, defaults and the order of checks are those of Redis 7.0 (bitops.c). */
#include "engine/cmd_priv.h"

#include "base/bytes.h"

/* The place of a bit, argv[i]; at most the last bit of the longest value. */
static enum firn_status offset_arg(struct firn_eval *x, size_t i, uint64_t *offset)
{
    int64_t v;
    if (firn_parse_i64(x->argv[i], &v) && v >= 0 &&
        (uint64_t)v / 8 < x->db->settings->value_max_bytes) {
        *offset = (uint64_t)v;
        return FIRN_OK;
    }
    firn_reply_error(x->out, "ERR bit offset is not an integer or out of range");
    return FIRN_INVALID;
}

static unsigned bit_at(struct firn_slice v, uint64_t offset)
{
    uint64_t byte = offset / 8;
    return byte < v.len ? v.data[byte] >> (7 - offset % 8) & 1U : 0;
}

enum firn_status firn_engine__cmd_getbit(struct firn_eval *x)
{
    uint64_t offset;
    struct firn_entry v;
    enum firn_status st = offset_arg(x, 2, &offset);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &v);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    firn_engine__count_lookup(x, st);
    firn_reply_i64(x->out, st == FIRN_OK ? bit_at(v.value, offset) : 0);
    return FIRN_OK;
}

static enum firn_status bit_arg(struct firn_eval *x, size_t i, unsigned *bit)
{
    int64_t v;
    if (!firn_parse_i64(x->argv[i], &v) || (v != 0 && v != 1)) {
        firn_reply_error(x->out, "ERR bit is not an integer or out of range");
        return FIRN_INVALID;
    }
    *bit = (unsigned)v;
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_setbit(struct firn_eval *x)
{
    uint64_t offset;
    unsigned bit = 0;
    struct firn_entry old = {0};
    enum firn_status st = offset_arg(x, 2, &offset);
    if (st == FIRN_OK)
        st = bit_arg(x, 3, &bit);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &old);
    if (st == FIRN_ABSENT)
        old = (struct firn_entry){0};
    else if (st != FIRN_OK)
        return st;
    size_t need = (size_t)(offset / 8) + 1;
    unsigned before = bit_at(old.value, offset);
    if (need <= old.value.len && before == bit)
        return firn_engine__noop_i64(x, before);
    size_t len = need > old.value.len ? need : old.value.len;
    uint8_t *to = NULL;
    st = firn_engine__scratch(x, old.value, len, &to);
    if (st != FIRN_OK)
        return st;
    memset(to + old.value.len, 0, len - old.value.len);
    uint8_t mask = (uint8_t)(0x80U >> offset % 8);
    to[need - 1] = (uint8_t)(bit ? to[need - 1] | mask : to[need - 1] & ~mask);
    st = firn_engine__put(x, x->argv[1], firn_slice_of(to, len), old.expiry_ms, FIRN_EVENT_SETBIT);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, before);
    firn_engine__scratch_done(x);
    return st;
}

/* ---- ranges */

/* Bits first … last of a value; empty when first > last. */
struct bit_range {
    int64_t first, last;
    bool empty;
    bool end_given;
};

/* argv[i] as the unit of a range: BIT, BYTE, or (argc ≤ i) bytes. */
static enum firn_status unit_arg(struct firn_eval *x, size_t i, bool *bits)
{
    *bits = firn_engine__arg_is(x, i, "bit");
    if (*bits || x->argc <= i || firn_engine__arg_is(x, i, "byte"))
        return FIRN_OK;
    return firn_engine__syntax_error(x);
}

/* Redis's rule for ranges: negative positions count from the end, both ends inclusive. */
static void make_range(struct bit_range *r, size_t len, int64_t start, int64_t end, bool bits)
{
    int64_t unit = bits ? 1 : 8, total = (int64_t)len * 8 / unit;
    if (start < 0)
        start = start < -total ? 0 : start + total;
    if (end < 0)
        end = end < -total ? 0 : end + total;
    if (end >= total)
        end = total - 1;
    r->empty = start > end;
    r->first = r->empty ? 0 : start * unit;
    r->last = r->empty ? 0 : end * unit + unit - 1;
}

/* Up to 8 bytes from `at` on as a big-endian number, zeros behind the last. */
static uint64_t word_at(struct firn_slice v, size_t at)
{
    if (v.len - at >= 8)
        return firn_be64(v.data + at);
    uint64_t w = 0;
    for (size_t i = at; i < v.len; i++)
        w |= (uint64_t)v.data[i] << (56 - 8 * (i - at));
    return w;
}

/* The bits of the 64 from bit `at` on that lie within the range. */
static uint64_t mask_at(const struct bit_range *r, int64_t at)
{
    uint64_t mask = UINT64_MAX;
    if (r->first > at)
        mask >>= r->first - at;
    if (r->last - at < 63)
        mask &= ~(UINT64_MAX >> (r->last - at + 1));
    return mask;
}

static int64_t count_bits(struct firn_slice v, const struct bit_range *r)
{
    int64_t n = 0;
    for (int64_t at = r->first / 64 * 64; !r->empty && at <= r->last; at += 64)
        n += __builtin_popcountll(word_at(v, (size_t)(at / 8)) & mask_at(r, at));
    return n;
}

/* The first bit of the range that is `bit`, or -1. */
static int64_t find_bit(struct firn_slice v, const struct bit_range *r, unsigned bit)
{
    for (int64_t at = r->first / 64 * 64; !r->empty && at <= r->last; at += 64) {
        uint64_t w = word_at(v, (size_t)(at / 8));
        w = (bit ? w : ~w) & mask_at(r, at);
        if (w)
            return at + __builtin_clzll(w);
    }
    return -1;
}

enum firn_status firn_engine__cmd_bitcount(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_OK || st == FIRN_ABSENT)
        firn_engine__count_lookup(x, st);
    if (st == FIRN_ABSENT) { /* before the range is looked at, as Redis 7.0 */
        firn_reply_i64(x->out, 0);
        return FIRN_OK;
    }
    if (st != FIRN_OK)
        return st;
    if (x->argc == 3 || x->argc > 5)
        return firn_engine__syntax_error(x);
    int64_t start = 0, end = -1;
    bool bits = false;
    if (x->argc > 3) {
        st = firn_engine__arg_i64(x, 2, &start);
        if (st == FIRN_OK)
            st = firn_engine__arg_i64(x, 3, &end);
        if (st == FIRN_OK && start < 0 && end < 0 && start > end) {
            firn_reply_i64(x->out, 0);
            return FIRN_OK;
        }
        if (st == FIRN_OK)
            st = unit_arg(x, 4, &bits);
    }
    if (st != FIRN_OK)
        return st;
    struct bit_range r;
    make_range(&r, v.value.len, start, end, bits);
    firn_reply_i64(x->out, count_bits(v.value, &r));
    return FIRN_OK;
}

/* BITPOS's [start [end [BIT|BYTE]]]. */
static enum firn_status bitpos_range(struct firn_eval *x, size_t len, struct bit_range *r)
{
    int64_t start = 0, end = -1;
    bool bits = false;
    enum firn_status st = FIRN_OK;
    if (x->argc > 6)
        return firn_engine__syntax_error(x);
    if (x->argc > 3)
        st = firn_engine__arg_i64(x, 3, &start);
    if (st == FIRN_OK)
        st = unit_arg(x, 5, &bits);
    r->end_given = x->argc > 4;
    if (st == FIRN_OK && r->end_given)
        st = firn_engine__arg_i64(x, 4, &end);
    if (st == FIRN_OK)
        make_range(r, len, start, end, bits);
    return st;
}

enum firn_status firn_engine__cmd_bitpos(struct firn_eval *x)
{
    int64_t bit;
    struct firn_entry v;
    struct bit_range r;
    enum firn_status st = firn_engine__arg_i64(x, 2, &bit);
    if (st == FIRN_OK && bit != 0 && bit != 1) {
        firn_reply_error(x->out, "ERR The bit argument must be 1 or 0.");
        return FIRN_INVALID;
    }
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[1], &v);
    if (st == FIRN_OK || st == FIRN_ABSENT)
        firn_engine__count_lookup(x, st);
    if (st == FIRN_ABSENT) { /* endless zeros, whatever the range */
        firn_reply_i64(x->out, bit ? -1 : 0);
        return FIRN_OK;
    }
    if (st == FIRN_OK)
        st = bitpos_range(x, v.value.len, &r);
    if (st != FIRN_OK)
        return st;
    int64_t at = find_bit(v.value, &r, (unsigned)bit);
    /* Without an end the value counts as padded with zeros. */
    if (at < 0 && !bit && !r.end_given && !r.empty)
        at = (int64_t)v.value.len * 8;
    firn_reply_i64(x->out, at);
    return FIRN_OK;
}
