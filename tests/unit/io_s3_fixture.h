/* A server on the loop of the S3 adapter that answers as each test says: what a real store does not
 * do on demand. */
#ifndef FIRN_TESTS_UNIT_IO_S3_FIXTURE_H
#define FIRN_TESTS_UNIT_IO_S3_FIXTURE_H

#include "testing.h"

#include "io_s3/io_s3.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define REQUESTS_MAX 32
#define REQUEST_BYTES (1u << 20)
#define SECRET "very-secret-key"

/* ---- the server */

struct answer {
    const char *text; /* NULL = nothing */
    bool close;       /* afterwards */
};

struct world {
    uv_loop_t loop;
    uv_tcp_t listener;
    char endpoint[64];
    struct answer (*script)(const char *request, unsigned n); /* n: from 0 */
    unsigned seen, connections;
    char request[REQUESTS_MAX][2048]; /* heads, cut */
    bool early;                       /* answer before the body has come */
    struct firn_objstore *store;
    unsigned pending;
};
static struct world w;

struct peer {
    uv_tcp_t tcp;
    char *in;
    size_t len;
};

struct written {
    uv_write_t req;
    char *text;
    bool close;
};

static void on_peer_closed(uv_handle_t *h)
{
    struct peer *p = h->data;
    free(p->in);
    free(p);
}

static void close_peer(struct peer *p)
{
    if (!uv_is_closing((uv_handle_t *)&p->tcp))
        uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
}

static void on_written(uv_write_t *req, int status)
{
    struct written *wr = req->data;
    struct peer *p = req->handle->data;
    if (wr->close || status != 0)
        close_peer(p);
    free(wr->text);
    free(wr);
}

static void answer(struct peer *p)
{
    unsigned n = w.seen++;
    assert_true(n < REQUESTS_MAX);
    (void)snprintf(w.request[n], sizeof w.request[n], "%s", p->in);
    struct answer a = w.script(p->in, n);
    if (!a.text) {
        if (a.close)
            close_peer(p);
        return;
    }
    struct written *wr = calloc(1, sizeof *wr);
    assert_non_null(wr);
    wr->text = strdup(a.text);
    wr->close = a.close;
    wr->req.data = wr;
    uv_buf_t buf = uv_buf_init(wr->text, (unsigned)strlen(wr->text));
    assert_int_equal(uv_write(&wr->req, (uv_stream_t *)&p->tcp, &buf, 1, on_written), 0);
}

/* Length of the first request in the buffer with its body, 0 = not whole yet. */
static size_t whole(const struct peer *p)
{
    const char *end = strstr(p->in, "\r\n\r\n"),
               *length = strcasestr(p->in, "\r\nContent-Length: ");
    if (!end)
        return 0;
    size_t head = (size_t)(end - p->in) + 4;
    size_t body = length && length < end && !w.early ? strtoul(length + 18, NULL, 10) : 0;
    return p->len >= head + body ? head + body : 0;
}

static void on_alloc(uv_handle_t *h, size_t want, uv_buf_t *buf)
{
    struct peer *p = h->data;
    (void)want;
    assert_true(p->len < REQUEST_BYTES - 1);
    *buf = uv_buf_init(p->in + p->len, (unsigned)(REQUEST_BYTES - 1 - p->len));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct peer *p = s->data;
    size_t len;
    (void)buf;
    if (n < 0) {
        close_peer(p);
        return;
    }
    p->len += (size_t)n;
    p->in[p->len] = '\0';
    while ((len = whole(p)) != 0 && !uv_is_closing((uv_handle_t *)s)) {
        answer(p);
        if (w.early)
            len = p->len;
        memmove(p->in, p->in + len, p->len - len + 1);
        p->len -= len;
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peer *p = calloc(1, sizeof *p);
    assert_int_equal(status, 0);
    assert_non_null(p);
    p->in = malloc(REQUEST_BYTES);
    assert_non_null(p->in);
    p->tcp.data = p;
    assert_int_equal(uv_tcp_init(&w.loop, &p->tcp), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read), 0);
    w.connections++;
}

static int server_start(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int len = sizeof a;
    (void)state;
    memset(&w, 0, sizeof w);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (uv_loop_init(&w.loop) != 0 || uv_tcp_init(&w.loop, &w.listener) != 0 ||
        uv_tcp_bind(&w.listener, (struct sockaddr *)&a, 0) != 0 ||
        uv_listen((uv_stream_t *)&w.listener, 128, on_connection) != 0 ||
        uv_tcp_getsockname(&w.listener, (struct sockaddr *)&a, &len) != 0)
        return -1;
    (void)snprintf(w.endpoint, sizeof w.endpoint, "http://127.0.0.1:%u", ntohs(a.sin_port));
    static const char *const clean[] = {"AWS_PROFILE",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_ROLE_ARN",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_CA_BUNDLE",
                                        "http_proxy"};
    for (size_t i = 0; i < sizeof clean / sizeof clean[0]; i++)
        (void)unsetenv(clean[i]);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials", 1);
    (void)setenv("AWS_CONFIG_FILE", "/nowhere/config", 1);
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    (void)setenv("AWS_REGION", "us-east-1", 1);
    (void)setenv("AWS_ACCESS_KEY_ID", "key-id", 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
    return 0;
}

static int server_stop(void **state)
{
    (void)state;
    firn_s3_free(w.store);
    uv_close((uv_handle_t *)&w.listener, NULL);
    (void)uv_run(&w.loop, UV_RUN_DEFAULT); /* peers end when the client's connections do */
    return uv_loop_close(&w.loop);
}

static void open_store(const char *profile)
{
    struct firn_s3_options o = {.connections_max = 4};
    struct firn_err err = {0};
    (void)snprintf(o.endpoint, sizeof o.endpoint, "%s", w.endpoint);
    (void)snprintf(o.profile, sizeof o.profile, "%s", profile);
    assert_int_equal(firn_s3_url_parse("s3://bucket/db", &o, &err), FIRN_OK);
    assert_int_equal(firn_s3_create(&w.loop, &o, &w.store, &err), FIRN_OK);
    assert_non_null(strstr(w.store->url, w.endpoint));
}

/* ---- requests */

static void on_done(struct firn_os_req *r)
{
    (void)r;
    if (--w.pending == 0)
        uv_stop(&w.loop);
}

static void submit(struct firn_os_req *r, enum firn_os_op op)
{
    r->op = op;
    r->key = r->key ? r->key : "key";
    r->timeout_ns = r->timeout_ns ? r->timeout_ns : 20 * SECOND;
    r->done = on_done;
    w.pending++;
    firn_os_submit(w.store, r);
}

static void wait_all(void)
{
    while (w.pending)
        (void)uv_run(&w.loop, UV_RUN_DEFAULT);
}

/* Run one request, look at its status and whether its message has `text`, clear it. */
static void expect(struct firn_os_req *r, enum firn_os_op op, enum firn_status want,
                   const char *text)
{
    submit(r, op);
    wait_all();
    if (r->status != want)
        fail_msg("%s instead of %s: %s", firn_status_name(r->status), firn_status_name(want),
                 r->err.text);
    if (text && !strstr(r->err.text, text))
        fail_msg("no \"%s\" in: %s", text, r->err.text);
    assert_null(strstr(r->err.text, SECRET));
    if (want != FIRN_OK)
        assert_int_equal(r->reply.len, 0);
    firn_os_req_clear(r);
}

static void simple(enum firn_os_op op, enum firn_status want, const char *text)
{
    struct firn_os_req r;
    firn_os_req_init(&r);
    expect(&r, op, want, text);
}

#define OK_EMPTY "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n"
/* With the end of the connection as the end of the body. */
#define ERROR(status, code, message)                                                               \
    "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n<Error><Code>" code                           \
    "</Code><Message>" message "</Message></Error>"

static struct answer say_ok(const char *request, unsigned n)
{
    (void)request;
    (void)n;
    return (struct answer){OK_EMPTY, false};
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, server_start, server_stop)

#endif
