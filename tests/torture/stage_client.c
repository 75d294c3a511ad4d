/* The client of a stage: what it sends, and what may come back. */
#include "stage.h"

#include "base/mem.h"

#include <stdarg.h>

#define REPLY_NS (60 * FIRN_SEC) /* CONFIG SET of a database setting waits for the store */

#define MUST_TRIES 60

/* ---- one command, one reply */

/* Length of the whole reply that text begins with, 0 = it is not whole. */
static size_t reply_length(const char *text, size_t len)
{
    size_t at = 0, left = 1;
    while (left) {
        const char *nl = at < len ? memchr(text + at, '\n', len - at) : NULL;
        if (!nl)
            return 0;
        char kind = text[at];
        long n = strtol(text + at + 1, NULL, 10);
        at = (size_t)(nl - text) + 1;
        left--;
        if (kind == '*' || kind == '~' || kind == '>')
            left += n > 0 ? (size_t)n : 0;
        else if (kind == '%')
            left += 2 * (size_t)n;
        else if (kind == '$' && n >= 0)
            at += (size_t)n + 2;
        if (at > len)
            return 0;
    }
    return at;
}

static bool answered(void *arg)
{
    struct stage_client *c = arg;
    return c->sock->closed || c->n->over ||
           reply_length((const char *)c->sock->got.data, c->sock->got.len) > 0;
}

static void check_error(const struct stage_client *c, const char *sent)
{
    static const char *const allowed[] = {
        "-KV",
        "-READONLY",
        "-LOADING",
        "-EXECABORT",
        "-ERR out of memory",
        "-ERR Protocol error: out of memory",
        "-ERR no memory",
        "-ERR no such key", /* the command that makes it was refused */
        "-ERR CONFIG SET failed"};
    if (c->reply[0] != '-')
        return;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (strncmp(c->reply, allowed[i], strlen(allowed[i])) == 0)
            return;
    stage_fail(c->n->s, "%s is answered %s", sent, c->reply);
}

static bool connected(struct stage_client *c)
{
    struct stage_node *n = c->n;
    if (c->sock && c->sock->closed) {
        fake_sock_free(c->sock);
        c->sock = NULL;
    }
    if (c->sock)
        return !n->over;
    if (n->over || !n->serving || !n->net.l)
        return false;
    c->sock = fake_connect(&n->net);
    if (c->sock->refused) {
        fake_sock_free(c->sock);
        c->sock = NULL;
        return false;
    }
    return true;
}

struct stage_client *stage_connect(struct stage_node *n)
{
    struct stage_client *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->n = n;
    return c;
}

void stage_hang_up(struct stage_client *c)
{
    if (c->sock && !c->sock->closed && !c->n->over) {
        c->sock->user.closed(c->sock->user.arg);
        stage_run(c->n->s, FIRN_MS);
    }
    if (c->sock)
        fake_sock_free(c->sock);
    free(c);
}

static size_t multibulk(char *line, char *out, size_t cap)
{
    size_t argc = 0, len;
    for (const char *p = line; *p; p++)
        argc += (p == line || p[-1] == ' ') && *p != ' ';
    len = (size_t)snprintf(out, cap, "*%zu\r\n", argc);
    char *save = NULL;
    for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        const char *text = strcmp(w, "''") == 0 ? "" : w;
        len += (size_t)snprintf(out + len, cap - len, "$%zu\r\n%s\r\n", strlen(text), text);
    }
    return len;
}

const char *stage_call(struct stage_client *c, const char *fmt, ...)
{
    static char line[32768], out[65536];
    char what[64];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    (void)snprintf(what, sizeof what, "%.60s", line);
    if (!connected(c))
        return NULL;
    c->sock->got.len = 0;
    fake_deliver(c->sock, out, multibulk(line, out, sizeof out));
    if (!firn_fake_run_until(c->n->s->w, answered, c, REPLY_NS))
        stage_fail(c->n->s, "%s is not answered", what);
    size_t len = reply_length((const char *)c->sock->got.data, c->sock->got.len);
    if (len == 0)
        return NULL; /* closed */
    if (len >= sizeof c->reply)
        stage_fail(c->n->s, "%s has a reply of %zu bytes", what, len);
    memcpy(c->reply, c->sock->got.data, len);
    c->reply[len] = '\0';
    check_error(c, what);
    return c->reply;
}

void stage_line(const char *reply, unsigned n, char *out, size_t cap)
{
    out[0] = '\0';
    if (!reply || reply[0] == '-')
        return;
    while (n-- && reply) {
        reply = strstr(reply, "\r\n");
        reply = reply ? reply + 2 : NULL;
    }
    if (reply)
        (void)snprintf(out, cap, "%.*s", (int)strcspn(reply, "\r"), reply);
}

/* ---- what keys may hold */

static bool refused(const char *reply)
{
    return reply && reply[0] == '-' && strncmp(reply, "-KVUNKNOWN", 10) != 0;
}

/* A write was answered; of `reply` it is known whether it may have been done. */
static void wrote(struct stage *s, unsigned k, uint32_t number, const char *reply)
{
    struct stage_key *key = &s->key[k];
    if (refused(reply))
        return;
    if (reply && reply[0] != '-')
        key->count = 0;
    else if (key->count == 0)
        key->may[key->count++] = 0; /* it was absent */
    if (key->count == STAGE_PAST)
        stage_fail(s, "too many writes of unknown outcome");
    key->may[key->count++] = number;
}

/* MULTI, MSET, EXEC. A connection that is lost on the way takes what was queued with it. */
static const char *transaction(struct stage_client *c, const char *pairs)
{
    static const char nothing[] = "-KVBUSY nothing was done";
    const char *reply = stage_call(c, "MULTI");
    if (!reply || reply[0] == '-')
        return nothing;
    struct firn_sock *sock = c->sock;
    bool queued = false;
    if (!sock->closed) {
        reply = stage_call(c, "MSET %s", pairs);
        queued = reply && reply[0] == '+';
    }
    if (sock->closed)
        return nothing;
    reply = stage_call(c, "EXEC");
    if (!queued && reply && reply[0] != '-')
        stage_fail(c->n->s, "EXEC of what was refused is answered %s", reply);
    /* The one command of the transaction was refused. */
    return reply && reply[0] == '*' && strstr(reply, "\r\n-") ? nothing : reply;
}

void stage_write(struct stage_client *c, unsigned first, unsigned n, unsigned form, unsigned pad)
{
    struct stage *s = c->n->s;
    char text[16384], fill[2048];
    size_t len = 0;
    uint32_t number = ++s->numbers;
    const char *reply;
    memset(fill, 'a' + (int)(number % 26), sizeof fill);
    for (unsigned k = first; k < first + n; k++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%sk%02u %u:%.*s",
                                form == 2 ? (k == first ? "3 SET " : " 3 SET ") : "",
                                form != 2 && k > first ? " " : "", k, number, (int)pad, fill);
    if (form == 1) {
        reply = transaction(c, text);
    } else if (form == 2) {
        reply = stage_call(c, "KV.BATCH %u %s", n, text);
    } else {
        reply = stage_call(c, "MSET %s", text);
    }
    for (unsigned k = first; k < first + n; k++)
        wrote(s, k, number, reply);
}

void stage_delete(struct stage_client *c, unsigned first, unsigned n)
{
    const char *reply = stage_call(c, "KV.DELRANGE k%02u k%02u", first, first + n);
    for (unsigned k = first; k < first + n; k++)
        wrote(c->n->s, k, 0, reply);
}

void stage_count(struct stage_client *c, unsigned tries)
{
    struct stage *s = c->n->s;
    uint64_t id = s->counted + 1;
    for (unsigned i = 0; i < tries; i++) {
        const char *reply =
            stage_call(c, "KV.BATCH ID req-%llu 1 3 INCRBY counter 1", (unsigned long long)id);
        if (reply && reply[0] == '*') {
            s->counted = id;
            return;
        }
        stage_run(s, 200 * FIRN_MS);
    }
}

/* A read shows this number. */
static void seen(struct stage *s, unsigned k, uint32_t number)
{
    struct stage_key *key = &s->key[k];
    if (key->count == 0 && number == 0)
        return;
    for (unsigned i = key->count; i-- > 0;)
        if (key->may[i] == number) {
            memmove(key->may, key->may + i, (key->count - i) * sizeof key->may[0]);
            key->count -= i;
            return;
        }
    stage_fail(s, "k%02u shows %u, which it cannot hold; the last written is %u", k, number,
               key->count ? key->may[key->count - 1] : 0);
}

static bool check_counter(struct stage_client *c)
{
    const char *reply = stage_call(c, "GET counter");
    if (!reply || reply[0] != '$')
        return false;
    uint64_t got = reply[1] == '-' ? 0 : strtoull(strchr(reply, '\n') + 1, NULL, 10);
    /* One more may have been counted, of the ID whose answer never came. */
    if (got < c->n->s->counted || got > c->n->s->counted + 1)
        stage_fail(c->n->s, "the counter shows %llu of %llu", (unsigned long long)got,
                   (unsigned long long)c->n->s->counted);
    return true;
}

bool stage_check(struct stage_client *c)
{
    struct stage *s = c->n->s;
    char line[STAGE_KEYS * 5];
    size_t len = 0;
    for (unsigned k = 0; k < STAGE_KEYS; k++)
        len += (size_t)snprintf(line + len, sizeof line - len, " k%02u", k);
    const char *at = stage_call(c, "MGET%s", line);
    if (!at || at[0] != '*')
        return false;
    at = strchr(at, '\n') + 1;
    for (unsigned k = 0; k < STAGE_KEYS; k++) {
        long n = strtol(at + 1, NULL, 10);
        at = strchr(at, '\n') + 1;
        seen(s, k, n < 0 ? 0 : (uint32_t)strtoul(at, NULL, 10));
        at += n < 0 ? 0 : n + 2;
    }
    return check_counter(c);
}

void stage_must_show(struct stage_node *n)
{
    struct stage_client *c = stage_connect(n);
    unsigned tries = 0;
    /* After a store that said SlowDown reads are held back for a while. */
    while (!stage_check(c)) {
        if (++tries == MUST_TRIES)
            stage_fail(n->s, "node %u cannot be read: %s", n->number, c->reply);
        stage_run(n->s, FIRN_SEC);
    }
    stage_hang_up(c);
}
