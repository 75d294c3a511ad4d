/* Parts of a value: APPEND, SETRANGE, GETRANGE. */
#include "engine/cmd_priv.h"

enum firn_status firn_engine__cmd_append(struct firn_eval *x)
{
    struct firn_entry old = {0};
    enum firn_status st = firn_engine__get(x, x->argv[1], &old);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    struct firn_slice add = x->argv[2];
    if (st == FIRN_ABSENT)
        old = (struct firn_entry){0};
    size_t len = old.value.len + add.len;
    uint8_t *to = NULL;
    st = firn_engine__scratch(x, old.value, len, &to);
    if (st != FIRN_OK)
        return st;
    if (add.len)
        memcpy(to + old.value.len, add.data, add.len);
    st = firn_engine__put(x, x->argv[1], firn_slice_of(to, len), old.expiry_ms, FIRN_EVENT_APPEND);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, (int64_t)len);
    firn_engine__scratch_done(x);
    return st;
}

enum firn_status firn_engine__cmd_setrange(struct firn_eval *x)
{
    int64_t offset;
    enum firn_status st = firn_engine__arg_i64(x, 2, &offset);
    if (st != FIRN_OK)
        return st;
    if (offset < 0) {
        firn_reply_error(x->out, "ERR offset is out of range");
        return FIRN_INVALID;
    }
    struct firn_entry old;
    st = firn_engine__get(x, x->argv[1], &old);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    if (st == FIRN_ABSENT)
        old = (struct firn_entry){0};
    struct firn_slice part = x->argv[3];
    if (part.len == 0)
        return firn_engine__noop_i64(x, (int64_t)old.value.len);
    uint64_t end = (uint64_t)offset + part.len;
    size_t len = end > old.value.len ? (size_t)end : old.value.len;
    uint8_t *to = NULL;
    st = firn_engine__scratch(x, old.value, end > old.value.len ? end : old.value.len, &to);
    if (st != FIRN_OK)
        return st;
    if (len > old.value.len)
        memset(to + old.value.len, 0, len - old.value.len);
    memcpy(to + offset, part.data, part.len);
    st =
        firn_engine__put(x, x->argv[1], firn_slice_of(to, len), old.expiry_ms, FIRN_EVENT_SETRANGE);
    if (st == FIRN_OK)
        firn_reply_i64(x->out, (int64_t)len);
    firn_engine__scratch_done(x);
    return st;
}

/* Redis's rule for substrings: negative positions count from the end, both ends inclusive. */
static struct firn_slice substring(struct firn_slice v, int64_t start, int64_t end)
{
    int64_t len = (int64_t)v.len;
    if (start < 0 && end < 0 && start > end)
        return firn_slice_of(NULL, 0);
    if (start < 0)
        start = start + len < 0 ? 0 : start + len;
    if (end < 0)
        end = end + len < 0 ? 0 : end + len;
    if (end >= len)
        end = len - 1;
    if (start > end || len == 0)
        return firn_slice_of(NULL, 0);
    return firn_slice_of(v.data + start, (size_t)(end - start + 1));
}

enum firn_status firn_engine__cmd_getrange(struct firn_eval *x)
{
    int64_t start, end;
    enum firn_status st = firn_engine__arg_i64(x, 2, &start);
    if (st == FIRN_OK)
        st = firn_engine__arg_i64(x, 3, &end);
    if (st != FIRN_OK)
        return st;
    struct firn_entry v;
    st = firn_engine__get(x, x->argv[1], &v);
    firn_engine__count_lookup(x, st);
    if (st != FIRN_OK && st != FIRN_ABSENT)
        return st;
    struct firn_slice value = st == FIRN_OK ? v.value : firn_slice_of(NULL, 0);
    firn_reply_bulk(x->out, substring(value, start, end));
    return FIRN_OK;
}
