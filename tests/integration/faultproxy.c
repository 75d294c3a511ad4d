/* An HTTP/1.1 proxy before an object store that adds latency and faults, for tests and benchmarks
 * on loopback. One thread per connection; bodies are passed on as they come.
 *
 * usage: faultproxy --listen IP:PORT --to IP:PORT [options]     (PORT 0 = any)
 *   --put-delay-ms A[-B]      a PUT's reply is held back so long (evenly between A and B)
 *   --get-delay-ms A[-B]      a GET's or HEAD's
 *   --other-delay-ms A[-B]    a POST's or DELETE's
 *   --drop-reply-percent P    of writes: passed on, but the connection ends instead of a reply
 *   --refuse-percent P        of all: the connection ends, nothing is passed on
 *   --half-percent P          of those with a body: half of it is passed on, then both connections
 * end
 *   --head-percent P          of all: the connection ends behind the head of the reply
 *   --error-percent P         of all: answered 503 SlowDown, not passed on
 *   --cut-percent P           of GETs: the connection ends in the midst of the body
 *   --hold-percent P          of PUTs: taken whole, passed on --hold-ms later even if nobody waits
 * for
 *   --hold-ms N                 the reply any more, so that they land late (default 5000)
 *   --deny METHOD             such requests are answered 403 AccessDenied
 *   --match TEXT              faults (not delays) only where the request line has TEXT
 *   --seed N                  of the dice
 *
 * Prints "faultproxy: listening on IP:PORT" when ready. SIGUSR1 begins or ends an outage:
 * connections are closed without a reply. SIGUSR2 ends the faults (not delays), or begins them
 * again. SIGTERM ends it with a line of counts. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256u << 10)
#define HEAD_MAX (64u << 10)
#define STACK (256u << 10)

struct delay {
    uint32_t from_ms, to_ms;
};

static struct {
    struct sockaddr_in listen, to;
    struct delay put, get, other;
    double drop_reply, error, cut, hold, refuse, half, head; /* percent */
    uint32_t hold_ms;
    const char *deny, *match;
    uint64_t seed;
} opt = {.hold_ms = 5000, .match = ""};

static _Atomic uint64_t requests, dropped, errors, cuts, held, refused, halves, heads, dice;
static atomic_bool outage, calm;

/* ---- helpers */

/* splitmix64 of a running number: the n-th throw does not depend on which thread asks. */
static uint64_t random_u64(void)
{
    uint64_t z = opt.seed + 0x9e3779b97f4a7c15u * (atomic_fetch_add(&dice, 1) + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(double percent)
{
    return percent > 0 && (double)(random_u64() >> 11) / 9007199254740992.0 * 100 < percent;
}

static void sleep_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static void wait_delay(struct delay d)
{
    uint32_t span = d.to_ms - d.from_ms;
    uint32_t ms = d.from_ms + (span ? (uint32_t)(random_u64() % (span + 1)) : 0);
    if (ms)
        sleep_ms(ms);
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

/* ---- buffered reading */

struct stream {
    int fd;
    size_t from, to;
    char *data; /* BUFFER bytes */
};

/* Read more behind what is there; false at the end of the stream. */
static bool fill(struct stream *s)
{
    if (s->from == s->to)
        s->from = s->to = 0;
    if (s->to == BUFFER && s->from) {
        memmove(s->data, s->data + s->from, s->to - s->from);
        s->to -= s->from;
        s->from = 0;
    }
    if (s->to == BUFFER)
        return false;
    ssize_t n;
    do
        n = recv(s->fd, s->data + s->to, BUFFER - s->to, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    s->to += (size_t)n;
    return true;
}

/* Take bytes up to and with `end` into out, and a NUL. 0 = the stream ended, or there are too many.
 */
static size_t take_until(struct stream *s, const char *end, char *out, size_t cap)
{
    size_t n = strlen(end);
    for (;;) {
        char *p = memmem(s->data + s->from, s->to - s->from, end, n);
        if (p) {
            size_t len = (size_t)(p - (s->data + s->from)) + n;
            if (len >= cap)
                return 0;
            memcpy(out, s->data + s->from, len);
            out[len] = '\0';
            s->from += len;
            return len;
        }
        if (s->to - s->from >= cap || !fill(s))
            return 0;
    }
}

/* Pass `len` bytes on; to -1 drops them. */
static bool pass(struct stream *s, int to, uint64_t len)
{
    while (len) {
        if (s->from == s->to && !fill(s))
            return false;
        size_t n = s->to - s->from;
        n = n < len ? n : (size_t)len;
        if (to >= 0 && !send_all(to, s->data + s->from, n))
            return false;
        s->from += n;
        len -= n;
    }
    return true;
}

/* ---- HTTP */

/* The value of a header of a head, NULL = it has none. It goes on to the end of the line. */
static const char *header(const char *head, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = strstr(head, "\r\n"); p; p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, n) == 0 && p[n] == ':')
            return p + n + 1 + strspn(p + n + 1, " \t");
    }
    return NULL;
}

static bool header_is(const char *head, const char *name, const char *value)
{
    const char *v = header(head, name);
    return v && strncasecmp(v, value, strlen(value)) == 0;
}

struct conn {
    struct stream client, server; /* server.fd -1 = not connected */
    char head[HEAD_MAX];          /* of the request */
    char reply[HEAD_MAX];         /* of its reply */
    char method[16];
    uint64_t length; /* of the request's body */
    bool faults;     /* the dice are thrown for it */
};

static bool is(const struct conn *c, const char *method)
{
    return strcmp(c->method, method) == 0;
}

static bool is_write(const struct conn *c)
{
    return !is(c, "GET") && !is(c, "HEAD");
}

static void leave_server(struct conn *c)
{
    if (c->server.fd >= 0)
        (void)close(c->server.fd);
    c->server.fd = -1;
}

/* Connect, unless the connection of the request before still stands. */
static bool connect_server(struct conn *c)
{
    int one = 1;
    char byte;
    if (c->server.fd >= 0) {
        if (recv(c->server.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)
            return true;
        leave_server(c);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&opt.to, sizeof opt.to) != 0) {
        (void)close(fd);
        return false;
    }
    c->server.fd = fd;
    c->server.from = c->server.to = 0;
    return true;
}

/* Read a request's head. False: the client is gone, or speaks what we do not. */
static bool read_request(struct conn *c)
{
    if (!take_until(&c->client, "\r\n\r\n", c->head, sizeof c->head))
        return false;
    size_t n = strcspn(c->head, " ");
    if (n == 0 || n >= sizeof c->method || header(c->head, "Transfer-Encoding"))
        return false;
    memcpy(c->method, c->head, n);
    c->method[n] = '\0';
    const char *length = header(c->head, "Content-Length");
    c->length = length ? strtoull(length, NULL, 10) : 0;
    size_t line = strcspn(c->head, "\r");
    c->faults = !atomic_load(&calm) && memmem(c->head, line, opt.match, strlen(opt.match)) != NULL;
    if (header_is(c->head, "Expect", "100-continue"))
        return send_text(c->client.fd, "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

/* Answer in place of the store; the request's body is read and dropped. */
static bool answer(struct conn *c, const char *status, const char *code)
{
    char body[160], head[320];
    int n =
        snprintf(body, sizeof body, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code);
    if (!pass(&c->client, -1, c->length))
        return false;
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s",
                   status, n, is(c, "HEAD") ? "" : body);
    return send_text(c->client.fd, head);
}

/* Pass a chunked body on, chunks as they are. */
static bool pass_chunks(struct stream *s, int to)
{
    char line[1024];
    for (;;) {
        size_t n = take_until(s, "\r\n", line, sizeof line);
        if (n == 0 || (to >= 0 && !send_all(to, line, n)))
            return false;
        uint64_t size = strtoull(line, NULL, 16);
        if (size == 0)
            break;
        if (!pass(s, to, size + 2))
            return false;
    }
    for (;;) { /* trailers, then an empty line */
        size_t n = take_until(s, "\r\n", line, sizeof line);
        if (n == 0 || (to >= 0 && !send_all(to, line, n)))
            return false;
        if (n == 2)
            return true;
    }
}

/* Read the reply's head, without interim ones. */
static bool read_reply(struct conn *c)
{
    do {
        if (!take_until(&c->server, "\r\n\r\n", c->reply, sizeof c->reply))
            return false;
    } while (strncmp(c->reply, "HTTP/1.1 1", 10) == 0);
    return strncmp(c->reply, "HTTP/1.", 7) == 0;
}

static bool reply_has_body(const struct conn *c)
{
    const char *status = c->reply + strlen("HTTP/1.1 ");
    return !is(c, "HEAD") && strncmp(status, "204", 3) != 0 && strncmp(status, "304", 3) != 0;
}

/* Pass the reply on. False: the connection cannot be used again. */
static bool pass_reply(struct conn *c, int to)
{
    const char *length = header(c->reply, "Content-Length");
    uint64_t n = length ? strtoull(length, NULL, 10) : 0;
    if (to >= 0 && !send_text(to, c->reply))
        return false;
    if (c->faults && to >= 0 && chance(opt.head)) {
        atomic_fetch_add(&heads, 1);
        return false;
    }
    if (!reply_has_body(c))
        return true;
    if (header_is(c->reply, "Transfer-Encoding", "chunked"))
        return pass_chunks(&c->server, to);
    if (!length) { /* until the store closes */
        (void)pass(&c->server, to, UINT64_MAX);
        return false;
    }
    if (is(c, "GET") && c->faults && n > 1 && to >= 0 && chance(opt.cut)) {
        atomic_fetch_add(&cuts, 1);
        (void)pass(&c->server, to, n / 2);
        return false;
    }
    return pass(&c->server, to, n);
}

/* ---- a request */

static struct delay delay_of(const struct conn *c)
{
    if (is(c, "PUT"))
        return opt.put;
    return is_write(c) ? opt.other : opt.get;
}

/* Take the whole body, wait, then pass it on: the store sees the request late, whether or not the
 * client has given up. */
static bool hold_request(struct conn *c)
{
    struct stream kept = {.fd = -1, .from = 0, .to = 0, .data = NULL};
    bool ok = false;
    char *body = malloc(c->length + 1);
    atomic_fetch_add(&held, 1);
    while (body && kept.to < c->length) {
        if (c->client.from == c->client.to && !fill(&c->client))
            goto out;
        size_t n = c->client.to - c->client.from, left = (size_t)c->length - kept.to;
        n = n < left ? n : left;
        memcpy(body + kept.to, c->client.data + c->client.from, n);
        c->client.from += n;
        kept.to += n;
    }
    sleep_ms(opt.hold_ms);
    ok = body && connect_server(c) && send_text(c->server.fd, c->head) &&
         send_all(c->server.fd, body, (size_t)c->length);
out:
    free(body);
    return ok;
}

/* Half of the body goes on, and then nobody is there any more. */
static void forward_half(struct conn *c)
{
    atomic_fetch_add(&halves, 1);
    if (connect_server(c) && send_text(c->server.fd, c->head))
        (void)pass(&c->client, c->server.fd, c->length / 2);
    leave_server(c);
}

static bool forward(struct conn *c)
{
    if (c->faults && c->length && chance(opt.half)) {
        forward_half(c);
        return false;
    }
    if (c->faults && is(c, "PUT") && chance(opt.hold))
        return hold_request(c) && read_reply(c);
    return connect_server(c) && send_text(c->server.fd, c->head) &&
           pass(&c->client, c->server.fd, c->length) && read_reply(c);
}

/* One request and its reply. False: close the connection. */
static bool serve(struct conn *c)
{
    if (!read_request(c) || atomic_load(&outage))
        return false;
    atomic_fetch_add(&requests, 1);
    if (c->faults && chance(opt.refuse)) {
        atomic_fetch_add(&refused, 1);
        return false;
    }
    if (c->faults && opt.deny && is(c, opt.deny))
        return answer(c, "403 Forbidden", "AccessDenied");
    if (c->faults && chance(opt.error)) {
        atomic_fetch_add(&errors, 1);
        return answer(c, "503 Service Unavailable", "SlowDown");
    }
    if (!forward(c))
        return false;
    if (c->faults && is_write(c) && chance(opt.drop_reply)) {
        atomic_fetch_add(&dropped, 1);
        return false;
    }
    wait_delay(delay_of(c));
    bool ends = header_is(c->reply, "Connection", "close");
    if (!pass_reply(c, c->client.fd))
        return false;
    if (ends)
        leave_server(c);
    return !ends && !header_is(c->head, "Connection", "close");
}

static void *run_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct conn *c = calloc(1, sizeof *c);
    if (c) {
        c->client = (struct stream){.fd = fd, .data = malloc(BUFFER)};
        c->server = (struct stream){.fd = -1, .data = malloc(BUFFER)};
        while (c->client.data && c->server.data && serve(c))
            ;
        leave_server(c);
        free(c->client.data);
        free(c->server.data);
    }
    (void)close(fd);
    free(c);
    return NULL;
}

/* ---- the program */

static void *accept_all(void *arg)
{
    int listener = (int)(intptr_t)arg, one = 1;
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t t;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (atomic_load(&outage) ||
            pthread_create(&t, &attr, run_connection, (void *)(intptr_t)fd) != 0)
            (void)close(fd);
    }
    return NULL;
}

static void die(const char *what, const char *value)
{
    (void)fprintf(stderr, "faultproxy: %s %s\n", what, value);
    exit(2);
}

static struct sockaddr_in address(const char *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strchr(s, ':');
    size_t n = colon ? (size_t)(colon - s) : sizeof host;
    if (n >= sizeof host)
        die("no IP:PORT:", s);
    memcpy(host, s, n);
    host[n] = '\0';
    a.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
        die("no IP:PORT:", s);
    return a;
}

static struct delay delay_arg(const char *s)
{
    char *end;
    struct delay d;
    d.from_ms = d.to_ms = (uint32_t)strtoul(s, &end, 10);
    if (*end == '-')
        d.to_ms = (uint32_t)strtoul(end + 1, &end, 10);
    if (*end || d.to_ms < d.from_ms)
        die("no A or A-B in ms:", s);
    return d;
}

static double percent_arg(const char *s)
{
    char *end;
    double v = strtod(s, &end);
    if (*end || v < 0 || v > 100)
        die("no percentage:", s);
    return v;
}

static void set_option(int which, char *value)
{
    switch (which) {
    case 'l':
        opt.listen = address(value);
        break;
    case 't':
        opt.to = address(value);
        break;
    case 'p':
        opt.put = delay_arg(value);
        break;
    case 'g':
        opt.get = delay_arg(value);
        break;
    case 'o':
        opt.other = delay_arg(value);
        break;
    case 'd':
        opt.drop_reply = percent_arg(value);
        break;
    case 'e':
        opt.error = percent_arg(value);
        break;
    case 'c':
        opt.cut = percent_arg(value);
        break;
    case 'h':
        opt.hold = percent_arg(value);
        break;
    case 'H':
        opt.hold_ms = (uint32_t)strtoul(value, NULL, 10);
        break;
    case 'r':
        opt.refuse = percent_arg(value);
        break;
    case 'b':
        opt.half = percent_arg(value);
        break;
    case 'a':
        opt.head = percent_arg(value);
        break;
    case 'n':
        opt.deny = value;
        break;
    case 'm':
        opt.match = value;
        break;
    case 's':
        opt.seed = strtoull(value, NULL, 10);
        break;
    default:
        exit(2); /* getopt has said why */
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"to", required_argument, NULL, 't'},
        {"put-delay-ms", required_argument, NULL, 'p'},
        {"get-delay-ms", required_argument, NULL, 'g'},
        {"other-delay-ms", required_argument, NULL, 'o'},
        {"drop-reply-percent", required_argument, NULL, 'd'},
        {"error-percent", required_argument, NULL, 'e'},
        {"cut-percent", required_argument, NULL, 'c'},
        {"refuse-percent", required_argument, NULL, 'r'},
        {"half-percent", required_argument, NULL, 'b'},
        {"head-percent", required_argument, NULL, 'a'},
        {"hold-percent", required_argument, NULL, 'h'},
        {"hold-ms", required_argument, NULL, 'H'},
        {"deny", required_argument, NULL, 'n'},
        {"match", required_argument, NULL, 'm'},
        {"seed", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    int which;
    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1)
        set_option(which, optarg);
    if (optind != argc || opt.listen.sin_family == 0 || opt.to.sin_family == 0)
        die("usage:", "faultproxy --listen IP:PORT --to IP:PORT [options]");
}

static int listen_on(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof opt.listen;
    char ip[INET_ADDRSTRLEN];
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&opt.listen, sizeof opt.listen) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&opt.listen, &len) != 0)
        die("cannot listen:", strerror(errno));
    (void)inet_ntop(AF_INET, &opt.listen.sin_addr, ip, sizeof ip);
    (void)printf("faultproxy: listening on %s:%u\n", ip, ntohs(opt.listen.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    sigset_t set;
    pthread_t t;
    int signo;
    read_options(argc, argv);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGUSR2);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    int fd = listen_on();
    if (pthread_create(&t, NULL, accept_all, (void *)(intptr_t)fd) != 0)
        die("no thread:", strerror(errno));
    while (sigwait(&set, &signo) == 0 && (signo == SIGUSR1 || signo == SIGUSR2)) {
        atomic_bool *what = signo == SIGUSR1 ? &outage : &calm;
        bool now = !atomic_load(what);
        atomic_store(what, now);
        (void)printf("faultproxy: %s %s\n", signo == SIGUSR1 ? "outage" : "calm",
                     now ? "begins" : "ends");
        (void)fflush(stdout);
    }
    (void)printf(
        "faultproxy: %llu requests, %llu replies dropped, %llu errors, %llu cut, %llu held, "
        "%llu refused, %llu halves, %llu heads\n",
        (unsigned long long)requests, (unsigned long long)dropped, (unsigned long long)errors,
        (unsigned long long)cuts, (unsigned long long)held, (unsigned long long)refused,
        (unsigned long long)halves, (unsigned long long)heads);
    (void)fflush(stdout);
    _exit(0); /* the connections' threads end with it */
}
