/* Replies as they come from the wire, and what they say of an operation. */
#include "sim/history.h"

#include "base/assert.h"
#include "format/token.h"

/* ---- RESP */

struct cursor {
    const char *at, *end;
};

/* The rest of a line behind its type, without CRLF; data NULL: not whole. */
static struct firn_slice take_line(struct cursor *c)
{
    size_t have = (size_t)(c->end - c->at);
    const char *nl = have ? memchr(c->at, '\n', have) : NULL;
    if (!nl || nl - c->at < 2)
        return firn_slice_of(NULL, 0);
    struct firn_slice line = firn_slice_of(c->at + 1, (size_t)(nl - c->at) - 2);
    c->at = nl + 1;
    return line;
}

struct word {
    uint8_t kind; /* enum hist_item_kind, or HEAD: of an array, no value of its own */
    bool no_array;
    struct firn_slice text;
};
#define HEAD UINT8_MAX

/* One value at the cursor. `more` is told how many values follow in its stead (an array). False:
 * not whole. */
static bool take_value(struct cursor *c, struct word *w, uint64_t *more)
{
    char type = c->at < c->end ? *c->at : 0;
    struct firn_slice line = take_line(c);
    if (!line.data)
        return false;
    int64_t n = 0;
    *more = 0;
    *w = (struct word){.kind = HIST_NIL, .text = line};
    switch (type) {
    case '+':
        w->kind = HIST_STATUS;
        return true;
    case '-':
        w->kind = HIST_ERROR;
        return true;
    case ':':
        w->kind = HIST_INT;
        return true;
    case '$':
        n = hist_number(line);
        if (n < 0)
            return true;
        if (c->end - c->at < n + 2)
            return false;
        *w = (struct word){.kind = HIST_BULK, .text = firn_slice_of(c->at, (size_t)n)};
        c->at += n + 2;
        return true;
    case '*':
    case '~':
    case '>':
    case '%':
        n = hist_number(line) * (type == '%' ? 2 : 1);
        *more = n < 0 ? 0 : (uint64_t)n;
        w->no_array = n < 0;
        w->kind = n < 0 ? HIST_NIL : HEAD;
        return true;
    default:
        return true;
    }
}

size_t hist_reply_len(const char *bytes, size_t len)
{
    struct cursor c = {bytes, bytes + len};
    for (uint64_t left = 1; left; left--) {
        struct word w;
        uint64_t more;
        if (!take_value(&c, &w, &more))
            return 0;
        left += more;
    }
    return (size_t)(c.at - bytes);
}

static void add_item(struct hist *h, const struct hist_item *item)
{
    h->item = hist_room(h->item, &h->items_cap, h->items, sizeof *h->item);
    h->item[h->items++] = *item;
}

static struct hist_item item_of(struct hist *h, const struct word *w)
{
    struct hist_item item = {.kind = w->kind};
    if (w->kind == HIST_INT)
        item.n = hist_number(w->text);
    else if (w->kind == HIST_NIL)
        item.n = w->no_array;
    else if (w->kind == HIST_BULK || w->kind == HIST_ERROR)
        item.value = hist_intern(&h->values, w->text);
    return item;
}

/* ---- what it says */

static void take_token(struct hist *h, struct hist_op *op, const struct hist_item *item)
{
    struct firn_token t;
    if (item->kind == HIST_BULK &&
        firn_token_parse(hist_name_of(&h->values, item->value), &t) == FIRN_OK)
        op->seqno = t.seqno;
}

/* The reply of a range names where to go on: what was shown ends there. */
static void take_next(struct hist *h, struct hist_op *op, const struct hist_item *item)
{
    struct hist_action *a = &h->action[op->action];
    a->next = item->value;
    if (item->kind != HIST_BULK)
        return;
    uint32_t key = hist_intern(&h->keys, hist_name_of(&h->values, item->value));
    h->arg[a->arg + (a->reverse ? 0 : 1)] = key;
}

static void drop_head(struct hist_op *op, uint32_t n)
{
    n = n < op->items ? n : op->items;
    op->item += n;
    op->heads = n;
    op->items -= n;
}

/* The items lie behind h->item[op->item]. */
static void judge(struct hist *h, uint32_t at, uint64_t now_ns)
{
    struct hist_op *op = &h->op[at];
    const struct hist_item *item = &h->item[op->item];
    op->items = (uint32_t)(h->items - op->item);
    op->replied_ns = now_ns;
    op->outcome = HIST_OK;
    if (op->items == 1 && item->kind == HIST_ERROR) {
        struct firn_slice why = hist_name_of(&h->values, item->value);
        bool unknown = op->again || firn_slice_starts(why, firn_slice_str("KVUNKNOWN"));
        op->outcome = unknown ? HIST_UNKNOWN : HIST_REFUSED;
        return;
    }
    switch (op->form) {
    case HIST_EXEC: /* nil: a watched key was touched */
        if (op->items == 1 && item->kind == HIST_NIL && item->n)
            op->outcome = HIST_REFUSED;
        break;
    case HIST_BATCH:
        take_token(h, op, item);
        drop_head(op, 1);
        break;
    case HIST_TXN:
        op->held = item->n != 0;
        if (op->items > 1)
            take_token(h, op, item + 1);
        drop_head(op, 2);
        break;
    case HIST_OPEN:
        if (op->items > 1)
            take_token(h, op, item + 1);
        if (item->kind == HIST_BULK)
            op->snapshot = (uint64_t)hist_number(hist_name_of(&h->values, item->value));
        break;
    case HIST_TOKEN:
        take_token(h, op, item);
        break;
    case HIST_PLAIN:
        if (op->thens == 1 && h->action[op->action].verb == HIST_RANGE && op->items) {
            take_next(h, op, item);
            drop_head(op, 1);
        }
        break;
    default:
        break;
    }
}

size_t hist_answer(struct hist *h, uint32_t op, const char *bytes, size_t len, uint64_t now_ns)
{
    size_t used = hist_reply_len(bytes, len);
    if (!used)
        return 0;
    struct cursor c = {bytes, bytes + used};
    h->op[op].item = (uint32_t)h->items;
    for (uint64_t left = 1; left; left--) {
        struct word w;
        uint64_t more;
        bool whole = take_value(&c, &w, &more);
        FIRN_ASSERT(whole);
        left += more;
        if (w.kind == HEAD)
            continue;
        struct hist_item item = item_of(h, &w);
        add_item(h, &item);
    }
    if (h->items == h->op[op].item) /* an empty array */
        h->item = hist_room(h->item, &h->items_cap, h->items, sizeof *h->item);
    judge(h, op, now_ns);
    return used;
}

void hist_answer_items(struct hist *h, uint32_t op, const struct hist_item *item, size_t items,
                       uint64_t now_ns)
{
    h->op[op].item = (uint32_t)h->items;
    for (size_t i = 0; i < items; i++)
        add_item(h, &item[i]);
    h->item = hist_room(h->item, &h->items_cap, h->items, sizeof *h->item);
    judge(h, op, now_ns);
}
