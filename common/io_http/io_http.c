#include "io_http/io_http.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 16

/* One address: a daemon of libmicrohttpd and what wakes it. */
struct listener {
    struct firn_http *http;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    bool has_handles; /* poll and timer were initialised and must be closed */
};

struct firn_http {
    uv_loop_t *loop;
    firn_http_handler *handler;
    void *arg;
    size_t count;
    size_t closing; /* handles whose close callback is to come */
    struct listener listener[ADDRESSES_MAX];
};

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* --- answering */

bool firn_http_query(const struct firn_http_request *req, const char *name, const char **value)
{
    const char *v = NULL;
    size_t len = 0;
    if (MHD_lookup_connection_value_n(req->priv, MHD_GET_ARGUMENT_KIND, name, strlen(name), &v,
                                      &len) != MHD_YES)
        return false;
    if (value)
        *value = v ? v : "";
    return true;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (!a)
        return false;
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    if (a->sa_family != AF_INET6)
        return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

/* Headers for pages that hold operational data: never cached, framed, sniffed, or run from
 * elsewhere. */
static const char *const fixed_header[][2] = {
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Content-Security-Policy",
     "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; img-src 'self'; "
     "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"},
};

/* Queue the reply; its body is taken over. A reply that cannot be made closes the connection. */
static enum MHD_Result send_reply(struct MHD_Connection *c, struct firn_http_reply *r, bool allow)
{
    struct MHD_Response *response =
        r->body.data ? MHD_create_response_from_buffer_with_free_callback(r->body.len, r->body.data,
                                                                          firn_free)
                     : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (!response) {
        firn_buf_clear(&r->body);
        return MHD_NO;
    }
    enum MHD_Result ok =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->content_type);
    for (size_t i = 0; i < sizeof fixed_header / sizeof *fixed_header && ok == MHD_YES; i++)
        ok = MHD_add_response_header(response, fixed_header[i][0], fixed_header[i][1]);
    if (ok == MHD_YES && allow)
        ok = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (ok == MHD_YES)
        ok = MHD_queue_response(c, r->status, response);
    MHD_destroy_response(response);
    return ok;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **state)
{
    static char headers_seen;
    const struct listener *l = arg;
    struct firn_http_reply reply = {.status = 200, .content_type = "text/plain; charset=utf-8"};
    (void)version;
    (void)upload;
    firn_buf_init(&reply.body, FIRN_HTTP_BODY_MAX);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        reply.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        return send_reply(c, &reply, true);
    }
    /* libmicrohttpd calls first with the headers, then for each piece of a body, then at the end.
     */
    if (!*state) {
        *state = &headers_seen;
        return MHD_YES;
    }
    if (*upload_len) {
        *upload_len = 0; /* a body of a GET means nothing */
        return MHD_YES;
    }
    const union MHD_ConnectionInfo *peer =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct firn_http_request req = {
        .path = url, .loopback = peer && is_loopback(peer->client_addr), .priv = c};
    l->http->handler(l->http->arg, &req, &reply);
    return send_reply(c, &reply, false);
}

/* --- driving */

static void on_timer(uv_timer_t *t);

/* Let the daemon do what is ready, and wake it again when it wants to be. */
static void run(struct listener *l)
{
    MHD_UNSIGNED_LONG_LONG ms;
    (void)MHD_run(l->daemon); /* fails only when the daemon was made with threads */
    if (MHD_get_timeout(l->daemon, &ms) == MHD_YES)
        (void)uv_timer_start(&l->timer, on_timer, ms, 0);
    else
        (void)uv_timer_stop(&l->timer);
}

static void on_timer(uv_timer_t *t)
{
    run(t->data);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    (void)status;
    (void)events;
    run(p->data);
}

/* --- listening */

static enum firn_status parse_address(struct firn_slice word, uint16_t port, union address *a,
                                      struct firn_err *err)
{
    char text[INET6_ADDRSTRLEN];
    memset(a, 0, sizeof *a);
    bool fits = word.len < sizeof text;
    if (fits) {
        memcpy(text, word.data, word.len);
        text[word.len] = '\0';
    }
    if (fits && inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        return FIRN_OK;
    }
    if (fits && inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(port);
        return FIRN_OK;
    }
    return firn_fail(err, FIRN_INVALID, "bind: \"%.*s\" is no numeric address", (int)word.len,
                     (const char *)word.data);
}

static enum firn_status status_of_errno(int e)
{
    switch (e) {
    case EADDRINUSE:
        return FIRN_CONFLICT;
    case EACCES:
    case EPERM:
        return FIRN_DENIED;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return FIRN_ABSENT;
    default:
        return FIRN_LIMIT;
    }
}

/* A listening socket on a. ABSENT: this machine has no such address. Otherwise as firn_http_create.
 */
static enum firn_status listen_on(union address *a, int *out, struct firn_err *err)
{
    bool v6 = a->any.sa_family == AF_INET6;
    socklen_t len = v6 ? sizeof a->v6 : sizeof a->v4;
    int on = 1, fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (!v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
        bind(fd, &a->any, len) == 0 && listen(fd, 128) == 0 &&
        getsockname(fd, &a->any, &len) == 0) {
        *out = fd;
        return FIRN_OK;
    }
    int e = errno;
    char text[INET6_ADDRSTRLEN] = "?";
    (void)inet_ntop(a->any.sa_family,
                    v6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, text,
                    sizeof text);
    if (fd >= 0)
        (void)close(fd);
    return firn_fail(err, status_of_errno(e), "HTTP: cannot listen on %s port %u: %s", text,
                     ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port), strerror(e));
}

/* Start a daemon on the listening socket fd, which is taken over. */
static enum firn_status start_listener(struct firn_http *h, int fd, struct firn_err *err)
{
    struct listener *l = &h->listener[h->count];
    l->http = h;
    l->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, l, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)FIRN_HTTP_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)FIRN_HTTP_CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)FIRN_HTTP_IDLE_SEC, MHD_OPTION_END);
    if (!l->daemon) {
        (void)close(fd);
        return firn_fail(err, FIRN_LIMIT, "HTTP: libmicrohttpd does not start");
    }
    h->count++;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int rc = info ? uv_poll_init(h->loop, &l->poll, info->epoll_fd) : UV_EINVAL;
    if (rc == 0) {
        (void)uv_timer_init(h->loop, &l->timer);
        l->has_handles = true;
        l->poll.data = l->timer.data = l;
        rc = uv_poll_start(&l->poll, UV_READABLE, on_poll);
    }
    if (rc != 0)
        return firn_fail(err, FIRN_LIMIT, "HTTP: %s", uv_strerror(rc));
    run(l);
    return FIRN_OK;
}

/* Listen on each address of `bind`; *port becomes the port in use. */
static enum firn_status start_all(struct firn_http *h, const char *bind, uint16_t *port,
                                  struct firn_err *err)
{
    struct firn_err skipped = {0};
    for (const char *at = bind + strspn(bind, " "); *at; at += strspn(at, " ")) {
        struct firn_slice word = firn_slice_of(at, strcspn(at, " "));
        union address a;
        int fd = -1;
        at += word.len;
        enum firn_status s = parse_address(word, *port, &a, err);
        if (s == FIRN_OK && h->count == ADDRESSES_MAX)
            s = firn_fail(err, FIRN_INVALID, "bind: more than %d addresses", ADDRESSES_MAX);
        if (s != FIRN_OK)
            return s;
        struct firn_err why = {0};
        bool v6 = a.any.sa_family == AF_INET6;
        s = listen_on(&a, &fd, &why);
        if (s == FIRN_ABSENT && v6) {
            skipped = why;
            continue;
        }
        if (s != FIRN_OK)
            return firn_fail(err, s == FIRN_ABSENT ? FIRN_INVALID : s, "%s", why.text);
        *port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
        s = start_listener(h, fd, err);
        if (s != FIRN_OK)
            return s;
    }
    if (h->count == 0)
        return firn_fail(err, FIRN_INVALID, "%s",
                         skipped.text[0] ? skipped.text : "bind: no address to listen on");
    return FIRN_OK;
}

enum firn_status firn_http_create(uv_loop_t *loop, const char *bind, uint16_t port,
                                  firn_http_handler *handler, void *arg, struct firn_http **out,
                                  uint16_t *port_out, struct firn_err *err)
{
    struct firn_http *h = firn_calloc(1, sizeof *h);
    if (!h)
        return firn_fail(err, FIRN_LIMIT, "HTTP: out of memory");
    h->loop = loop;
    h->handler = handler;
    h->arg = arg;
    enum firn_status s = start_all(h, bind, &port, err);
    if (s != FIRN_OK) {
        firn_http_free(h);
        return s;
    }
    *out = h;
    if (port_out)
        *port_out = port;
    return FIRN_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct firn_http *h = l->http;
    if (--h->closing == 0)
        firn_free(h);
}

void firn_http_free(struct firn_http *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++) {
        struct listener *l = &h->listener[i];
        if (l->has_handles) {
            /* before the daemon closes the descriptor that the loop watches */
            uv_close((uv_handle_t *)&l->poll, on_closed);
            uv_close((uv_handle_t *)&l->timer, on_closed);
            h->closing += 2;
        }
        MHD_stop_daemon(l->daemon);
    }
    if (h->closing == 0)
        firn_free(h);
}
