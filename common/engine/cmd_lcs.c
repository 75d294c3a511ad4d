/* LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]: the longest common subsequence of two
 * values. Which of several it is, and in what ranges it is told, follows from Redis's table of
 * lengths L(i, j) of the prefixes of a and b; here one bit per cell is computed, 64 cells at a
 * time: bit j of row i says L(i, j+1) > L(i, j). Source: H. Hyyrö, "Bit-Parallel LCS-length
 * Computation Revisited" (2004). */
#include "engine/cmd_priv.h"

#include "base/mem.h"

/* Cells of the table: at most 128 MiB of bits, and some 20 ms of the loop. More than Redis takes
 * (128 Mi cells of 4 bytes). */
#define CELLS_MAX (UINT64_C(512) << 20)

struct lcs {
    struct firn_slice a, b;
    size_t words;       /* of a row */
    uint64_t *rows;     /* of prefix lengths 1 … a.len; of the last only, if the length will do */
    uint64_t *matches;  /* places of each byte of `a` in b, a row each */
    uint64_t *row[256]; /* into matches */
    bool whole;         /* all rows are kept */
    size_t len;         /* the result */
};

struct lcs_options {
    bool len, idx, with_match_len;
    int64_t min_match_len;
};

static enum firn_status parse(struct firn_eval *x, struct lcs_options *o)
{
    *o = (struct lcs_options){0};
    for (size_t i = 3; i < x->argc; i++) {
        if (firn_engine__arg_is(x, i, "idx")) {
            o->idx = true;
        } else if (firn_engine__arg_is(x, i, "len")) {
            o->len = true;
        } else if (firn_engine__arg_is(x, i, "withmatchlen")) {
            o->with_match_len = true;
        } else if (firn_engine__arg_is(x, i, "minmatchlen") && i + 1 < x->argc) {
            enum firn_status st = firn_engine__arg_i64(x, ++i, &o->min_match_len);
            if (st != FIRN_OK)
                return st;
        } else {
            return firn_engine__syntax_error(x);
        }
    }
    if (o->idx && o->len) {
        firn_reply_error(x->out,
                         "ERR If you want both the length and indexes, please just use IDX.");
        return FIRN_INVALID;
    }
    return FIRN_OK;
}

/* ---- the table */

static enum firn_status note_matches(struct lcs *l)
{
    size_t distinct = 0;
    bool seen[256] = {false};
    for (size_t i = 0; i < l->a.len; i++) {
        distinct += !seen[l->a.data[i]];
        seen[l->a.data[i]] = true;
    }
    l->matches = firn_calloc(distinct * l->words, sizeof *l->matches);
    if (!l->matches)
        return FIRN_LIMIT;
    uint64_t *next = l->matches;
    for (size_t c = 0; c < 256; c++) {
        l->row[c] = seen[c] ? next : NULL;
        next += seen[c] ? l->words : 0;
    }
    for (size_t j = 0; j < l->b.len; j++)
        if (seen[l->b.data[j]])
            l->row[l->b.data[j]][j / 64] |= UINT64_C(1) << j % 64;
    return FIRN_OK;
}

/* The row below `above` (which it may be) for a byte of a that stands in b where `match` says. With
 * V the complement of the bits kept: V' = (V + (V & M)) | (V & ~M). */
static void next_row(const uint64_t *above, const uint64_t *match, uint64_t *row, size_t words)
{
    uint64_t carry = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t v = ~above[w], m = v & match[w], sum;
        uint64_t c = __builtin_add_overflow(v, m, &sum);
        c |= __builtin_add_overflow(sum, carry, &sum);
        row[w] = ~(sum | (v & ~match[w]));
        carry = c;
    }
}

static bool bit(const uint64_t *row, size_t j)
{
    return row[j / 64] >> j % 64 & 1;
}

static uint64_t *row_of(const struct lcs *l, size_t i)
{
    return l->rows + (l->whole ? (i - 1) * l->words : 0);
}

static enum firn_status compute(struct lcs *l)
{
    l->words = (l->b.len + 63) / 64;
    if (l->words == 0 || l->a.len == 0)
        return FIRN_OK;
    l->rows = firn_calloc((l->whole ? l->a.len : 1) * l->words, sizeof *l->rows);
    if (!l->rows || note_matches(l) != FIRN_OK)
        return FIRN_LIMIT;
    /* The row of the empty prefix is all zeros, as the first one kept is still. */
    const uint64_t *above = l->rows;
    for (size_t i = 1; i <= l->a.len; i++) {
        next_row(above, l->row[l->a.data[i - 1]], row_of(l, i), l->words);
        above = row_of(l, i);
    }
    for (size_t j = 0; j < l->b.len; j++)
        l->len += bit(above, j);
    return FIRN_OK;
}

/* ---- from the end back to the beginning */

/* A run of places that match in both, or none. */
struct run {
    size_t a, b, len;
};

struct trace {
    const struct lcs *l;
    const struct lcs_options *o;
    struct firn_reply *out; /* ranges go here, or NULL */
    size_t ranges;
    uint8_t *text; /* the subsequence goes here, or NULL */
};

static void emit(struct trace *t, struct run *r)
{
    if (r->len && t->out && (int64_t)r->len >= t->o->min_match_len) {
        firn_reply_array(t->out, t->o->with_match_len ? 3 : 2);
        firn_reply_array(t->out, 2);
        firn_reply_i64(t->out, (int64_t)r->a);
        firn_reply_i64(t->out, (int64_t)(r->a + r->len - 1));
        firn_reply_array(t->out, 2);
        firn_reply_i64(t->out, (int64_t)r->b);
        firn_reply_i64(t->out, (int64_t)(r->b + r->len - 1));
        if (t->o->with_match_len)
            firn_reply_i64(t->out, (int64_t)r->len);
        t->ranges++;
    }
    r->len = 0;
}

static void trace_back(struct trace *t)
{
    const struct lcs *l = t->l;
    size_t i = l->a.len, j = l->b.len, left = l->len;
    struct run r = {0};
    while (i > 0 && j > 0) {
        if (l->a.data[i - 1] == l->b.data[j - 1]) {
            r = (struct run){--i, --j, r.len + 1};
            if (t->text)
                t->text[--left] = l->a.data[i];
            continue;
        }
        emit(t, &r);
        /* Redis goes up where L(i-1, j) > L(i, j-1): where the two lengths in row i differ, for no
         * length in this cell comes from both. */
        if (bit(row_of(l, i), j - 1))
            i--;
        else
            j--;
    }
    emit(t, &r);
}

static void reply_ranges(struct firn_eval *x, const struct lcs *l, const struct lcs_options *o)
{
    struct trace t = {.l = l, .o = o, .out = x->out};
    firn_reply_map(x->out, 2);
    firn_reply_str(x->out, "matches");
    size_t place = firn_reply_defer_array(x->out);
    trace_back(&t);
    firn_reply_fill_array(x->out, place, t.ranges);
    firn_reply_str(x->out, "len");
    firn_reply_i64(x->out, (int64_t)l->len);
}

static void reply_text(struct firn_eval *x, const struct lcs *l, const struct lcs_options *o)
{
    struct trace t = {.l = l, .o = o, .text = firn_reply_bulk_space(x->out, l->len)};
    if (t.text && l->len)
        trace_back(&t);
}

/* ---- the command */

/* The two values; a missing key's is empty. */
static enum firn_status get_both(struct firn_eval *x, struct lcs *l)
{
    struct firn_slice *to[2] = {&l->a, &l->b};
    enum firn_status st = firn_engine__gather(x, 1, 1, 2);
    for (size_t i = 0; i < 2 && st == FIRN_OK; i++) {
        struct firn_entry v;
        st = firn_engine__get(x, x->argv[1 + i], &v);
        firn_engine__count_lookup(x, st);
        *to[i] = st == FIRN_OK ? v.value : firn_slice_of(NULL, 0);
        if (st == FIRN_ABSENT)
            st = FIRN_OK;
    }
    return st;
}

enum firn_status firn_engine__cmd_lcs(struct firn_eval *x)
{
    struct lcs l = {0};
    struct lcs_options o;
    enum firn_status st = get_both(x, &l);
    if (st == FIRN_OK)
        st = parse(x, &o);
    if (st != FIRN_OK)
        return st;
    if (l.b.len && l.a.len > CELLS_MAX / l.b.len) {
        firn_reply_error(
            x->out,
            "ERR Insufficient memory, the table of LCS for values of %zu and %zu bytes "
            "exceeds %llu cells",
            l.a.len, l.b.len, (unsigned long long)CELLS_MAX);
        return FIRN_INVALID;
    }
    l.whole = !o.len;
    st = compute(&l);
    if (st == FIRN_OK && o.idx)
        reply_ranges(x, &l, &o);
    else if (st == FIRN_OK && o.len)
        firn_reply_i64(x->out, (int64_t)l.len);
    else if (st == FIRN_OK)
        reply_text(x, &l, &o);
    firn_free(l.rows);
    firn_free(l.matches);
    return st;
}
