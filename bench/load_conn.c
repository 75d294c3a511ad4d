#include "bench/load_conn.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t load_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016). */
static uint64_t next_random(struct load_conn *c)
{
    uint64_t x = c->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    c->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* --- opening and closing */

static int connect_to(const struct load_options *o, struct firn_err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    int one = 1;
    if (inet_pton(AF_INET, o->host, &a.sin_addr) != 1) {
        (void)firn_fail(err, FIRN_INVALID, "host \"%s\": give a numeric IPv4 address", o->host);
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) == 0 &&
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 &&
        fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    (void)firn_fail(err, FIRN_INVALID, "%s:%u: %s", o->host, (unsigned)o->port, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

enum firn_status load_conn_open(struct load_conn *c, struct load *l, uint32_t index,
                                struct firn_err *err)
{
    uint32_t ring = 1;
    while (ring < l->opt.pipeline)
        ring *= 2;
    *c = (struct load_conn){.fd = -1, .index = index, .next_key = index, .ring_mask = ring - 1};
    c->random = (l->opt.seed + 1) * UINT64_C(0x9e3779b97f4a7c15) + index + 1;
    firn_buf_init(&c->out, SIZE_MAX);
    firn_buf_init(&c->part, l->in_bytes / 2);
    c->flight = firn_calloc(ring, sizeof *c->flight);
    if (!c->flight)
        return firn_fail(err, FIRN_LIMIT, "out of memory");
    c->fd = connect_to(&l->opt, err);
    if (c->fd < 0)
        return FIRN_INVALID;
    if (!l->opt.first)
        return FIRN_OK;
    c->first_owed = true;
    return firn_buf_printf(&c->out, "%s\r\n", l->opt.first);
}

void load_conn_close(struct load_conn *c, struct load *l)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    l->got.unanswered += c->flights;
    c->flights = 0;
    firn_buf_clear(&c->out);
    firn_buf_clear(&c->part);
    firn_free(c->flight);
    c->flight = NULL;
}

/* --- sending */

/* A key of this connection's own (SET) or of all (GET). */
static uint64_t pick_key(struct load_conn *c, const struct load *l, bool set)
{
    uint64_t keys = UINT64_C(1) << l->opt.keys_log2;
    if (l->opt.sequential) {
        uint64_t key = c->next_key;
        c->next_key += l->opt.conns;
        return key;
    }
    uint64_t key = next_random(c) >> (64 - l->opt.keys_log2 - (l->opt.keys_log2 == 0));
    if (l->opt.keys_log2 == 0)
        return 0;
    if (!set)
        return key;
    key = key / l->opt.conns * l->opt.conns + c->index;
    return key < keys ? key : c->index;
}

/* "PX" and a time; gives the length. */
static int put_ttl(struct load_conn *c, const struct load *l, char *out, size_t size)
{
    char ms[16];
    uint64_t spread = (uint64_t)l->opt.ttl_max_ms - l->opt.ttl_min_ms + 1;
    int digits = snprintf(ms, sizeof ms, "%" PRIu64, l->opt.ttl_min_ms + next_random(c) % spread);
    return snprintf(out, size, "$2\r\nPX\r\n$%d\r\n%s\r\n", digits, ms);
}

static bool add_set(struct load_conn *c, struct load *l, uint64_t key, uint32_t seq)
{
    char head[64], ttl[48] = "";
    uint32_t n = l->opt.value_bytes;
    int tail = l->opt.ttl_max_ms ? put_ttl(c, l, ttl, sizeof ttl) : 0;
    int len = snprintf(head, sizeof head, "*%d\r\n$3\r\nSET\r\n$16\r\n................\r\n$%u\r\n",
                       tail ? 5 : 3, n);
    if (firn_buf_reserve(&c->out, (size_t)len + n + 2 + (size_t)tail) != FIRN_OK)
        return false;
    uint8_t *p = c->out.data + c->out.len;
    memcpy(p, head, (size_t)len);
    load_record_key(key, (char *)p + 18);
    p += len;
    load_record_value(&l->record, key, seq, p);
    memcpy(p + n, "\r\n", 2);
    memcpy(p + n + 2, ttl, (size_t)tail);
    c->out.len += (size_t)len + n + 2 + (size_t)tail;
    return true;
}

static bool add_get(struct load_conn *c, uint64_t key)
{
    static const char head[] = "*2\r\n$3\r\nGET\r\n$16\r\n................\r\n";
    size_t len = sizeof head - 1;
    if (firn_buf_reserve(&c->out, len) != FIRN_OK)
        return false;
    uint8_t *p = c->out.data + c->out.len;
    memcpy(p, head, len);
    load_record_key(key, (char *)p + 18);
    c->out.len += len;
    return true;
}

bool load_conn_add(struct load_conn *c, struct load *l, uint64_t due_ns)
{
    bool set = l->opt.mode == LOAD_SET ||
               (l->opt.mode == LOAD_MIXED && next_random(c) % 100 < l->opt.set_percent);
    uint64_t key = pick_key(c, l, set);
    if (key >> l->opt.keys_log2)
        return false; /* sequential: all have been named */
    struct load_seqs *k = &l->record.key[key];
    struct load_flight f = {.due_ns = due_ns, .key = (uint32_t)key};
    if (set)
        f.seq = k->sent + 1;
    else if (l->opt.fresh || l->opt.mode == LOAD_VERIFY)
        f.least = k->acked;
    if (!(set ? add_set(c, l, key, f.seq) : add_get(c, key)))
        return false;
    if (set)
        k->sent = f.seq;
    c->flight[(c->flight_from + c->flights++) & c->ring_mask] = f;
    l->sent++;
    return true;
}

bool load_conn_flush(struct load_conn *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c->wants_write = errno == EAGAIN;
            return c->wants_write;
        }
        c->out_sent += (size_t)n;
    }
    c->out.len = c->out_sent = 0;
    c->wants_write = false;
    return true;
}

/* --- replies */

/* A reply: its first byte, and its line or body. */
struct reply {
    char type;
    bool nil;
    struct firn_slice text;
};

/* The reply at [p, end): the byte behind it; NULL: not whole yet. A type of 0: not understood. */
static const uint8_t *parse(const uint8_t *p, const uint8_t *end, struct reply *r)
{
    const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
    if (!nl)
        return NULL;
    r->type = (char)*p;
    r->nil = false;
    r->text = firn_slice_of(p + 1, (size_t)(nl - p) - 2);
    if (r->type != '$') {
        if (r->type != '+' && r->type != '-')
            r->type = 0;
        return nl + 1;
    }
    if (p[1] == '-') {
        r->nil = true;
        return nl + 1;
    }
    size_t len = 0;
    for (const uint8_t *d = p + 1; d < nl - 1; d++)
        len = len * 10 + (size_t)(*d - '0');
    if ((size_t)(end - nl) < len + 3)
        return NULL;
    r->text = firn_slice_of(nl + 1, len);
    return nl + 1 + len + 2;
}

static void wrong(struct load *l, const struct load_flight *f, const char *what,
                  const struct reply *r)
{
    const struct load_seqs *k = &l->record.key[f->key];
    l->got.wrong++;
    (void)firn_fail(&l->got.first_wrong, FIRN_CORRUPT,
                    "key:%012" PRIu32 " (acknowledged %" PRIu32 ", sent %" PRIu32
                    ", at least %" PRIu32 "): %s: %c%.*s",
                    f->key, k->acked, k->sent, f->least, what, r->type ? r->type : '?',
                    (int)(r->text.len < 100 && r->type != '$' ? r->text.len : 0),
                    (const char *)r->text.data);
}

static void count_error(struct load_counts *g, struct firn_slice text)
{
    char name[LOAD_KIND_BYTES] = {0};
    for (size_t i = 0; i + 1 < sizeof name && i < text.len && text.data[i] != ' '; i++)
        name[i] = (char)text.data[i];
    g->errors++;
    for (size_t i = 0; i < LOAD_KINDS_MAX; i++) {
        if (g->kind[i].n == 0)
            memcpy(g->kind[i].name, name, sizeof name);
        if (strcmp(g->kind[i].name, name) == 0) {
            g->kind[i].n++;
            return;
        }
    }
}

static void check_set(struct load *l, const struct load_flight *f, const struct reply *r)
{
    if (r->type != '+' || !firn_slice_eq(r->text, firn_slice_str("OK"))) {
        wrong(l, f, "SET was not answered +OK", r);
        return;
    }
    struct load_seqs *k = &l->record.key[f->key];
    if (f->seq > k->acked)
        k->acked = f->seq;
    l->got.sets++;
}

static void check_get(struct load *l, const struct load_flight *f, const struct reply *r)
{
    const struct load_seqs *k = &l->record.key[f->key];
    uint32_t seq = 0;
    if (r->type != '$')
        wrong(l, f, "GET was not answered by a value", r);
    else if (!r->nil && load_record_check(&l->record, f->key, r->text, &seq) != FIRN_OK)
        wrong(l, f, "the value is damaged or another key's", r);
    else if (seq < f->least)
        wrong(l, f, r->nil ? "an acknowledged write is missing" : "an older value", r);
    else if (seq > k->sent && (l->opt.record || l->opt.mode != LOAD_GET))
        wrong(l, f, "a value that was not sent", r);
    l->got.gets++;
    l->got.nils += r->nil;
}

static void take(struct load_conn *c, struct load *l, const struct reply *r, uint64_t now)
{
    if (c->first_owed) {
        struct load_flight none = {0};
        c->first_owed = false;
        if (r->type != '+')
            wrong(l, &none, "--first was not answered +OK", r);
        return;
    }
    struct load_flight f = c->flight[c->flight_from & c->ring_mask];
    c->flight_from++;
    c->flights--;
    uint64_t took = now > f.due_ns ? now - f.due_ns : 0;
    if (f.due_ns >= l->count_from)
        firn_hist_add(&l->got.latency, took);
    if (l->opt.series && load_series_add(&l->series, now, took) != FIRN_OK)
        wrong(l, &f, "no memory for its second", r);
    if (r->type == '-')
        count_error(&l->got, r->text);
    else if (f.seq)
        check_set(l, &f, r);
    else
        check_get(l, &f, r);
}

bool load_conn_receive(struct load_conn *c, struct load *l)
{
    size_t have = c->part.len;
    if (have)
        memcpy(l->in, c->part.data, have);
    c->part.len = 0;
    ssize_t n = recv(c->fd, l->in + have, l->in_bytes - have, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return false;
    uint64_t now = load_now();
    const uint8_t *p = l->in, *end = l->in + have + (n > 0 ? (size_t)n : 0);
    while (p < end) {
        struct reply r;
        const uint8_t *next = parse(p, end, &r);
        if (!next)
            break;
        if (c->flights == 0 && !c->first_owed)
            return false; /* a reply to nothing */
        take(c, l, &r, now);
        p = next;
    }
    return p == end || firn_buf_append(&c->part, p, (size_t)(end - p)) == FIRN_OK;
}
