/* libcurl's multi handle driven by libuv: https://curl.se/libcurl/c/libcurl-multi.html, "multi
 * socket". libcurl says which sockets and which time to watch; we tell it what happened. */
#include "io_s3/s3_http_priv.h"

#include "base/assert.h"
#include "base/mem.h"
#include "io_s3/s3_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define OTHER_MAX 65536
#define IDLE_SEC 20L        /* kept connections older than this are not used again (I4) */
#define BUFFER_SMALL 65536L /* libcurl's buffers of a transfer: small … */
#define BUFFER_SEND_MAX (1L << 20)
#define BUFFER_RECEIVE_MAX (512L << 10)
/* libcurl's socket callback cannot fail without killing the multi handle, so each call brings the
 * watchers it can need: two racing connections, a resolver's socket, one being closed. */
#define WATCHERS_PER_CALL 4

struct watcher {
    uv_poll_t poll;
    struct firn_list link; /* spare ones */
    struct firn_s3__http *http;
    curl_socket_t fd;
    int events; /* what libcurl waits for */
};

struct firn_s3__http {
    uv_loop_t *loop;
    CURLM *multi;
    CURLSH *share;
    uv_timer_t curl_timer;
    uv_timer_t timer; /* the first of `timers` */
    struct firn_heap timers;
    struct firn_list spare; /* watchers */
    unsigned spares, refs;
    CURL **idle; /* handles ready for use, calls_max places */
    unsigned idles, calls, calls_max;
    char *ca_file;
    bool insecure, freed_by_user;
    void (*freed)(void *arg);
    void *freed_arg;
};

/* ---- life */

static void destroy(struct firn_s3__http *h)
{
    void (*freed)(void *arg) = h->freed;
    void *arg = h->freed_arg;
    while (!firn_list_empty(&h->spare))
        firn_free(FIRN_CONTAINER(firn_list_pop(&h->spare), struct watcher, link));
    while (h->idle && h->idles)
        curl_easy_cleanup(h->idle[--h->idles]);
    (void)curl_multi_cleanup(h->multi);
    (void)curl_share_cleanup(h->share);
    curl_global_cleanup();
    firn_heap_clear(&h->timers);
    firn_free(h->idle);
    firn_free(h->ca_file);
    firn_free(h);
    if (freed)
        freed(arg);
}

void firn_s3__http_ref(struct firn_s3__http *h)
{
    h->refs++;
}

void firn_s3__http_unref(struct firn_s3__http *h)
{
    if (--h->refs == 0)
        destroy(h);
}

uv_loop_t *firn_s3__http_loop(struct firn_s3__http *h)
{
    return h->loop;
}

static void on_timer_closed(uv_handle_t *handle)
{
    firn_s3__http_unref(handle->data);
}

void firn_s3__http_free(struct firn_s3__http *h)
{
    if (!h)
        return;
    FIRN_ASSERT(h->calls == 0 && !h->freed_by_user);
    h->freed_by_user = true;
    while (h->idles)
        curl_easy_cleanup(h->idle[--h->idles]);
    uv_close((uv_handle_t *)&h->curl_timer, on_timer_closed);
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}

/* ---- timers */

static void on_timer(uv_timer_t *t);

static void arm(struct firn_s3__http *h)
{
    struct firn_heap_node *n = firn_heap_min(&h->timers);
    if (!n) {
        (void)uv_timer_stop(&h->timer);
        return;
    }
    uint64_t now = uv_hrtime();
    uint64_t wait_ms = n->key > now ? (n->key - now + 999999) / 1000000 : 0;
    /* The loop's cached time may lag behind, which would make the timer early. */
    uv_update_time(h->loop);
    (void)uv_timer_start(&h->timer, on_timer, wait_ms, 0);
}

static void on_timer(uv_timer_t *t)
{
    struct firn_s3__http *h = t->data;
    struct firn_heap_node *n;
    uint64_t now = uv_hrtime();
    while ((n = firn_heap_min(&h->timers)) != NULL && n->key <= now) {
        struct firn_s3__timer *due = FIRN_CONTAINER(n, struct firn_s3__timer, node);
        firn_heap_remove(&h->timers, n);
        due->fn(due->arg);
    }
    arm(h);
}

enum firn_status firn_s3__timer_start(struct firn_s3__http *h, struct firn_s3__timer *t,
                                      uint64_t after_ns)
{
    uint64_t now = uv_hrtime();
    firn_heap_remove(&h->timers, &t->node);
    t->node.key = after_ns < UINT64_MAX - now ? now + after_ns : UINT64_MAX;
    if (firn_heap_push(&h->timers, &t->node) != FIRN_OK)
        return FIRN_LIMIT;
    if (firn_heap_min(&h->timers) == &t->node)
        arm(h);
    return FIRN_OK;
}

void firn_s3__timer_stop(struct firn_s3__http *h, struct firn_s3__timer *t)
{
    /* The uv timer may come too early now, and then finds nothing due. */
    firn_heap_remove(&h->timers, &t->node);
    if (!firn_heap_min(&h->timers))
        (void)uv_timer_stop(&h->timer);
}

/* ---- libcurl's sockets and time */

static void finish(struct firn_s3__http *h, CURL *easy, CURLcode rc);

/* Report what has ended. done() may start and abort calls, so each message is taken anew. */
static void reap(struct firn_s3__http *h)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
        if (m->msg == CURLMSG_DONE)
            finish(h, m->easy_handle, m->data.result);
    }
}

/* An error of the multi handle itself (memory) leaves calls hanging; their users' time-outs end
 * them. */
static void act(struct firn_s3__http *h, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(h->multi, fd, events, &running);
    reap(h);
}

static void on_curl_timer(uv_timer_t *t)
{
    act(t->data, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct firn_s3__http *h = arg;
    (void)multi;
    if (timeout_ms < 0)
        (void)uv_timer_stop(&h->curl_timer);
    else
        (void)uv_timer_start(&h->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watcher *w = poll->data;
    int flags = events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    if (status < 0) {
        /* libuv stops watching a socket in error. libcurl shall read it, not be told: a reply may
         * still be there, and a kept connection that died wants another. */
        flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
        (void)uv_poll_start(poll, w->events, on_ready);
    }
    act(w->http, w->fd, flags);
}

static void on_watcher_closed(uv_handle_t *handle)
{
    struct watcher *w = handle->data;
    struct firn_s3__http *h = w->http;
    if (h->spares < WATCHERS_PER_CALL * h->calls_max) {
        firn_list_push(&h->spare, &w->link);
        h->spares++;
    } else {
        firn_free(w);
    }
    firn_s3__http_unref(h);
}

static struct watcher *watch(struct firn_s3__http *h, curl_socket_t fd)
{
    if (firn_list_empty(&h->spare))
        return NULL;
    struct watcher *w = FIRN_CONTAINER(h->spare.next, struct watcher, link);
    if (uv_poll_init_socket(h->loop, &w->poll, fd) != 0)
        return NULL;
    firn_list_remove(&w->link);
    h->spares--;
    w->poll.data = w;
    w->fd = fd;
    firn_s3__http_ref(h);
    (void)curl_multi_assign(h->multi, fd, w);
    return w;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct firn_s3__http *h = arg;
    struct watcher *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            (void)curl_multi_assign(h->multi, fd, NULL);
            uv_close((uv_handle_t *)&w->poll, on_watcher_closed);
        }
        return 0;
    }
    if (!w)
        w = watch(h, fd);
    if (!w)
        return -1;
    w->events = what & CURL_POLL_IN ? UV_READABLE : 0;
    w->events |= what & CURL_POLL_OUT ? UV_WRITABLE : 0;
    return uv_poll_start(&w->poll, w->events, on_ready) == 0 ? 0 : -1;
}

static bool reserve_watchers(struct firn_s3__http *h)
{
    while (h->spares < WATCHERS_PER_CALL * (h->calls + 1)) {
        struct watcher *w = firn_calloc(1, sizeof *w);
        if (!w)
            return false;
        w->http = h;
        firn_list_push(&h->spare, &w->link);
        h->spares++;
    }
    return true;
}

/* ---- replies */

/* The value of the header `name` in a line, without blanks at its ends; false when it is another.
 */
static bool header(struct firn_slice line, const char *name, struct firn_slice *value)
{
    size_t n = strlen(name), end = line.len;
    if (line.len <= n || line.data[n] != ':' || !firn_slice_ieq(firn_slice_of(line.data, n), name))
        return false;
    n++;
    while (n < end && isspace(line.data[n]))
        n++;
    while (end > n && isspace(line.data[end - 1]))
        end--;
    *value = firn_slice_of(line.data + n, end - n);
    return true;
}

/* Decimal digits at *s, which moves behind them; -1 when there are none or far too many. */
static int64_t digits(const char **s)
{
    int64_t v = 0;
    const char *from = *s;
    for (; isdigit((unsigned char)**s); (*s)++) {
        if (*s - from >= 18)
            return -1;
        v = v * 10 + (**s - '0');
    }
    return *s == from ? -1 : v;
}

/* "bytes 0-9/443" */
static void read_range(struct firn_s3__call *c, const char *s)
{
    if (strncmp(s, "bytes ", 6) != 0)
        return;
    s += 6;
    int64_t first = digits(&s);
    int64_t last = first >= 0 && *s++ == '-' ? digits(&s) : -1;
    int64_t total = last >= 0 && *s++ == '/' ? digits(&s) : -1;
    if (total < 0 || *s || first > last || last >= total)
        return;
    c->first = first;
    c->last = last;
    c->total = total;
}

/* A status line begins a reply, perhaps behind an interim one (100). */
static void begin_reply(struct firn_s3__call *c, const char *status)
{
    c->http = (int)strtol(status, NULL, 10);
    c->length = c->first = c->last = c->total = -1;
    c->date_ms = 0;
    c->chunked = false;
    c->etag[0] = c->region[0] = '\0';
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct firn_s3__call *c = arg;
    struct firn_slice line = firn_slice_of(data, size * count), v;
    char text[128];
    if (line.len > 12 && memcmp(data, "HTTP/", 5) == 0) {
        const char *sp = memchr(data, ' ', line.len);
        (void)firn_s3__copy(sp ? firn_slice_of(sp + 1, 3) : line, text, sizeof text);
        if (sp && sp + 4 <= data + line.len)
            begin_reply(c, text);
    } else if (header(line, "etag", &v)) {
        (void)firn_s3__copy(v, c->etag, sizeof c->etag);
    } else if (header(line, "content-length", &v) && firn_s3__copy(v, text, sizeof text)) {
        const char *s = text;
        c->length = digits(&s);
    } else if (header(line, "transfer-encoding", &v)) {
        c->chunked = firn_slice_ieq(v, "chunked");
    } else if (header(line, "content-range", &v) && firn_s3__copy(v, text, sizeof text)) {
        read_range(c, text);
    } else if (header(line, "date", &v) && firn_s3__copy(v, text, sizeof text)) {
        time_t at = curl_getdate(text, NULL);
        c->date_ms = at > 0 ? (int64_t)at * 1000 : 0;
    } else if (header(line, "x-amz-bucket-region", &v)) {
        (void)firn_s3__copy(v, c->region, sizeof c->region);
    }
    return line.len;
}

/* Room for the whole body at its first byte, so that it is not moved about. */
static enum firn_status reserve(struct firn_s3__call *c, struct firn_buf *b, size_t more)
{
    uint64_t want = c->length > 0 ? (uint64_t)c->length : more;
    if (b->len == 0 && want > more)
        return firn_buf_reserve(b, (size_t)want);
    return FIRN_OK;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct firn_s3__call *c = arg;
    size_t n = size * count;
    if (c->http < 200 || c->http > 299) {
        size_t room = OTHER_MAX - c->other.len;
        if (firn_buf_append(&c->other, data, n < room ? n : room) != FIRN_OK)
            return 0;
        return n;
    }
    if (!c->reply)
        return n;
    if (reserve(c, c->reply, n) != FIRN_OK || firn_buf_append(c->reply, data, n) != FIRN_OK) {
        c->too_long = true;
        return 0;
    }
    return n;
}

/* ---- calls */

/* The connection stands, the request comes next. */
static int on_begin(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    struct firn_s3__call *c = arg;
    (void)ip;
    (void)own_ip;
    (void)port;
    (void)own_port;
    c->began = true;
    return CURL_PREREQFUNC_OK;
}

#define SET(option, value) ok = ok && curl_easy_setopt(e, option, value) == CURLE_OK

/* What is the same for all calls of a handle. */
static CURL *make_handle(struct firn_s3__http *h)
{
    CURL *e = curl_easy_init();
    bool ok = e != NULL;
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_MAXAGE_CONN, IDLE_SEC);
    SET(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    /* A time-out while a name is being resolved must not wait for the resolver's thread. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_USERAGENT, "firn/" FIRN_VERSION);
    SET(CURLOPT_PREREQFUNCTION, on_begin);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_SHARE, h->share);
    if (h->ca_file)
        SET(CURLOPT_CAINFO, h->ca_file);
    SET(CURLOPT_SSL_VERIFYPEER, h->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, h->insecure ? 0L : 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!ok) {
        curl_easy_cleanup(e);
        return NULL;
    }
    return e;
}

static long clamp(uint64_t n, long most)
{
    if (n < (uint64_t)BUFFER_SMALL)
        return BUFFER_SMALL;
    return n < (uint64_t)most ? (long)n : most;
}

/* Bodies go as POSTFIELDS with the method put in place: libcurl then borrows the bytes, sends small
 * ones in one piece with the header, and can begin again without a SEEKFUNCTION. */
static bool set_up(CURL *e, struct firn_s3__call *c)
{
    bool ok = true;
    bool has_body = strcmp(c->method, "PUT") == 0 || strcmp(c->method, "POST") == 0;
    if (has_body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, c->body.len ? (const char *)c->body.data : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.len);
        SET(CURLOPT_UPLOAD_BUFFERSIZE, clamp(c->body.len, BUFFER_SEND_MAX));
    } else if (strcmp(c->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    bool own = has_body || strcmp(c->method, "DELETE") == 0;
    SET(CURLOPT_CUSTOMREQUEST, own ? c->method : NULL);
    SET(CURLOPT_BUFFERSIZE, clamp(c->reply_hint, BUFFER_RECEIVE_MAX));
    SET(CURLOPT_NOPROXY, c->direct ? "*" : NULL);
    SET(CURLOPT_URL, c->url);
    SET(CURLOPT_HTTPHEADER, c->headers);
    SET(CURLOPT_PREREQDATA, c);
    SET(CURLOPT_HEADERDATA, c);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_ERRORBUFFER, c->error);
    SET(CURLOPT_PRIVATE, c);
    return ok;
}
#undef SET

/* Nothing of the call is looked at any more. */
static void let_go(struct firn_s3__http *h, struct firn_s3__call *c)
{
    CURL *e = c->easy;
    c->easy = NULL;
    h->calls--;
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, NULL);
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, NULL);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, NULL);
    h->idle[h->idles++] = e;
}

/* Whether a byte of the request was handed to the kernel or to TLS. Before the call began, the
 * handle still counts the bytes of the call before. */
static bool anything_sent(const struct firn_s3__call *c)
{
    long n = 0;
    return c->began && (curl_easy_getinfo(c->easy, CURLINFO_REQUEST_SIZE, &n) != CURLE_OK || n > 0);
}

static enum firn_s3__end end_of(const struct firn_s3__call *c, CURLcode rc)
{
    if (c->too_long)
        return FIRN_S3__TOO_LONG;
    switch (rc) {
    case CURLE_OK:
        return c->http ? FIRN_S3__ANSWERED : FIRN_S3__LOST;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return FIRN_S3__BAD_SETUP;
    default:
        return anything_sent(c) ? FIRN_S3__LOST : FIRN_S3__NOT_SENT;
    }
}

static void finish(struct firn_s3__http *h, CURL *easy, CURLcode rc)
{
    struct firn_s3__call *c = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&c);
    FIRN_ASSERT(c && c->easy == easy);
    c->end = end_of(c, rc);
    if (c->end != FIRN_S3__ANSWERED && !c->error[0])
        (void)snprintf(c->error, sizeof c->error, "%s", curl_easy_strerror(rc));
    (void)curl_multi_remove_handle(h->multi, easy);
    let_go(h, c);
    c->done(c);
}

enum firn_status firn_s3__call_start(struct firn_s3__http *h, struct firn_s3__call *c)
{
    if (h->calls == h->calls_max || !reserve_watchers(h))
        return FIRN_LIMIT;
    CURL *e = h->idles ? h->idle[--h->idles] : make_handle(h);
    if (!e)
        return FIRN_LIMIT;
    firn_buf_init(&c->other, OTHER_MAX);
    begin_reply(c, "0");
    c->error[0] = '\0';
    c->too_long = c->began = false;
    if (!set_up(e, c) || curl_multi_add_handle(h->multi, e) != CURLM_OK) {
        curl_easy_cleanup(e);
        return FIRN_LIMIT;
    }
    c->easy = e;
    h->calls++;
    return FIRN_OK;
}

bool firn_s3__call_abort(struct firn_s3__http *h, struct firn_s3__call *c)
{
    FIRN_ASSERT(c->easy);
    bool sent = anything_sent(c);
    (void)curl_multi_remove_handle(h->multi, c->easy);
    let_go(h, c);
    return sent;
}

void firn_s3__call_clear(struct firn_s3__call *c)
{
    firn_buf_clear(&c->other);
}

/* ---- creation */

static bool set_up_multi(struct firn_s3__http *h)
{
    CURLM *m = h->multi;
    return m && h->share &&
           curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, want_socket) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_SOCKETDATA, h) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, want_timer) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERDATA, h) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)h->calls_max) == CURLM_OK &&
           /* sessions are kept per handle otherwise, and handles are taken at random */
           curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

enum firn_status firn_s3__http_create(uv_loop_t *loop, const struct firn_s3__http_options *o,
                                      void (*freed)(void *arg), void *arg,
                                      struct firn_s3__http **out, struct firn_err *err)
{
    struct firn_s3__http *h = firn_calloc(1, sizeof *h);
    if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        firn_free(h);
        return firn_fail(err, FIRN_LIMIT, "out of memory for HTTP");
    }
    firn_list_init(&h->spare);
    h->loop = loop;
    h->calls_max = o->calls_max;
    h->insecure = o->insecure;
    bool own_ca = o->ca_file && o->ca_file[0];
    h->ca_file = own_ca ? firn_strdup(o->ca_file) : NULL;
    h->idle = firn_calloc(h->calls_max, sizeof *h->idle);
    h->share = curl_share_init();
    h->multi = curl_multi_init();
    if ((own_ca && !h->ca_file) || !h->idle || !set_up_multi(h)) {
        destroy(h);
        return firn_fail(err, FIRN_LIMIT, "out of memory for HTTP");
    }
    (void)uv_timer_init(loop, &h->curl_timer);
    (void)uv_timer_init(loop, &h->timer);
    h->curl_timer.data = h->timer.data = h;
    h->refs = 2; /* the two timers' */
    h->freed = freed;
    h->freed_arg = arg;
    *out = h;
    return FIRN_OK;
}
