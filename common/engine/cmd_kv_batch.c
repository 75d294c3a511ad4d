/* KV.BATCH and KV.TXN: operations of one request, all or nothing, as one atomic group. */
#include "engine/cmd_priv.h"

#include "base/sometimes.h"
#include "engine/condition_priv.h"
#include "engine/dedup_priv.h"
#include "engine/ops_priv.h"
#include "engine/text_priv.h"

struct request {
    struct firn_request_id id;
    size_t comparisons; /* how many, from … */
    size_t first;       /* … this argument on */
    struct firn_ops then, otherwise;
    bool conditional; /* KV.TXN */
    bool held;        /* what is compared holds */
};

static void request_clear(struct request *q)
{
    firn_engine__ops_clear(&q->then);
    firn_engine__ops_clear(&q->otherwise);
}

/* ---- the reply */

/* A token of the state that the request left or saw. */
static size_t token_of(const struct firn_eval *x, char out[FIRN_TOKEN_MAX])
{
    const struct firn_db *db = x->db;
    struct firn_token t = firn_engine__state_token(x->e);
    if (db->last_gate > db->durable_gate) {
        t.place = (struct firn_place){db->durable_place.epoch, db->last_gate - 1};
        t.seqno = db->applied_seqno;
    }
    return firn_token_format(&t, out);
}

/* [token, …], KV.TXN: [held, token, …]; the results follow. */
static void reply_head(struct firn_eval *x, const struct request *q, bool held)
{
    char token[FIRN_TOKEN_MAX];
    size_t len = token_of(x, token);
    firn_reply_array(x->out, q->conditional ? 3 : 2);
    if (q->conditional)
        firn_reply_i64(x->out, held);
    firn_reply_bulk(x->out, firn_slice_of(token, len));
}

/* The results, appended since mark, get their head, which names what the commit gave. */
static void reply_whole(struct firn_eval *x, const struct request *q, size_t mark)
{
    struct firn_buf results;
    if (!firn_engine__tx_cut(x->out, mark, &results))
        return;
    reply_head(x, q, q->held);
    firn_reply_raw(x->out, results.data, results.len);
    firn_buf_clear(&results);
}

/* It was committed already: the same answer, as far as it was kept. */
static enum firn_status replay(struct firn_eval *x, const struct request *q,
                               const struct firn_dedup *d)
{
    enum firn_status st = firn_engine__noop(x);
    if (st != FIRN_OK)
        return st;
    if (x->gated) { /* it is a write whose outcome is waited for */
        x->gate.kind = FIRN_GATE_WRITE;
        x->gate.deadline_ns = x->arrival_ns + x->db->settings->commit_timeout_ns;
    }
    reply_head(x, q, d->held);
    return firn_engine__request_replay(x->out, d);
}

/* An operation failed: -KVABORT, which operation, why. That follows from the data. */
static enum firn_status aborted(struct firn_tx *tx)
{
    struct firn_eval *x = tx->x;
    struct firn_buf *b = &x->out->buf;
    char why[1024] = "its condition does not hold";
    size_t len = strlen(why);
    if (!tx->unmet) {
        len = b->len - tx->mark - 3; /* "-" and CRLF */
        len = len < sizeof why ? len : sizeof why;
        memcpy(why, b->data + tx->mark + 1, len);
    }
    b->len = tx->mark;
    enum firn_status st = firn_engine__noop(x);
    if (st != FIRN_OK)
        return st;
    firn_reply_error(x->out, "KVABORT %zu %.*s", tx->failed_at, (int)len, why);
    return FIRN_INVALID;
}

static enum firn_status run(struct firn_eval *x, const struct request *q)
{
    const struct firn_ops *ops = q->held ? &q->then : &q->otherwise;
    struct firn_tx tx = {
        .x = x,
        .cmd = ops->cmd,
        .n = ops->n,
        .mark = x->out->buf.len,
        .strict = true,
        .touched = true, /* with no operations too: its token names the state it saw */
    };
    uint8_t kept[FIRN_DEDUP_MAX];
    firn_reply_array(x->out, ops->n);
    enum firn_status st = firn_engine__tx_pass(&tx);
    if (st == FIRN_INVALID && !tx.whole)
        st = aborted(&tx);
    if (st == FIRN_OK && q->id.id.data && x->e->group.n)
        st = firn_engine__request_keep(
            x, &q->id, q->held,
            firn_slice_of(x->out->buf.data + tx.mark, x->out->buf.len - tx.mark), kept);
    if (st == FIRN_OK)
        st = firn_engine__tx_commit(&tx);
    if (st == FIRN_OK)
        reply_whole(x, q, tx.mark);
    firn_engine__tx_clear(&tx);
    return st;
}

/* What the operations will miss, to be fetched with what is missing already. */
static void note_ops(struct firn_eval *x, const struct firn_ops *ops)
{
    struct firn_tx tx = {.x = x, .cmd = ops->cmd, .n = ops->n};
    firn_engine__tx_note_misses(&tx, 0, x->ns);
}

/* Replayed (OK, INVALID …), or ABSENT: it is new. */
static enum firn_status known(struct firn_eval *x, const struct request *q)
{
    struct firn_dedup d;
    if (!q->id.id.data)
        return FIRN_ABSENT;
    enum firn_status st = firn_engine__request_find(x, &q->id, &d);
    if (st == FIRN_AGAIN) {
        note_ops(x, &q->then);
        note_ops(x, &q->otherwise);
    }
    FIRN_SOMETIMES_IF(st == FIRN_OK, "engine: a request remembered by its ID");
    return st == FIRN_OK ? replay(x, q, &d) : st;
}

/* ---- KV.BATCH [ID reqid] n argc arg… argc arg… … */

enum firn_status firn_engine__cmd_kv_batch(struct firn_eval *x)
{
    struct request q = {.held = true};
    size_t i = 1;
    enum firn_status st = firn_engine__request_id(x, &i, &q.id);
    if (st == FIRN_OK)
        st = firn_engine__ops_parse(x, &i, &q.then);
    if (st == FIRN_OK && i != x->argc)
        st = firn_engine__syntax_error(x);
    if (st == FIRN_OK)
        st = known(x, &q);
    if (st == FIRN_ABSENT)
        st = run(x, &q);
    request_clear(&q);
    return st;
}

static size_t skip_id(size_t argc, const struct firn_slice *argv)
{
    return argc > 2 && firn_slice_ieq(argv[1], "id") ? 3 : 1;
}

size_t firn_engine__keys_kv_batch(size_t argc, const struct firn_slice *argv,
                                  struct firn_key_ref *out, size_t max)
{
    size_t i = skip_id(argc, argv);
    size_t n = firn_engine__ops_keys(argc, argv, &i, out, max, 0);
    return i == argc ? n : FIRN_KEYS_INVALID;
}

/* ---- KV.TXN [ID reqid] ncmp {VERSION|VALUE|EXISTS|DIGEST key op arg} … THEN n … [ELSE n …] */

#define WORDS 4 /* of a comparison */

enum subject { VERSION, VALUE, EXISTS, DIGEST };

struct comparison {
    enum subject subject;
    struct firn_slice key, arg;
    uint64_t number; /* VERSION, EXISTS */
    char op;         /* '=', '!', '<', '>' */
};

static bool parse_operator(struct firn_slice word, bool ordered, char *op)
{
    static const char *const words[] = {"=", "!=", "<", ">"};
    for (size_t i = 0; i < (ordered ? 4 : 2); i++)
        if (firn_slice_ieq(word, words[i])) {
            *op = words[i][0];
            return true;
        }
    return false;
}

static bool parse_comparison(const struct firn_slice *word, struct comparison *c)
{
    static const char *const subjects[] = {"version", "value", "exists", "digest"};
    size_t s = 0;
    while (s < 4 && !firn_slice_ieq(word[0], subjects[s]))
        s++;
    *c = (struct comparison){.subject = (enum subject)s, .key = word[1], .arg = word[3]};
    if (s == 4 || !parse_operator(word[2], s <= VALUE, &c->op))
        return false;
    if (s == VERSION || s == EXISTS)
        return firn_engine__parse_u64(word[3], &c->number) && (s == VERSION || c->number <= 1);
    return s == VALUE || firn_engine__is_digest(word[3]);
}

static bool holds_for_order(char op, int order)
{
    return op == '=' ? order == 0 : op == '!' ? order != 0 : op == '<' ? order < 0 : order > 0;
}

static int order_of(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* v NULL: there is no such key. Its version is 0; its value and digest are unequal to any. */
static bool holds(const struct comparison *c, const struct firn_entry *v)
{
    char digest[FIRN_DIGEST_LEN + 1] = "";
    switch (c->subject) {
    case VERSION:
        return holds_for_order(c->op, order_of(v ? v->seqno : 0, c->number));
    case EXISTS:
        return holds_for_order(c->op, order_of(v != NULL, c->number));
    case VALUE:
        return v ? holds_for_order(c->op, firn_slice_cmp(v->value, c->arg)) : c->op == '!';
    case DIGEST:
        if (v)
            firn_engine__digest(v->value, digest);
        return (v && firn_slice_ieq(c->arg, digest)) == (c->op == '=');
    }
    return false;
}

static enum firn_status parse_txn(struct firn_eval *x, struct request *q)
{
    size_t i = 1;
    int64_t n;
    enum firn_status st = firn_engine__request_id(x, &i, &q->id);
    if (st != FIRN_OK)
        return st;
    if (i >= x->argc || !firn_parse_i64(x->argv[i], &n) || n < 0 ||
        (uint64_t)n > (x->argc - i - 1) / WORDS) {
        firn_reply_error(x->out,
                         "ERR the number of comparisons is not one, or more than there are");
        return FIRN_INVALID;
    }
    q->first = i + 1;
    q->comparisons = (size_t)n;
    for (size_t k = 0; k < q->comparisons; k++) {
        struct comparison c;
        if (!parse_comparison(x->argv + q->first + k * WORDS, &c)) {
            firn_reply_error(x->out,
                             "ERR comparison %zu is none: VERSION|VALUE key =|!=|<|> arg, "
                             "EXISTS key =|!= 0|1, DIGEST key =|!= digest",
                             k);
            return FIRN_INVALID;
        }
    }
    i = q->first + q->comparisons * WORDS;
    if (!firn_engine__arg_is(x, i++, "then"))
        return firn_engine__syntax_error(x);
    st = firn_engine__ops_parse(x, &i, &q->then);
    if (st == FIRN_OK && firn_engine__arg_is(x, i, "else")) {
        i++;
        st = firn_engine__ops_parse(x, &i, &q->otherwise);
    }
    return st == FIRN_OK && i != x->argc ? firn_engine__syntax_error(x) : st;
}

/* Whether all comparisons hold. All that is missing, for the operations too, is noted at once. */
static enum firn_status compare_all(struct firn_eval *x, struct request *q)
{
    enum firn_status worst = FIRN_OK;
    q->held = true;
    for (size_t k = 0; k < q->comparisons; k++) {
        struct comparison c;
        struct firn_entry v;
        bool ok = parse_comparison(x->argv + q->first + k * WORDS, &c);
        FIRN_ASSERT(ok);
        enum firn_status st = firn_engine__get(x, c.key, &v);
        if (st == FIRN_AGAIN)
            worst = st;
        else if (st != FIRN_OK && st != FIRN_ABSENT)
            return st;
        else
            q->held &= holds(&c, st == FIRN_OK ? &v : NULL);
    }
    if (worst == FIRN_AGAIN) {
        note_ops(x, &q->then);
        note_ops(x, &q->otherwise);
    }
    return worst;
}

enum firn_status firn_engine__cmd_kv_txn(struct firn_eval *x)
{
    struct request q = {.conditional = true};
    enum firn_status st = parse_txn(x, &q);
    if (st == FIRN_OK)
        st = known(x, &q);
    if (st == FIRN_ABSENT) {
        st = compare_all(x, &q);
        if (st == FIRN_OK)
            st = run(x, &q);
    }
    request_clear(&q);
    return st;
}

size_t firn_engine__keys_kv_txn(size_t argc, const struct firn_slice *argv,
                                struct firn_key_ref *out, size_t max)
{
    size_t i = skip_id(argc, argv);
    int64_t n;
    if (i >= argc || !firn_parse_i64(argv[i], &n) || n < 0 || (uint64_t)n > (argc - i - 1) / WORDS)
        return FIRN_KEYS_INVALID;
    size_t have = 0;
    for (i++; have < (size_t)n; have++, i += WORDS)
        if (have < max)
            out[have] = (struct firn_key_ref){i + 1, FIRN_KEY_RO | FIRN_KEY_ACCESS};
    for (int list = 0; list < 2 && i < argc; list++) {
        if (!firn_slice_ieq(argv[i++], list ? "else" : "then"))
            return FIRN_KEYS_INVALID;
        have = firn_engine__ops_keys(argc, argv, &i, out, max, have);
        if (have == FIRN_KEYS_INVALID)
            return have;
    }
    return i == argc ? have : FIRN_KEYS_INVALID;
}
