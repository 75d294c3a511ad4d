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

_Noreturn static void bad(const struct sim *x, const struct sim_sub *s, const char *what,
                          uint64_t got, uint64_t want)
{
    sim_fail(x, "subscriber on %s %u, confirmed at %.6f s: %s: %llu, expected %llu",
             s->node->role == ROLE_WRITER ? "writer" : "reader", s->node->n,
             (double)s->confirmed_ns / 1e9, what, (unsigned long long)got,
             (unsigned long long)want);
}

/* ---- publishing */

uint64_t sim_publish(struct sim *x)
{
    struct sim_feed *f = &x->feed;
    return f->sent == SIM_MESSAGES_MAX ? SIM_MESSAGES_MAX : f->sent++;
}

void sim_published(struct sim *x, uint64_t n)
{
    SIM_COUNT(x, published);
    x->feed.acked_ns[n] = sim_now_ns(x);
}

/* A message of the log, in its order. */
static void read_log(struct sim *x)
{
    struct sim_feed *f = &x->feed;
    const struct witness *w = &x->witness;
    SIM_MUST(x, w->messages <= SIM_MESSAGES_MAX);
    for (; f->logged < w->messages; f->logged++)
        f->log[f->logged] =
            (uint64_t)hist_number(hist_name_of(&x->hist.values, w->message[f->logged]));
}

/* ---- subscribing */

/* What it got is kept; the connection is gone. */
static void over(struct sim_sub *s)
{
    struct sim_feed *f = &s->x->feed;
    s->conn = NULL;
    s->in.len = 0;
    if (s->n == 0)
        return;
    struct sim_sub *more = realloc(f->past, (f->npast + 1) * sizeof *more);
    if (!more)
        abort();
    f->past = more;
    f->past[f->npast++] = *s;
    s->got = NULL;
    s->n = s->cap = 0;
}

static void lose(struct sim_sub *s)
{
    struct firn_fake_conn *conn = s->conn;
    if (!conn)
        return;
    over(s);
    firn_fake_hang_up(conn);
}

static void gone(void *arg, enum firn_fake_end how)
{
    (void)how;
    over(arg);
}

static void take(struct sim_sub *s, struct firn_slice word, struct firn_slice last)
{
    struct sim *x = s->x;
    if (firn_slice_eq(word, firn_slice_str("subscribe"))) {
        s->confirmed_ns = sim_now_ns(x);
        s->sent_before = x->feed.sent;
        return;
    }
    SIM_MUST(x, s->confirmed_ns && firn_slice_eq(word, firn_slice_str("message")));
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->got = realloc(s->got, s->cap * sizeof *s->got);
        if (!s->got)
            abort();
    }
    s->got[s->n++] = strtoull((const char *)last.data, NULL, 10);
    SIM_COUNT(x, delivered);
}

/* One push: an array of three, line by line. False: not whole yet, or it was refused. */
static bool next_push(struct sim_sub *s)
{
    struct firn_buf *b = &s->in;
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
        take(s, line[2], line[lines - 1]);
    firn_buf_consume(b, at);
    return true;
}

static void got(void *arg, const uint8_t *data, size_t len)
{
    struct sim_sub *s = arg;
    SIM_MUST(s->x, firn_buf_append(&s->in, data, len) == FIRN_OK);
    while (next_push(s))
        continue;
}

static void begin(struct sim_sub *s)
{
    static const char subscribe[] = "SUBSCRIBE " CHANNEL "\r\n";
    struct sim *x = s->x;
    struct firn_fake_conn_user u = {.data = got, .closed = gone, .arg = s};
    struct node *n = sim_pick(x, sim_rnd(x, 4) ? ROLE_READER : ROLE_WRITER, true);
    if (!n)
        return;
    s->conn = firn_fake_dial(x->w, CLIENTS_MAX + s->id, n->fake, 0, &u);
    if (!s->conn)
        return;
    s->node = n;
    s->asked_ns = sim_now_ns(x);
    s->confirmed_ns = s->sent_before = 0;
    s->until_ns = s->asked_ns + sim_rnd(x, 40) * FIRN_SEC;
    firn_fake_send(s->conn, subscribe, strlen(subscribe));
}

/* When all is calm, everyone listens to the end; who had no answer tries elsewhere. */
static void wake(void *arg)
{
    struct sim_sub *s = arg;
    struct sim *x = s->x;
    uint64_t now = sim_now_ns(x);
    bool tired = now > s->until_ns && (!x->calm || !s->confirmed_ns);
    if (s->conn && (tired || !sim_node_lives(s->node))) /* a dead machine may be silent */
        lose(s);
    if (!s->conn && !x->ending)
        begin(s);
    firn_fake_at(x->w, FIRN_SEC + sim_rnd(x, 2 * FIRN_SEC), wake, s);
}

void sim_feed_begin(struct sim *x)
{
    for (unsigned i = 0; i < x->choice.subscribers; i++) {
        struct sim_sub *s = &x->feed.sub[i];
        s->x = x;
        s->id = i;
        firn_buf_init(&s->in, SIZE_MAX);
        firn_fake_at(x->w, sim_rnd(x, 5 * FIRN_SEC), wake, s);
    }
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
    read_log(x);
    for (unsigned i = 0; i < x->choice.subscribers; i++) {
        struct sim_sub *s = &f->sub[i];
        if (!s->conn)
            continue;
        if (!sim_node_lives(s->node)) {
            lose(s);
            continue;
        }
        uint64_t newest = f->logged ? f->log[f->logged - 1] : 0;
        if (s->confirmed_ns && f->logged && newest >= s->sent_before &&
            (s->n == 0 || s->got[s->n - 1] != newest))
            bad(x, s, "the newest it got", s->n ? s->got[s->n - 1] : 0, newest);
        lose(s);
    }
    for (size_t i = 0; i < f->npast; i++)
        check_piece(x, &f->past[i]);
}

void sim_feed_end(struct sim *x)
{
    for (unsigned i = 0; i < x->choice.subscribers; i++)
        firn_buf_clear(&x->feed.sub[i].in);
    for (size_t i = 0; i < x->feed.npast; i++)
        free(x->feed.past[i].got);
    free(x->feed.past);
}
