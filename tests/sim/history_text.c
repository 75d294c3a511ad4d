#include "sim/history_text.h"

#include "base/assert.h"

#include <stdlib.h>

/* ---- writing */

#define SAY(...)                                                                                   \
    do {                                                                                           \
        enum firn_status said = firn_buf_printf(__VA_ARGS__);                                      \
        FIRN_ASSERT(said == FIRN_OK);                                                              \
    } while (0)

static bool is_plain(uint8_t c)
{
    return c > 0x20 && c < 0x7f && !strchr("%\";=:", c);
}

static void say_bytes(struct firn_buf *out, struct firn_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_plain(s.data[i]))
            SAY(out, "%c", s.data[i]);
        else
            SAY(out, "%%%02x", s.data[i]);
}

static void say_item(const struct hist *h, const struct hist_item *item, struct firn_buf *out)
{
    switch (item->kind) {
    case HIST_NIL:
        SAY(out, item->n ? " ~" : " _");
        break;
    case HIST_INT:
        SAY(out, " :%lld", (long long)item->n);
        break;
    case HIST_STATUS:
        SAY(out, " +");
        break;
    default:
        SAY(out, item->kind == HIST_BULK ? " $" : " -");
        say_bytes(out, hist_name_of(&h->values, item->value));
    }
}

void hist_text_op(const struct hist *h, const struct hist_op *op, struct firn_buf *out)
{
    SAY(out, "%u %u %u %llu %llu ", op->who.session, op->who.node, op->who.client,
        (unsigned long long)op->who.freshness_ns, (unsigned long long)op->invoked_ns);
    if (op->replied_ns == HIST_NEVER)
        SAY(out, "-");
    else
        SAY(out, "%llu", (unsigned long long)op->replied_ns);
    SAY(out, "%s%s%s :", op->who.applied ? " applied" : "", op->final ? " final" : "",
        op->form == HIST_EXEC ? " exec" : "");
    for (uint32_t i = 0; i < op->words; i++) {
        uint32_t id = h->word[op->word + i];
        struct firn_slice word = hist_name_of(&h->values, id);
        SAY(out, !id ? " ;" : !word.len ? " \"\"" : " ");
        say_bytes(out, word);
    }
    if (op->replied_ns == HIST_NEVER)
        return;
    SAY(out, " =>");
    for (uint32_t i = 0; i < op->heads + op->items; i++)
        say_item(h, &h->item[op->item - op->heads + i], out);
}

void hist_text_write(const struct hist *h, struct firn_buf *out)
{
    for (size_t i = 0; i < h->ops; i++) {
        hist_text_op(h, &h->op[i], out);
        SAY(out, "\n");
    }
}

/* ---- reading */

#define WORDS_MAX 4096

struct line {
    struct firn_slice left;
    struct firn_buf bytes; /* of the word read last, unescaped */
};

/* The next word as it stands; len 0: the line is over. */
static struct firn_slice next(struct line *l)
{
    const uint8_t *sp = l->left.len ? memchr(l->left.data, ' ', l->left.len) : NULL;
    size_t len = sp ? (size_t)(sp - l->left.data) : l->left.len, used = len + (sp != NULL);
    struct firn_slice word = firn_slice_of(l->left.data, len);
    l->left = firn_slice_of(l->left.data + used, l->left.len - used);
    return word;
}

static bool is(struct firn_slice s, const char *text)
{
    return firn_slice_eq(s, firn_slice_str(text));
}

static bool number(struct firn_slice s, uint64_t *out)
{
    char text[24], *end;
    if (s.len == 0 || s.len >= sizeof text || s.data[0] == '-')
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = 0;
    *out = strtoull(text, &end, 10);
    return *end == 0;
}

/* The bytes that a word stands for, in arena `to`, which has room. */
static bool plain_bytes(struct firn_slice s, struct firn_buf *to, struct firn_slice *out)
{
    size_t from = to->len;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];
        if (c == '%') {
            char hex[3] = {0}, *end;
            if (s.len - i < 3)
                return false;
            memcpy(hex, s.data + i + 1, 2);
            c = (uint8_t)strtoul(hex, &end, 16);
            if (end != hex + 2)
                return false;
            i += 2;
        } else if (!is_plain(c)) {
            return false;
        }
        to->data[to->len++] = c;
    }
    *out = firn_slice_of(to->data + from, to->len - from);
    return true;
}

static bool read_who(struct line *l, struct hist_op *op)
{
    uint64_t session, node, client;
    if (!number(next(l), &session) || !number(next(l), &node) || !number(next(l), &client) ||
        !number(next(l), &op->who.freshness_ns) || !number(next(l), &op->invoked_ns))
        return false;
    op->who.session = (uint32_t)session;
    op->who.node = (uint32_t)node;
    op->who.client = (uint32_t)client;
    op->replied_ns = HIST_NEVER;
    struct firn_slice w = next(l);
    if (!is(w, "-") && (!number(w, &op->replied_ns) || op->replied_ns < op->invoked_ns))
        return false;
    for (w = next(l); w.len && !is(w, ":"); w = next(l))
        if (is(w, "applied"))
            op->who.applied = true;
        else if (is(w, "final"))
            op->final = true;
        else if (is(w, "exec"))
            op->form = HIST_EXEC;
        else
            return false;
    return w.len > 0;
}

/* One word list after the other, up to "=>" or the end. */
static bool read_commands(struct hist *h, uint32_t op, struct line *l, bool *answered)
{
    struct firn_slice word[WORDS_MAX];
    size_t n = 0;
    for (;;) {
        struct firn_slice w = next(l);
        bool last = w.len == 0 || is(w, "=>");
        if (last || is(w, ";")) {
            if (n)
                (void)hist_command(h, op, word, n);
            *answered = w.len > 0;
            if (last)
                return n > 0;
            n = 0;
        } else if (n == WORDS_MAX ||
                   !plain_bytes(is(w, "\"\"") ? firn_slice_of("", 0) : w, &l->bytes, &word[n++])) {
            return false;
        }
    }
}

static bool read_item(struct hist *h, struct line *l, struct firn_slice w, struct hist_item *item)
{
    static const char kinds[] =
        "_$:+-~"; /* in the order of enum hist_item_kind, then the array's */
    const char *kind = strchr(kinds, w.data[0]);
    struct firn_slice rest = firn_slice_of(w.data + 1, w.len - 1), bytes;
    if (!w.data[0] || !kind)
        return false;
    *item = (struct hist_item){.kind = (uint8_t)(kind - kinds)};
    if (*kind == '~')
        *item = (struct hist_item){.kind = HIST_NIL, .n = 1};
    if (item->kind == HIST_INT) {
        bool negative = rest.len && rest.data[0] == '-';
        uint64_t n;
        if (!number(firn_slice_of(rest.data + negative, rest.len - negative), &n))
            return false;
        item->n = negative ? -(int64_t)n : (int64_t)n;
        return true;
    }
    if (item->kind != HIST_BULK && item->kind != HIST_ERROR)
        return rest.len == 0;
    if (!plain_bytes(rest, &l->bytes, &bytes))
        return false;
    item->value = hist_intern(&h->values, bytes);
    return true;
}

static bool read_reply(struct hist *h, uint32_t op, uint64_t at_ns, struct line *l)
{
    struct hist_item item[WORDS_MAX];
    size_t n = 0;
    for (struct firn_slice w = next(l); w.len; w = next(l))
        if (n == WORDS_MAX || !read_item(h, l, w, &item[n++]))
            return false;
    hist_answer_items(h, op, item, n, at_ns);
    return true;
}

/* What lies behind read_who. */
static bool read_op(struct hist *h, const struct hist_op *head, struct line *l)
{
    bool answered;
    uint32_t op = hist_begin(h, &head->who, head->invoked_ns);
    h->op[op].final = head->final;
    h->op[op].form = head->form;
    if (read_commands(h, op, l, &answered) && answered == (head->replied_ns != HIST_NEVER) &&
        (!answered || read_reply(h, op, head->replied_ns, l)))
        return true;
    h->ops--; /* its parts are not referred to again */
    return false;
}

enum firn_status hist_text_line(struct hist *h, struct firn_slice line, struct firn_err *err)
{
    struct line l = {.left = line};
    struct hist_op head = {.form = HIST_PLAIN};
    if (line.len == 0 || line.data[0] == '#')
        return FIRN_OK;
    firn_buf_init(&l.bytes, SIZE_MAX);
    enum firn_status st = firn_buf_reserve(&l.bytes, line.len);
    FIRN_ASSERT(st == FIRN_OK);
    if (!read_who(&l, &head))
        st = firn_fail(err, FIRN_INVALID, "not a session, node, client, freshness and times");
    else if (!read_op(h, &head, &l))
        st = firn_fail(err, FIRN_INVALID, "not commands and a reply, or one time too few");
    firn_buf_clear(&l.bytes);
    return st;
}
