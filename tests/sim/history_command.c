/* Commands as clients send them, as actions. */
#include "sim/history.h"

#include "base/assert.h"
#include "format/token.h"

#include <stdlib.h>

#define WORDS_MAX 4096

struct words {
    const struct firn_slice *at;
    size_t n;
};

static bool is(struct firn_slice w, const char *text)
{
    return firn_slice_ieq(w, text);
}

/* ---- actions */

static void add_arg(struct hist *h, uint32_t id)
{
    h->arg = hist_room(h->arg, &h->args_cap, h->args, sizeof *h->arg);
    h->arg[h->args++] = id;
    h->action[h->actions - 1].args++;
}

static struct hist_action *add_action(struct hist *h, enum hist_verb verb)
{
    h->action = hist_room(h->action, &h->actions_cap, h->actions, sizeof *h->action);
    h->action[h->actions] = (struct hist_action){.verb = (uint8_t)verb, .arg = (uint32_t)h->args};
    return &h->action[h->actions++];
}

static void add_key(struct hist *h, struct firn_slice w)
{
    add_arg(h, hist_intern(&h->keys, w));
}

static void add_value(struct hist *h, struct firn_slice w)
{
    add_arg(h, hist_intern(&h->values, w));
}

static bool add_keys(struct hist *h, struct words w)
{
    for (size_t i = 0; i < w.n; i++)
        add_key(h, w.at[i]);
    return w.n > 0;
}

static bool add_pairs(struct hist *h, struct words w)
{
    for (size_t i = 0; i + 1 < w.n; i += 2) {
        add_key(h, w.at[i]);
        add_value(h, w.at[i + 1]);
    }
    return w.n >= 2 && w.n % 2 == 0;
}

/* The empty string is no bound. */
static bool add_bounds(struct hist *h, struct words w)
{
    for (size_t i = 0; i < 2 && i < w.n; i++)
        add_arg(h, w.at[i].len ? hist_intern(&h->keys, w.at[i]) : 0);
    return w.n >= 2;
}

/* ---- options */

static bool condition_word(struct hist *h, struct hist_action *a, struct words w, size_t *i)
{
    static const char *const name[] = {"", "nx", "xx", "ifeq", "ifne"};
    for (uint8_t c = HIST_IF_ABSENT; c <= HIST_IF_UNEQUAL; c++) {
        if (!is(w.at[*i], name[c]))
            continue;
        a->condition = c;
        if (c < HIST_IF_EQUAL)
            return true;
        if (++*i >= w.n)
            return false;
        a->expected = hist_intern(&h->values, w.at[*i]);
        return true;
    }
    return false;
}

static bool ttl_word(struct hist_action *a, struct words w, size_t *i)
{
    bool seconds = is(w.at[*i], "ex"), past = is(w.at[*i], "pxat") || is(w.at[*i], "exat");
    if (is(w.at[*i], "keepttl")) {
        a->ttl = HIST_TTL_KEEP;
        return true;
    }
    if ((!seconds && !past && !is(w.at[*i], "px")) || ++*i >= w.n)
        return false;
    a->n = hist_number(w.at[*i]) * (seconds ? 1000 : 1);
    a->ttl = past ? HIST_TTL_PAST : HIST_TTL_IN;
    return !past || a->n == 1; /* other times of day are not ours to judge */
}

/* NX XX IFEQ IFNE GET EX PX KEEPTTL PXAT, from word i on. */
static bool options(struct hist *h, struct hist_action *a, struct words w, size_t i)
{
    for (; i < w.n; i++)
        if (is(w.at[i], "get"))
            a->get = true;
        else if (!condition_word(h, a, w, &i) && !ttl_word(a, w, &i))
            return false;
    return true;
}

/* ---- commands: w has the words behind the name */

static bool set(struct hist *h, struct words w)
{
    struct hist_action *a = add_action(h, HIST_SET);
    bool ok = w.n >= 2 && options(h, a, w, 2);
    return ok && add_pairs(h, (struct words){w.at, 2});
}

/* SETEX PSETEX key time value */
static bool set_for(struct hist *h, struct words w, int64_t unit)
{
    if (w.n != 3)
        return false;
    struct hist_action *a = add_action(h, HIST_SET);
    a->ttl = HIST_TTL_IN;
    a->n = hist_number(w.at[1]) * unit;
    add_key(h, w.at[0]);
    add_value(h, w.at[2]);
    return true;
}

static bool set_all(struct hist *h, struct words w, enum hist_verb verb,
                    enum hist_condition condition)
{
    add_action(h, verb)->condition = (uint8_t)condition;
    return add_pairs(h, w);
}

/* MSETEX n key value … options */
static bool set_all_for(struct hist *h, struct words w)
{
    size_t n = w.n ? (size_t)hist_number(w.at[0]) : 0;
    struct hist_action *a = add_action(h, HIST_SETNX);
    return n && n <= (w.n - 1) / 2 && options(h, a, w, 1 + 2 * n) &&
           add_pairs(h, (struct words){w.at + 1, 2 * n});
}

static bool getset(struct hist *h, struct words w)
{
    add_action(h, HIST_SET)->get = true;
    return w.n == 2 && add_pairs(h, w);
}

static bool del_if(struct hist *h, struct words w)
{
    struct hist_action *a = add_action(h, HIST_DEL);
    if (w.n != 2)
        return false;
    a->condition = HIST_IF_EQUAL;
    a->expected = hist_intern(&h->values, w.at[1]);
    add_key(h, w.at[0]);
    return true;
}

static bool incr(struct hist *h, struct words w, int64_t sign, bool given)
{
    struct hist_action *a = add_action(h, HIST_INCR);
    if (w.n != (given ? 2 : 1))
        return false;
    a->n = sign * (given ? hist_number(w.at[1]) : 1);
    add_key(h, w.at[0]);
    return true;
}

static bool expire(struct hist *h, struct words w, int64_t unit)
{
    struct hist_action *a = add_action(h, HIST_EXPIRE);
    if (w.n != 2)
        return false;
    a->n = hist_number(w.at[1]) * unit;
    a->ttl = a->n > 0 ? HIST_TTL_IN : HIST_TTL_PAST;
    add_key(h, w.at[0]);
    return true;
}

static bool copy(struct hist *h, struct words w)
{
    struct hist_action *a = add_action(h, HIST_COPY);
    a->keep_old = w.n == 2;
    return (w.n == 2 || (w.n == 3 && is(w.at[2], "replace"))) &&
           add_keys(h, (struct words){w.at, 2});
}

static bool flush(struct hist *h, struct words w)
{
    (void)w;
    (void)add_action(h, HIST_DELRANGE);
    add_arg(h, 0);
    add_arg(h, 0);
    return true;
}

static void take_token(struct hist_op *op, struct firn_slice text)
{
    struct firn_token t;
    if (firn_token_parse(text, &t) == FIRN_OK)
        op->wait_seqno = t.seqno;
}

/* KV.GET, KV.RANGE, KV.COUNT: words that say which state is read, and how a range is shown. */
static bool state_words(struct hist_op *op, struct hist_action *a, struct words w, size_t i)
{
    for (; i < w.n; i++) {
        bool more = i + 1 < w.n;
        if (is(w.at[i], "rev"))
            a->reverse = true;
        else if (is(w.at[i], "keysonly"))
            a->keys_only = true;
        else if ((is(w.at[i], "limit") || is(w.at[i], "bytes")) && more)
            i++;
        else if (is(w.at[i], "at") && more)
            op->snapshot = (uint64_t)hist_number(w.at[++i]);
        else if (is(w.at[i], "atleast") && more)
            take_token(op, w.at[++i]);
        else
            return false;
    }
    return true;
}

static bool read_state(struct hist *h, struct hist_op *op, enum hist_verb verb, struct words w)
{
    struct hist_action *a = add_action(h, verb);
    size_t keys = verb == HIST_GET ? 1 : 2;
    if (w.n < keys || !state_words(op, a, w, keys))
        return false;
    return verb == HIST_GET ? add_keys(h, (struct words){w.at, 1}) : add_bounds(h, w);
}

/* ---- which command it is */

static bool write_command(struct hist *h, struct firn_slice name, struct words w)
{
    if (is(name, "set"))
        return set(h, w);
    if (is(name, "mset"))
        return set_all(h, w, HIST_SET, HIST_ALWAYS);
    if (is(name, "setnx"))
        return w.n == 2 && set_all(h, w, HIST_SETNX, HIST_IF_ABSENT);
    if (is(name, "msetnx"))
        return set_all(h, w, HIST_SETNX, HIST_IF_ABSENT);
    if (is(name, "msetex"))
        return set_all_for(h, w);
    if (is(name, "setex") || is(name, "psetex"))
        return set_for(h, w, is(name, "setex") ? 1000 : 1);
    if (is(name, "getset"))
        return getset(h, w);
    if (is(name, "del") || is(name, "unlink"))
        return add_action(h, HIST_DEL) && add_keys(h, w);
    if (is(name, "delifeq"))
        return del_if(h, w);
    if (is(name, "getdel"))
        return add_action(h, HIST_GETDEL) && w.n == 1 && add_keys(h, w);
    if (is(name, "incr") || is(name, "decr"))
        return incr(h, w, is(name, "incr") ? 1 : -1, false);
    if (is(name, "incrby") || is(name, "decrby"))
        return incr(h, w, is(name, "incrby") ? 1 : -1, true);
    if (is(name, "expire") || is(name, "pexpire"))
        return expire(h, w, is(name, "expire") ? 1000 : 1);
    if (is(name, "persist"))
        return add_action(h, HIST_PERSIST) && w.n == 1 && add_keys(h, w);
    if (is(name, "copy"))
        return copy(h, w);
    if (is(name, "kv.delrange"))
        return add_action(h, HIST_DELRANGE) && w.n == 2 && add_bounds(h, w);
    if (is(name, "flushdb"))
        return flush(h, w);
    return false;
}

static bool simple_command(struct hist *h, struct hist_op *op, struct firn_slice name,
                           struct words w)
{
    if (is(name, "get") || is(name, "mget"))
        return add_action(h, HIST_GET) && add_keys(h, w);
    if (is(name, "exists"))
        return add_action(h, HIST_EXISTS) && add_keys(h, w);
    if (is(name, "kv.get"))
        return read_state(h, op, HIST_GET, w);
    if (is(name, "kv.range"))
        return read_state(h, op, HIST_RANGE, w);
    if (is(name, "kv.count"))
        return read_state(h, op, HIST_COUNT, w);
    return write_command(h, name, w);
}

/* n argc arg… argc arg… …; *used words. Returns how many commands, -1: malformed or not known. */
static int64_t operations(struct hist *h, struct hist_op *op, struct words w, size_t *used)
{
    int64_t n = w.n ? hist_number(w.at[0]) : -1;
    size_t i = 1;
    for (int64_t k = 0; k < n; k++) {
        size_t words = i < w.n ? (size_t)hist_number(w.at[i]) : 0;
        if (!words || words > w.n - i - 1 ||
            !simple_command(h, op, w.at[i + 1], (struct words){w.at + i + 2, words - 1}))
            return -1;
        i += 1 + words;
    }
    *used = i;
    return n;
}

static struct words behind(struct words w, size_t n)
{
    n = n < w.n ? n : w.n;
    return (struct words){w.at + n, w.n - n};
}

static bool compare(struct hist *h, const struct firn_slice word[4])
{
    struct hist_action *a = add_action(h, HIST_COMPARE);
    bool equal = is(word[2], "=");
    if (is(word[0], "value")) {
        a->condition = equal ? HIST_IF_EQUAL : HIST_IF_UNEQUAL;
        a->expected = hist_intern(&h->values, word[3]);
    } else if (is(word[0], "exists")) {
        bool there = (hist_number(word[3]) == 1) == equal;
        a->condition = there ? HIST_IF_PRESENT : HIST_IF_ABSENT;
    } else {
        return false;
    }
    add_key(h, word[1]);
    return equal || is(word[2], "!=");
}

static bool batch(struct hist *h, struct hist_op *op, struct words w)
{
    size_t used = 0;
    op->form = HIST_BATCH;
    int64_t n = operations(h, op, w, &used);
    op->thens = (uint32_t)(n < 0 ? 0 : n);
    return n >= 0 && used == w.n;
}

static bool txn(struct hist *h, struct hist_op *op, struct words w)
{
    size_t used = 0, n = w.n ? (size_t)hist_number(w.at[0]) : 0;
    op->form = HIST_TXN;
    if (w.n < 2 || n > (w.n - 2) / 4 || !is(w.at[1 + 4 * n], "then"))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!compare(h, w.at + 1 + 4 * i))
            return false;
    op->compares = (uint32_t)n;
    w = behind(w, 2 + 4 * n);
    int64_t thens = operations(h, op, w, &used);
    w = behind(w, used);
    op->thens = (uint32_t)(thens < 0 ? 0 : thens);
    if (thens < 0 || w.n == 0)
        return thens >= 0;
    int64_t elses = is(w.at[0], "else") ? operations(h, op, behind(w, 1), &used) : -1;
    op->elses = (uint32_t)(elses < 0 ? 0 : elses);
    return elses >= 0;
}

static bool request(struct hist *h, struct hist_op *op, struct firn_slice name, struct words w)
{
    if (is(name, "kv.token")) {
        op->form = HIST_TOKEN;
        return true;
    }
    if (is(name, "kv.wait") && w.n == 2) {
        op->form = HIST_WAIT;
        take_token(op, w.at[0]);
        return true;
    }
    if (is(name, "kv.snapshot") && w.n && is(w.at[0], "open")) {
        op->form = HIST_OPEN;
        return true;
    }
    bool kv_batch = is(name, "kv.batch");
    if (!kv_batch && !is(name, "kv.txn")) {
        op->thens++;
        return simple_command(h, op, name, w);
    }
    if (w.n >= 2 && is(w.at[0], "id"))
        w = behind(w, 2);
    return kv_batch ? batch(h, op, w) : txn(h, op, w);
}

static void keep_word(struct hist *h, struct hist_op *op, uint32_t id)
{
    h->word = hist_room(h->word, &h->words_cap, h->words, sizeof *h->word);
    h->word[h->words++] = id;
    op->words++;
}

bool hist_command(struct hist *h, uint32_t at, const struct firn_slice *word, size_t words)
{
    struct hist_op *op = &h->op[at];
    FIRN_ASSERT(at + 1 == h->ops);
    if (op->words)
        keep_word(h, op, 0);
    for (size_t i = 0; i < words; i++)
        keep_word(h, op, hist_intern(&h->values, word[i]));
    if (words && request(h, op, word[0], (struct words){word + 1, words - 1}))
        return true;
    op->form = HIST_OTHER;
    op->thens = op->elses = op->compares = 0;
    return false;
}

/* ---- commands as sent */

static size_t inline_words(const char *bytes, size_t len, struct firn_slice *word)
{
    size_t n = 0, i = 0;
    while (i < len && n < WORDS_MAX) {
        while (i < len && (bytes[i] == ' ' || bytes[i] == '\r' || bytes[i] == '\n'))
            i++;
        size_t from = i;
        while (i < len && bytes[i] != ' ' && bytes[i] != '\r' && bytes[i] != '\n')
            i++;
        if (i > from)
            word[n++] = firn_slice_of(bytes + from, i - from);
    }
    return n;
}

static size_t array_words(const char *bytes, size_t len, struct firn_slice *word)
{
    const char *end = bytes + len, *nl = memchr(bytes, '\n', len);
    size_t n = 0;
    while (nl && nl + 1 < end && n < WORDS_MAX) {
        const char *head = nl + 1; /* $len */
        nl = memchr(head, '\n', (size_t)(end - head));
        if (!nl)
            break;
        size_t word_len = (size_t)strtoull(head + 1, NULL, 10);
        FIRN_ASSERT(word_len + 2 <= (size_t)(end - nl - 1));
        word[n++] = firn_slice_of(nl + 1, word_len);
        nl += word_len + 2;
    }
    return n;
}

bool hist_wire(struct hist *h, uint32_t op, const char *bytes, size_t len)
{
    struct firn_slice word[WORDS_MAX];
    size_t n =
        len && bytes[0] == '*' ? array_words(bytes, len, word) : inline_words(bytes, len, word);
    return hist_command(h, op, word, n);
}
