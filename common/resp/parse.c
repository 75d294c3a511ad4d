#include "resp/parse.h"

#include "base/assert.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define UNAUTH_ARGS_MAX 10
#define UNAUTH_BULK_MAX (16 * 1024)

static enum firn_parse fail(struct firn_parser *p, const char *text)
{
    (void)snprintf(p->error, sizeof p->error, "ERR Protocol error: %s", text);
    return FIRN_PARSE_ERROR;
}

static enum firn_parse more(struct firn_parser *p, size_t need)
{
    p->need = need;
    return FIRN_PARSE_MORE;
}

static void begin(struct firn_parser *p)
{
    /* A command with many arguments must not make its connection heavy for ever. */
    if (p->argv_cap > 1024) {
        firn_free(p->argv);
        p->argv = NULL;
        p->argv_cap = 0;
    }
    p->argc = 0;
    p->at = 0;
    p->base = 0;
    p->args_left = 0;
    p->in_multibulk = p->in_bulk = p->done = false;
}

void firn_parser_reset(struct firn_parser *p)
{
    begin(p);
    if (p->text.cap > UNAUTH_BULK_MAX)
        firn_buf_clear(&p->text);
}

size_t firn_parser_bytes(const struct firn_parser *p)
{
    return (p->argv_cap > FIRN_PARSE_ARGV_INLINE ? p->argv_cap * sizeof *p->argv : 0) + p->text.cap;
}

void firn_parser_clear(struct firn_parser *p)
{
    if (p->argv != p->argv_inline)
        firn_free(p->argv);
    p->argv = NULL;
    p->argv_cap = 0;
    begin(p);
    firn_buf_clear(&p->text);
}

static inline bool push_arg(struct firn_parser *p, struct firn_slice s)
{
    if (p->argc == p->argv_cap) {
        if (!p->argv_cap) {
            p->argv = p->argv_inline;
            p->argv_cap = FIRN_PARSE_ARGV_INLINE;
        } else {
            bool heap = p->argv != p->argv_inline;
            size_t cap = p->argv_cap * 2;
            struct firn_slice *v = firn_realloc(heap ? p->argv : NULL, cap * sizeof *v);
            if (!v)
                return false;
            if (!heap)
                memcpy(v, p->argv_inline, sizeof p->argv_inline);
            p->argv = v;
            p->argv_cap = cap;
        }
    }
    p->argv[p->argc++] = s;
    return true;
}

/* The bytes moved since the arguments so far were found: let them point to where they are now. */
static void rebase(struct firn_parser *p, const uint8_t *data)
{
    for (size_t i = 0; i < p->argc; i++)
        p->argv[i].data = data + ((uintptr_t)p->argv[i].data - p->base);
    p->base = (uintptr_t)data;
}

enum number { NUMBER_OK, NUMBER_MORE, NUMBER_BAD };

/* The decimal number between s and the next CR, as string2ll takes it; *used counts it and CRLF. */
static inline __attribute__((always_inline)) enum number length_line(const uint8_t *s, size_t n,
                                                                     int64_t *v, size_t *used)
{
    /* Nearly all have one, two or three digits. */
    if (__builtin_expect(n >= 5, 1)) {
        unsigned a = s[0] - '0', b = s[1] - '0', c = s[2] - '0';
        if (a <= 9 && s[1] == '\r') {
            *v = a;
            *used = 3;
            return NUMBER_OK;
        }
        if (a - 1 <= 8 && b <= 9 && (s[2] == '\r' || (c <= 9 && s[3] == '\r'))) {
            bool two = s[2] == '\r';
            *v = two ? a * 10 + b : a * 100 + b * 10 + c;
            *used = two ? 4 : 5;
            return NUMBER_OK;
        }
    }
    bool negative = n > 0 && s[0] == '-';
    size_t first = negative ? 1 : 0;
    size_t i = first;
    uint64_t u = 0;
    while (i < n && (uint8_t)(s[i] - '0') <= 9) {
        u = u * 10 + (uint64_t)(s[i] - '0');
        if (++i - first > 18)
            return NUMBER_BAD;
    }
    if (i == n)
        return NUMBER_MORE;
    if (s[i] != '\r' || i == first || (s[first] == '0' && (negative || i - first > 1)))
        return NUMBER_BAD;
    if (i + 1 == n)
        return NUMBER_MORE;
    *v = negative ? -(int64_t)u : (int64_t)u;
    *used = i + 2;
    return NUMBER_OK;
}

bool firn_parse_i64(struct firn_slice s, int64_t *out)
{
    bool negative = s.len > 0 && s.data[0] == '-';
    size_t i = negative ? 1 : 0;
    size_t digits = s.len - i;
    if (digits == 0 || digits > 19 || (s.data[i] == '0' && s.len > 1))
        return false;
    uint64_t u = 0;
    for (; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        u = u * 10 + (uint64_t)(s.data[i] - '0'); /* 19 digits fit 64 bits */
    }
    if (u > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = negative ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

/* --- inline requests */

struct splitter {
    const uint8_t *at, *end;
    struct firn_buf *text; /* has room for the whole line: it never moves while splitting */
};

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a "…" string, escapes resolved. */
static uint8_t unescape(struct splitter *s)
{
    const uint8_t *p = s->at;
    size_t left = (size_t)(s->end - p);
    if (*p != '\\' || left < 2) {
        s->at++;
        return *p;
    }
    if (left >= 4 && p[1] == 'x' && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
        s->at += 4;
        return (uint8_t)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
    }
    s->at += 2;
    switch (p[1]) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return p[1];
    }
}

/* The inside of a quoted string, at its first character; false when it does not end, or ends in the
 * middle of a word. */
static bool unquote(struct splitter *s, uint8_t quote)
{
    uint8_t *out = s->text->data;
    while (s->at < s->end) {
        if (*s->at == quote) {
            s->at++;
            return s->at == s->end || isspace(*s->at);
        }
        if (quote == '"') {
            out[s->text->len++] = unescape(s);
        } else {
            if (*s->at == '\\' && s->end - s->at >= 2 && s->at[1] == '\'')
                s->at++;
            out[s->text->len++] = *s->at++;
        }
    }
    return false;
}

/* The next argument, its first character at s->at. */
static bool split_one(struct splitter *s, struct firn_slice *arg)
{
    const uint8_t *from = s->at;
    while (s->at < s->end && !isspace(*s->at) && *s->at != '"' && *s->at != '\'')
        s->at++;
    if (s->at == s->end || isspace(*s->at)) {
        *arg = firn_slice_of(from, (size_t)(s->at - from));
        return true;
    }
    /* Quotes: what came before them in this word goes along. */
    size_t start = s->text->len;
    memcpy(s->text->data + start, from, (size_t)(s->at - from));
    s->text->len += (size_t)(s->at - from);
    while (s->at < s->end && !isspace(*s->at)) {
        uint8_t c = *s->at++;
        if (c != '"' && c != '\'')
            s->text->data[s->text->len++] = c;
        else if (!unquote(s, c))
            return false;
    }
    *arg = firn_slice_of(s->text->data + start, s->text->len - start);
    return true;
}

enum firn_status firn_parse_line(struct firn_slice line, struct firn_buf *text,
                                 enum firn_status (*emit)(void *arg, struct firn_slice s),
                                 void *arg)
{
    /* Redis splits a C string: a NUL ends the line. */
    const uint8_t *nul = line.len ? memchr(line.data, 0, line.len) : NULL;
    if (nul)
        line.len = (size_t)(nul - line.data);
    text->len = 0;
    enum firn_status st = firn_buf_reserve(text, line.len + 1);
    if (st != FIRN_OK)
        return st;
    struct splitter s = {line.data, line.data + line.len, text};
    for (;;) {
        while (s.at < s.end && isspace(*s.at))
            s.at++;
        if (s.at == s.end)
            return FIRN_OK;
        struct firn_slice word;
        if (!split_one(&s, &word))
            return FIRN_INVALID;
        st = emit(arg, word);
        if (st != FIRN_OK)
            return st;
    }
}

static enum firn_status emit_arg(void *arg, struct firn_slice s)
{
    return push_arg(arg, s) ? FIRN_OK : FIRN_LIMIT;
}

static enum firn_parse inline_request(struct firn_parser *p, const struct firn_parse_limits *limits,
                                      const uint8_t *data, size_t len)
{
    size_t max = limits->authenticated ? FIRN_PARSE_LINE_MAX : UNAUTH_BULK_MAX;
    const uint8_t *nl = memchr(data, '\n', len < max ? len : max);
    if (!nl)
        return len >= max ? fail(p, "too big inline request") : more(p, len + 1);
    size_t line = (size_t)(nl - data);
    p->used = line + 1;
    if (line > 0 && data[line - 1] == '\r')
        line--;
    p->text.max = FIRN_PARSE_LINE_MAX + 1;
    switch (firn_parse_line(firn_slice_of(data, line), &p->text, emit_arg, p)) {
    case FIRN_OK:
        break;
    case FIRN_INVALID:
        return fail(p, "unbalanced quotes in request");
    default:
        return fail(p, "out of memory");
    }
    if (!limits->authenticated && p->argc > UNAUTH_ARGS_MAX)
        return fail(p, "unauthenticated multibulk length");
    p->done = true;
    return FIRN_PARSE_COMMAND;
}

/* --- multibulk requests */

/* "*<n>\r\n" at the start. COMMAND: go on with the arguments. */
static enum firn_parse multibulk_header(struct firn_parser *p,
                                        const struct firn_parse_limits *limits, const uint8_t *data,
                                        size_t len)
{
    int64_t n;
    size_t used;
    switch (length_line(data + 1, len - 1, &n, &used)) {
    case NUMBER_OK:
        break;
    case NUMBER_MORE:
        return more(p, len + 1);
    default:
        return fail(p, "invalid multibulk length");
    }
    if (n > 0 && (uint64_t)n > limits->args_max)
        return fail(p, "invalid multibulk length");
    if (n > UNAUTH_ARGS_MAX && !limits->authenticated)
        return fail(p, "unauthenticated multibulk length");
    p->at = 1 + used;
    p->args_left = n > 0 ? (size_t)n : 0;
    p->in_multibulk = true;
    return FIRN_PARSE_COMMAND;
}

static enum firn_parse bulk_header(struct firn_parser *p, const struct firn_parse_limits *limits,
                                   const uint8_t *data, size_t len)
{
    if (p->at == len)
        return more(p, len + 1);
    if (data[p->at] != '$') {
        char text[32];
        uint8_t c = data[p->at];
        (void)snprintf(text, sizeof text, "expected '$', got '%c'",
                       c == '\r' || c == '\n' ? ' ' : c);
        return fail(p, text);
    }
    int64_t n;
    size_t used;
    switch (length_line(data + p->at + 1, len - p->at - 1, &n, &used)) {
    case NUMBER_OK:
        break;
    case NUMBER_MORE:
        return more(p, len + 1);
    default:
        return fail(p, "invalid bulk length");
    }
    if (n < 0 || (uint64_t)n > limits->bulk_max)
        return fail(p, "invalid bulk length");
    if (n > UNAUTH_BULK_MAX && !limits->authenticated)
        return fail(p, "unauthenticated bulk length");
    p->at += 1 + used;
    if ((uint64_t)n + 2 + p->at > limits->command_max)
        return fail(p, "command exceeds the query buffer limit");
    p->bulk_len = (size_t)n;
    p->in_bulk = true;
    return FIRN_PARSE_COMMAND;
}

static enum firn_parse multibulk_args(struct firn_parser *p, const struct firn_parse_limits *limits,
                                      const uint8_t *data, size_t len)
{
    while (p->args_left) {
        if (!p->in_bulk) {
            enum firn_parse r = bulk_header(p, limits, data, len);
            if (r != FIRN_PARSE_COMMAND)
                return r;
        }
        size_t end = p->at + p->bulk_len + 2;
        if (end > len)
            return more(p, end);
        if (!push_arg(p, firn_slice_of(data + p->at, p->bulk_len)))
            return fail(p, "out of memory");
        p->at = end;
        p->in_bulk = false;
        p->args_left--;
    }
    p->used = p->at;
    p->done = true;
    return FIRN_PARSE_COMMAND;
}

enum firn_parse firn_parser_next(struct firn_parser *p, const struct firn_parse_limits *limits,
                                 const uint8_t *data, size_t len)
{
    if (p->done)
        begin(p);
    if (p->base != (uintptr_t)data)
        rebase(p, data);
    if (!p->in_multibulk) {
        if (len == 0)
            return more(p, 1);
        if (data[0] != '*')
            return inline_request(p, limits, data, len);
        enum firn_parse r = multibulk_header(p, limits, data, len);
        if (r != FIRN_PARSE_COMMAND)
            return r;
    }
    return multibulk_args(p, limits, data, len);
}
