/* Clients of the simulated cluster: connections, commands on their way, replies. What they ask is
 * cluster_work.c's. */
#include "sim/cluster_sim.h"

#define LINE_MAX_BYTES 6000
#define PATIENCE_NS (8 * FIRN_SEC) /* without a reply a client hangs up */

/* ---- waking */

static void woken(void *arg)
{
    struct client *c = arg;
    if (sim_now_ns(c->x) != c->wake_ns)
        return; /* it was told another time meanwhile */
    if (c->conn && c->head < c->tail) {
        if (sim_now_ns(c->x) - c->heard_ns >= PATIENCE_NS)
            sim_client_lose(c);
        sim_client_wake(c, PATIENCE_NS / 4);
        return;
    }
    if (!c->looks)
        sim_work(c);
}

void sim_client_wake(struct client *c, uint64_t after_ns)
{
    c->wake_ns = sim_now_ns(c->x) + after_ns + 1;
    firn_fake_at(c->x->w, after_ns + 1, woken, c);
}

/* ---- replies */

static void take_one(struct client *c, const struct sim_sent *s, size_t len)
{
    const char *reply = (const char *)c->in.data;
    if (s->op != SIM_NO_OP) {
        size_t used = hist_answer(&c->x->hist, s->op, reply, len, sim_now_ns(c->x));
        SIM_MUST(c->x, used == len);
    }
    sim_replied(c, s, reply, len);
}

static void got(void *arg, const uint8_t *data, size_t len)
{
    struct client *c = arg;
    c->heard_ns = sim_now_ns(c->x);
    SIM_MUST(c->x, firn_buf_append(&c->in, data, len) == FIRN_OK);
    while (c->conn && c->in.len) {
        size_t used = hist_reply_len((const char *)c->in.data, c->in.len);
        if (!used)
            break;
        if (c->in.data[0] == '>') {
            sim_pushed(c, (const char *)c->in.data, used);
            firn_buf_consume(&c->in, used);
            continue;
        }
        if (c->head == c->tail)
            sim_fail(c->x, "client %u: a reply to nothing: %.*s", c->id, (int)used,
                     (const char *)c->in.data);
        struct sim_sent s = c->queue[c->head++ % QUEUE_MAX];
        take_one(c, &s, used);
        firn_buf_consume(&c->in, used);
    }
    if (c->conn && c->head == c->tail)
        sim_client_wake(c, sim_rnd(c->x, c->x->choice.think_ns));
}

/* ---- connections */

static void forget(struct client *c)
{
    c->conn = NULL;
    c->node = NULL;
    c->head = c->tail = 0;
    c->in.len = c->out.len = 0;
    c->snapshot = 0;
    c->tracks = c->resp3 = false;
    c->scan = (struct sim_scan){0};
    memset(c->cache, 0, sizeof c->cache);
    c->watched_known = c->watch_failed = false;
}

static void gone(void *arg, enum firn_fake_end how)
{
    struct client *c = arg;
    (void)how;
    forget(c);
    sim_client_wake(c, sim_rnd(c->x, FIRN_SEC));
}

bool sim_client_dial(struct client *c, struct node *n)
{
    struct firn_fake_conn_user u = {.data = got, .closed = gone, .arg = c};
    c->conn = firn_fake_dial(c->x->w, c->id, n->fake, 0, &u);
    if (!c->conn)
        return false;
    c->node = n;
    c->heard_ns = sim_now_ns(c->x);
    c->who = (struct hist_who){
        .session = ++c->x->sessions, .node = n->n, .client = c->id, .freshness_ns = UINT64_MAX};
    return true;
}

void sim_client_lose(struct client *c)
{
    if (!c->conn)
        return;
    struct firn_fake_conn *conn = c->conn;
    forget(c);
    firn_fake_hang_up(conn);
}

bool sim_client_idle(const struct client *c)
{
    return c->conn && c->head == c->tail;
}

void sim_client_begin(struct client *c, struct sim *x, unsigned id)
{
    c->x = x;
    c->id = id;
    c->once.op = SIM_NO_OP;
    firn_buf_init(&c->in, SIZE_MAX);
    firn_buf_init(&c->out, SIZE_MAX);
    sim_client_wake(c, sim_rnd(x, FIRN_SEC));
}

void sim_client_end(struct client *c)
{
    sim_client_lose(c);
    firn_buf_clear(&c->in);
    firn_buf_clear(&c->out);
}

/* ---- commands */

static size_t split_words(char *line, struct firn_slice *word, size_t max)
{
    size_t n = 0;
    char *save = NULL;
    for (char *w = strtok_r(line, " ", &save); w && n < max; w = strtok_r(NULL, " ", &save))
        word[n++] = firn_slice_str(w);
    return n;
}

static void put(struct client *c, const void *data, size_t len)
{
    SIM_MUST(c->x, firn_buf_append(&c->out, data, len) == FIRN_OK);
}

/* A line as it is, or as an array of its words. */
static void put_line(struct client *c, const char *line, const struct firn_slice *word, size_t n)
{
    char head[32];
    if (sim_rnd(c->x, 2)) {
        put(c, line, strlen(line));
        put(c, "\r\n", 2);
        return;
    }
    put(c, head, (size_t)snprintf(head, sizeof head, "*%zu\r\n", n));
    for (size_t i = 0; i < n; i++) {
        put(c, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", word[i].len));
        put(c, word[i].data, word[i].len);
        put(c, "\r\n", 2);
    }
}

static void add(struct client *c, enum sim_what what, uint32_t op, uint64_t n, const char *line)
{
    char copy[LINE_MAX_BYTES];
    struct firn_slice word[128];
    SIM_MUST(c->x, strlen(line) < sizeof copy && c->tail - c->head < QUEUE_MAX);
    memcpy(copy, line, strlen(line) + 1);
    size_t words = split_words(copy, word, 128);
    put_line(c, line, word, words);
    if (op != SIM_NO_OP && what != SIM_NOTHING)
        (void)hist_command(&c->x->hist, op, word, words);
    c->queue[c->tail++ % QUEUE_MAX] = (struct sim_sent){what, op, n};
}

static uint32_t new_op(struct client *c)
{
    SIM_COUNT(c->x, asked);
    return hist_begin(&c->x->hist, &c->who, sim_now_ns(c->x));
}

uint32_t sim_ask(struct client *c, enum sim_what what, uint64_t n, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    uint32_t op = new_op(c);
    add(c, what, op, n, line);
    return op;
}

void sim_tell(struct client *c, enum sim_what what, uint64_t n, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    add(c, what, SIM_NO_OP, n, line);
}

uint32_t sim_ask_exec(struct client *c, enum sim_what what, const char *const *line, size_t lines)
{
    add(c, SIM_NOTHING, SIM_NO_OP, 0, "MULTI");
    uint32_t op = new_op(c);
    hist_exec(&c->x->hist, op);
    for (size_t i = 0; i < lines; i++) {
        char copy[LINE_MAX_BYTES];
        struct firn_slice word[128];
        add(c, SIM_NOTHING, SIM_NO_OP, 0, line[i]);
        memcpy(copy, line[i], strlen(line[i]) + 1); /* add() saw that it has room */
        (void)hist_command(&c->x->hist, op, word, split_words(copy, word, 128));
    }
    add(c, SIM_NOTHING, SIM_NO_OP, 0, "EXEC");
    c->queue[(c->tail - 1) % QUEUE_MAX] = (struct sim_sent){what, op, 0};
    return op;
}

void sim_ask_again(struct client *c, enum sim_what what, uint32_t op, const char *line)
{
    hist_again(&c->x->hist, op);
    add(c, SIM_NOTHING, SIM_NO_OP, 0, line);
    c->queue[(c->tail - 1) % QUEUE_MAX] = (struct sim_sent){what, op, 0};
}

void sim_client_flush(struct client *c)
{
    if (!c->conn || c->out.len == 0)
        return;
    c->heard_ns = sim_now_ns(c->x);
    firn_fake_send(c->conn, c->out.data, c->out.len);
    c->out.len = 0;
    sim_client_wake(c, PATIENCE_NS / 4);
}
