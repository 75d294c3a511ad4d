/* RANDOMKEY: a random position in the key order, found by seeks alone. From the first and last key
 * on, the first byte in which they differ is drawn between theirs and the range narrowed to the
 * keys that have the byte next to it; so keys that share long prefixes, or use few of the 256
 * bytes, are all reached. The distribution is skewed towards thinly populated prefixes (INTERFACES
 * allows it). */
#include "engine/cmd_priv.h"
#include "engine/tx_priv.h"

#define LEVELS 12 /* at most two seeks each */

/* The first (reverse: last) live key of [start, end), internal keys, into out. OK, ABSENT, AGAIN, …
 */
static enum firn_status edge_key(struct firn_eval *x, struct firn_slice start,
                                 struct firn_slice end, bool reverse, struct firn_buf *out)
{
    struct firn_iter_options o = {
        .start = start,
        .end = end,
        .reverse = reverse,
        .keys_only = true,
        .max_seqno = x->max_seqno,
        .now_ms = firn_engine__now(x),
    };
    struct firn_iter *it;
    struct firn_entry v;
    enum firn_status st = firn_iter_create(x->view, &x->s->read, &o, &it);
    if (st != FIRN_OK)
        return st;
    st = firn_iter_next(it, &v);
    if (st == FIRN_OK) {
        out->len = 0;
        st = firn_buf_append(out, v.key.data, v.key.len);
    }
    firn_iter_free(it);
    return st;
}

static uint64_t mix(uint64_t v)
{
    v += 0x9e3779b97f4a7c15u; /* SplitMix64 (Steele, Lea, Flood 2014) */
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9u;
    v = (v ^ (v >> 27)) * 0x94d049bb133111ebu;
    return v ^ (v >> 31);
}

/* Narrow [low, high], two different keys, to those that share a drawn byte behind their common
 * prefix. */
static enum firn_status narrow(struct firn_eval *x, struct firn_buf *low, struct firn_buf *high,
                               struct firn_buf *bound, uint64_t draw)
{
    size_t p = 0;
    while (p < low->len && low->data[p] == high->data[p])
        p++;
    if (p == low->len &&
        draw % 8 == 0) { /* low is a prefix of all others: it has no byte to draw */
        high->len = 0;
        return firn_buf_append(high, low->data, low->len);
    }
    unsigned from = p < low->len ? low->data[p] : 0, to = high->data[p];
    uint8_t byte = (uint8_t)(from + (draw >> 8) % (to - from + 1));
    bound->len = 0;
    enum firn_status st = firn_buf_append(bound, high->data, p);
    if (st == FIRN_OK)
        st = firn_buf_append(bound, &byte, 1);
    uint8_t end = (uint8_t)(x->ns + 1);
    if (st == FIRN_OK)
        st = edge_key(x, firn_buf_slice(bound), firn_slice_of(&end, 1), false, low);
    if (st != FIRN_OK)
        return st;
    bound->data[p] = low->data[p];
    if (low->data[p] == to)
        return FIRN_OK; /* high has that byte, too */
    bound->data[p]++;
    return edge_key(x, firn_buf_slice(low), firn_buf_slice(bound), true, high);
}

static enum firn_status draw_key(struct firn_eval *x, struct firn_buf *low, struct firn_buf *high,
                                 struct firn_buf *bound)
{
    uint8_t ns = x->ns, end = (uint8_t)(x->ns + 1);
    struct firn_slice first = firn_slice_of(&ns, 1), last = firn_slice_of(&end, 1);
    enum firn_status st = edge_key(x, first, last, false, low);
    if (st == FIRN_OK)
        st = edge_key(x, first, last, true, high);
    uint64_t draw = x->s->draw + x->nth; /* another one for each of a transaction */
    for (int i = 0; i < LEVELS && st == FIRN_OK; i++) {
        if (firn_slice_eq(firn_buf_slice(low), firn_buf_slice(high)))
            break;
        draw = mix(draw);
        st = narrow(x, low, high, bound, draw);
    }
    return st;
}

enum firn_status firn_engine__cmd_randomkey(struct firn_eval *x)
{
    struct firn_buf low, high, bound;
    firn_buf_init(&low, FIRN_KEY_MAX);
    firn_buf_init(&high, FIRN_KEY_MAX);
    firn_buf_init(&bound, FIRN_KEY_MAX + 1);
    if (!x->s->draw) /* the same one for every evaluation of this command */
        x->s->draw = firn_random_u64(x->db->env) | 1;
    enum firn_status st = firn_engine__tx_show(x);
    if (st == FIRN_OK)
        st = draw_key(x, &low, &high, &bound);
    if (st == FIRN_OK) {
        struct firn_buf *pick = mix(x->s->draw + x->nth) >> 63 ? &high : &low;
        firn_reply_bulk(x->out, firn_key_user(firn_buf_slice(pick)));
    } else if (st == FIRN_ABSENT) {
        firn_reply_null(x->out);
        st = FIRN_OK;
    }
    firn_buf_clear(&low);
    firn_buf_clear(&high);
    firn_buf_clear(&bound);
    return st;
}
