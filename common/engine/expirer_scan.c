/* The expirer's memory: the next entries of the expiry index, read in order as they are used up.
 *
 * Each pass opens an iterator, takes what is resident and ends within the turn, so that no write
 * comes in between: what is logged later is either before `upto`, and then put into memory at once,
 * or behind it, and then found by a later pass. */
#include "base/mem.h"
#include "engine/engine_priv.h"

#define LOW (FIRN_EXPIRER_MAX / 8) /* read on when fewer entries are left … */
#define FILL                                                                                       \
    (FIRN_EXPIRER_MAX / 2) /* … up to so many: room for those that are logged meanwhile          \
                            */
#define READ_AHEAD 16      /* blocks of the index per round trip */

static size_t entries(const struct firn_expirer *x)
{
    return x->far.len + x->near.len + x->nstuck;
}

static size_t due_bytes(size_t key_len)
{
    return sizeof(struct firn_due) + key_len;
}

static uint64_t bytes_max(const struct firn_expirer *x)
{
    const struct firn_engine *e = FIRN_CONTAINER(x, const struct firn_engine, expirer);
    return firn_engine__remembered_max(e, FIRN_REMEMBERED_EXPIRING, FIRN_EXPIRER_BYTES_MAX);
}

static void count(struct firn_expirer *x, uint64_t bytes)
{
    x->bytes = bytes;
    firn_engine__remembered(FIRN_CONTAINER(x, struct firn_engine, expirer));
}

enum firn_status firn_engine__expirer_push(struct firn_expirer *x, uint64_t at_ms,
                                           struct firn_slice key)
{
    if (entries(x) >= FIRN_EXPIRER_MAX || x->bytes >= bytes_max(x))
        return FIRN_LIMIT;
    struct firn_due *d = firn_malloc(due_bytes(key.len));
    if (!d)
        return FIRN_LIMIT;
    d->node = (struct firn_heap_node){.key = at_ms};
    d->len = (uint32_t)key.len;
    memcpy(d->key, key.data, key.len);
    if (firn_heap_push(&x->far, &d->node) != FIRN_OK) {
        firn_free(d);
        return FIRN_LIMIT;
    }
    count(x, x->bytes + due_bytes(key.len));
    return FIRN_OK;
}

void firn_engine__expirer_drop(struct firn_expirer *x, struct firn_due *d)
{
    count(x, x->bytes - due_bytes(d->len));
    firn_free(d);
}

static void empty(struct firn_expirer *x, struct firn_heap *h)
{
    for (struct firn_heap_node *n; (n = firn_heap_min(h));) {
        firn_heap_remove(h, n);
        firn_engine__expirer_drop(x, firn_engine__due(n));
    }
}

enum firn_status firn_engine__expirer_rewind(struct firn_expirer *x, uint64_t from_ms)
{
    uint8_t first[FIRN_EXPIRY_KEY_HEAD] = {FIRN_NS_EXPIRY};
    empty(x, &x->far);
    empty(x, &x->near);
    for (size_t i = 0; i < x->nstuck; i++)
        firn_engine__expirer_drop(x, x->stuck[i]);
    x->nstuck = 0;
    x->complete = false;
    firn_put_be64(first + 1, from_ms);
    x->upto.len = 0;
    return firn_buf_append(&x->upto, first, sizeof first);
}

bool firn_engine__expirer_covers(const struct firn_expirer *x, uint64_t at_ms,
                                 struct firn_slice key)
{
    struct firn_slice upto = firn_buf_slice(&x->upto);
    uint64_t upto_ms = firn_expiry_key_ms(upto);
    if (x->complete || at_ms != upto_ms)
        return x->complete || at_ms < upto_ms;
    return firn_slice_cmp(key, firn_expiry_key_of(upto)) < 0;
}

static bool is_full(const struct firn_expirer *x)
{
    return entries(x) >= FILL || x->bytes >= bytes_max(x) / 2;
}

bool firn_engine__expirer_wants(struct firn_expirer *x)
{
    if (x->filling)
        x->filling = !is_full(x);
    else
        x->filling = entries(x) < LOW && x->bytes < bytes_max(x) / 2;
    return x->filling && !x->complete;
}

/* Everything up to this entry has been taken: `upto` is its immediate successor. */
static enum firn_status taken(struct firn_expirer *x, struct firn_slice key)
{
    const uint8_t zero = 0;
    x->upto.len = 0;
    enum firn_status s = firn_buf_append(&x->upto, key.data, key.len);
    return s == FIRN_OK ? firn_buf_append(&x->upto, &zero, 1) : s;
}

static enum firn_status take_some(struct firn_expirer *x, struct firn_iter *it)
{
    enum firn_status s = FIRN_OK;
    for (size_t n = 0; n < FIRN_EXPIRER_TURN && s == FIRN_OK; n++) {
        struct firn_entry e;
        if (is_full(x))
            break;
        s = firn_iter_next(it, &e);
        if (s == FIRN_ABSENT)
            x->complete = true;
        if (s != FIRN_OK)
            break;
        if (!firn_expiry_key_valid(e.key))
            return FIRN_CORRUPT;
        s = firn_engine__expirer_push(x, firn_expiry_key_ms(e.key), firn_expiry_key_of(e.key));
        if (s == FIRN_OK)
            s = taken(x, e.key);
    }
    return s == FIRN_ABSENT ? FIRN_OK : s;
}

enum firn_status firn_engine__expirer_scan(struct firn_engine *e)
{
    static const uint8_t end = FIRN_NS_EXPIRY + 1;
    struct firn_expirer *x = &e->expirer;
    struct firn_iter *it;
    struct firn_iter_options o = {
        .start = firn_buf_slice(&x->upto),
        .end = firn_slice_of(&end, 1),
        .keys_only = true,
        .max_seqno = UINT64_MAX,
        .ahead = READ_AHEAD,
    };
    enum firn_status s = firn_iter_create(e->db->view, &x->scan, &o, &it);
    if (s != FIRN_OK)
        return s;
    s = take_some(x, it);
    /* What the last pass had come to was kept until this one stood on it, too: where the cache is
     * small, metadata would be gone when the blocks have come. */
    firn_iter_free(x->held);
    x->held = s == FIRN_AGAIN ? it : NULL;
    if (s != FIRN_AGAIN) {
        firn_iter_free(it);
        firn_read_clear(&x->scan);
    }
    return s;
}
