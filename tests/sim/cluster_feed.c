/* Pub/sub in the simulated cluster: clients publish numbers, subscribers come and go on readers and
 * writers. What a subscriber gets from one connection must be
 *
 * - a piece without holes of the messages of the log, in the log's order (I5, as cluster_expiry.c
 *   reads it): a node that skipped slots closes the connection instead;
 * - without what was acknowledged before SUBSCRIBE was sent;
 * - with everything that was sent after its confirmation had come, and lies before its last;
 * - for who is still there when all is quiet: up to the newest message. */
#include "sim/cluster_sim.h"

#define CHANNEL "p"

static void bad(const struct sim *x, const struct sim_sub *s, const char *what, uint64_t got,
                uint64_t want)
{
    print_error("seed %llu: subscriber on %s %u, confirmed at %.6f s: %s: %llu, expected %llu\n",
                (unsigned long long)x->seed, s->node->role == ROLE_WRITER ? "writer" : "reader",
                s->node->n, (double)s->confirmed_ns / 1e9, what, (unsigned long long)got,
                (unsigned long long)want);
    fail();
}

/* ---- publishing */

void sim_publish(struct client *c)
{
    struct sim_feed *f = &c->x->feed;
    if (f->sent == SIM_MESSAGES_MAX)
        return;
    sim_enqueue(c, OP_PUBLISH)->n = f->sent;
    sim_say(c, "PUBLISH " CHANNEL " %llu\r\n", (unsigned long long)f->sent++);
}

void sim_published(struct client *c, uint64_t n)
{
    c->x->feed.acked_ns[n] = sim_now_ns(c->x);
}

/* A message of the log, in its order. */
void sim_feed_record(struct sim *x, const struct firn_record *r)
{
    struct sim_feed *f = &x->feed;
    if (r->kind != FIRN_RECORD_PUBLISH)
        return;
    char text[24] = {0};
    assert_true(r->value.len < sizeof text && f->logged < SIM_MESSAGES_MAX);
    memcpy(text, r->value.data, r->value.len);
    f->log[f->logged++] = strtoull(text, NULL, 10);
}

/* ---- subscribing */

static void lose(struct sim *x, struct sim_sub *s)
{
    sim_bury(x, s->node, s->sock);
    s->sock = NULL;
    if (s->n == 0)
        return;
    struct sim_feed *f = &x->feed;
    struct sim_sub *more = realloc(f->past, (f->npast + 1) * sizeof *more);
    assert_non_null(more);
    f->past = more;
    f->past[f->npast++] = *s;
    s->got = NULL;
    s->n = s->cap = 0;
}

static void begin(struct sim *x, struct sim_sub *s)
{
    struct node *n = sim_pick(x, sim_rnd(x, 4) ? ROLE_READER : ROLE_WRITER);
    if (!n || !n->serving || !n->net.l || firn_fake_node_frozen(n->net.node))
        return;
    *s = (struct sim_sub){.node = n,
                          .sock = fake_connect(&n->net),
                          .asked_ns = sim_now_ns(x),
                          .until_ns = sim_now_ns(x) + sim_rnd(x, 40) * FIRN_SEC};
    fake_deliver(s->sock, "SUBSCRIBE " CHANNEL "\r\n", strlen("SUBSCRIBE " CHANNEL "\r\n"));
}

static void take(struct sim *x, struct sim_sub *s, struct firn_slice word, struct firn_slice last)
{
    if (firn_slice_eq(word, firn_slice_str("subscribe"))) {
        s->confirmed_ns = sim_now_ns(x);
        s->sent_before = x->feed.sent;
        return;
    }
    assert_true(s->confirmed_ns && firn_slice_eq(word, firn_slice_str("message")));
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->got = realloc(s->got, s->cap * sizeof *s->got);
        assert_non_null(s->got);
    }
    s->got[s->n++] = strtoull((const char *)last.data, NULL, 10);
    x->feed.delivered++;
}

/* One push: an array of three, line by line. False: not whole yet. */
static bool next_push(struct sim *x, struct sim_sub *s)
{
    struct firn_buf *b = &s->sock->got;
    struct firn_slice line[7];
    size_t at = 0, n = 0, lines = 7;
    while (n < lines) {
        const uint8_t *nl = at < b->len ? memchr(b->data + at, '\n', b->len - at) : NULL;
        if (!nl)
            return false;
        size_t end = (size_t)(nl - b->data);
        line[n++] = firn_slice_of(b->data + at, end - 1 - at);
        at = end + 1;
        if (line[0].data[0] == '-')
            lines = 1; /* refused: another node, another time */
        else if (n == 3 && line[2].data[0] == 's')
            lines = 6; /* a count instead of a message */
    }
    if (lines == 1)
        s->until_ns = 0;
    else
        take(x, s, line[2], line[lines - 1]);
    firn_buf_consume(b, at);
    return true;
}

static void step(struct sim *x, struct sim_sub *s)
{
    if (!s->sock) {
        if (sim_rnd(x, 20) == 0)
            begin(x, s);
        return;
    }
    while (next_push(x, s))
        continue;
    if (s->sock->closed || s->node->freed || (sim_now_ns(x) > s->until_ns && !x->calm))
        lose(x, s);
}

void sim_feed_step(struct sim *x)
{
    for (unsigned i = 0; i < SIM_SUBSCRIBERS; i++)
        step(x, &x->feed.sub[i]);
}

/* ---- what must hold */

static void check_piece(struct sim *x, const struct sim_sub *s)
{
    const struct sim_feed *f = &x->feed;
    size_t at = 0;
    while (at < f->logged && f->log[at] != s->got[0])
        at++;
    for (size_t i = 0; i < at; i++)
        if (f->log[i] >= s->sent_before)
            bad(x, s, "misses one that was sent after it was confirmed", s->got[0], f->log[i]);
    for (size_t i = 0; i < s->n; i++) {
        if (at + i >= f->logged || f->log[at + i] != s->got[i])
            bad(x, s, "got", s->got[i], at + i < f->logged ? f->log[at + i] : 0);
        uint64_t acked = f->acked_ns[s->got[i]];
        if (acked && acked < s->asked_ns)
            bad(x, s, "got one that was acknowledged before it asked", s->got[i], 0);
    }
}

void sim_feed_check_end(struct sim *x)
{
    struct sim_feed *f = &x->feed;
    for (unsigned i = 0; i < SIM_SUBSCRIBERS; i++) {
        struct sim_sub *s = &f->sub[i];
        if (!s->sock)
            continue;
        uint64_t newest = f->logged ? f->log[f->logged - 1] : 0;
        if (s->confirmed_ns && f->logged && newest >= s->sent_before &&
            (s->n == 0 || s->got[s->n - 1] != newest))
            bad(x, s, "the newest it got", s->n ? s->got[s->n - 1] : 0, newest);
        lose(x, s);
    }
    for (size_t i = 0; i < f->npast; i++)
        check_piece(x, &f->past[i]);
}

void sim_feed_end(struct sim *x)
{
    for (size_t i = 0; i < x->feed.npast; i++)
        free(x->feed.past[i].got);
    free(x->feed.past);
}
