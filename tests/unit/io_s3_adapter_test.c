/* The S3 adapter against a server on the same loop that answers as each test says: what a real
 * store does not do on demand. */
#include "testing.h"

#include "base/mem.h"
#include "io_s3/io_s3.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

/* ---- lost and late */

static struct answer say_ok(const char *request, unsigned n)
{
    (void)request;
    (void)n;
    return (struct answer){OK_EMPTY, false};
}

static struct answer say_nothing_close(const char *request, unsigned n)
{
    (void)request;
    (void)n;
    return (struct answer){NULL, true};
}

static struct answer say_nothing(const char *request, unsigned n)
{
    (void)request;
    (void)n;
    return (struct answer){NULL, false};
}

static void test_what_is_sent(void **state)
{
    struct firn_os_req r;
    (void)state;
    w.script = say_ok;
    open_store("");
    firn_os_req_init(&r);
    r.cond = FIRN_OS_IF_ABSENT;
    r.body = firn_slice_str("hello");
    submit(&r, FIRN_OS_PUT);
    wait_all();
    assert_int_equal(r.status, FIRN_OK);
    assert_string_equal(r.reply_etag, "\"e\"");
    firn_os_req_clear(&r);
    const char *head = w.request[0];
    assert_true(strncmp(head, "PUT /bucket/db/key HTTP/1.1\r\n", 29) == 0);
    assert_non_null(strstr(head, "\r\nif-none-match: *\r\n"));
    assert_non_null(strstr(head, "\r\nContent-Length: 5\r\n"));
    assert_non_null(strstr(head,
                           "\r\nx-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c"
                           "1fa7425e73043362938b9824\r\n"));
    assert_non_null(strstr(head, "Credential=key-id/"));
    assert_null(strstr(head, "Expect"));
    assert_null(strstr(head, SECRET));
    assert_non_null(strstr(head, "\r\n\r\nhello"));
}

static void test_lost_reply(void **state)
{
    (void)state;
    w.script = say_nothing_close;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_UNCERTAIN, "no whole reply");
    simple(FIRN_OS_GET, FIRN_TRANSIENT, "no whole reply");
    simple(FIRN_OS_DELETE, FIRN_UNCERTAIN, NULL);
}

/* The second request meets a connection that dies; libcurl sends it again on another. */
static struct answer die_on_second(const char *request, unsigned n)
{
    return n == 1 ? say_nothing_close(request, n) : say_ok(request, n);
}

static void test_dead_kept_connection(void **state)
{
    struct firn_os_req r;
    (void)state;
    w.script = die_on_second;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    firn_os_req_init(&r);
    r.body = firn_slice_str("again");
    expect(&r, FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(w.seen, 3);
    assert_int_equal(w.connections, 2);
    assert_non_null(strstr(w.request[2], "\r\n\r\nagain"));
}

static void test_time_out(void **state)
{
    struct firn_os_req r;
    (void)state;
    w.script = say_nothing;
    open_store("");
    for (unsigned i = 0; i < 2; i++) {
        uint64_t from = uv_hrtime();
        firn_os_req_init(&r);
        r.timeout_ns = SECOND / 20;
        expect(&r, i ? FIRN_OS_GET : FIRN_OS_PUT, i ? FIRN_TRANSIENT : FIRN_UNCERTAIN,
               "no reply in time");
        assert_true(uv_hrtime() - from >= SECOND / 20);
    }
}

/* Four connections are taken by requests without an answer: the fifth is never sent. */
static void test_time_out_while_waiting(void **state)
{
    struct firn_os_req r[5];
    (void)state;
    w.script = say_nothing;
    open_store("");
    for (unsigned i = 0; i < 5; i++) {
        firn_os_req_init(&r[i]);
        r[i].timeout_ns = i == 4 ? SECOND / 20 : SECOND / 5;
        submit(&r[i], FIRN_OS_PUT);
    }
    wait_all();
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(r[i].status, i == 4 ? FIRN_TRANSIENT : FIRN_UNCERTAIN);
        firn_os_req_clear(&r[i]);
    }
    assert_int_equal(w.seen, 4);
}

static void test_cancel_of_a_sent_put(void **state)
{
    struct firn_os_req r;
    (void)state;
    w.script = say_nothing;
    open_store("");
    firn_os_req_init(&r);
    submit(&r, FIRN_OS_PUT);
    while (!w.seen)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    firn_os_cancel(w.store, &r);
    firn_os_cancel(w.store, &r);
    assert_int_equal(w.pending, 1);
    wait_all();
    assert_int_equal(r.status, FIRN_UNCERTAIN);
    firn_os_req_clear(&r);
}

/* A body that a thread hashes, cancelled meanwhile: done() comes when the thread is through. */
static void test_cancel_while_hashing(void **state)
{
    static uint8_t body[512u << 10];
    struct firn_os_req r;
    (void)state;
    w.script = say_ok;
    open_store("");
    firn_os_req_init(&r);
    r.body = firn_slice_of(body, sizeof body);
    submit(&r, FIRN_OS_PUT);
    firn_os_cancel(w.store, &r);
    wait_all();
    assert_int_equal(r.status, FIRN_TRANSIENT);
    assert_int_equal(w.seen, 0);
    firn_os_req_clear(&r);
    r.timeout_ns = 0;
    expect(&r, FIRN_OS_PUT, FIRN_OK, NULL);
}

/* ---- odd replies */

static struct answer odd_get(const char *request, unsigned n)
{
    static const struct answer a[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes "
         "1-5/9\r\n\r\nhello",
         false},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes "
         "2-5/9\r\n\r\nhello",
         false},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false},
        {"HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes "
         "2-5/9\r\n\r\nhell",
         false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: Fri, 24 May 2013 00:00:00 "
         "GMT\r\n\r\n"
         "5\r\nhello\r\n0\r\n\r\n",
         false},
        {"HTTP/1.1 200 OK\r\nETag: ab\x01"
         "cd\r\nContent-Length: 5\r\n\r\nhello",
         false},
    };
    (void)request;
    return a[n];
}

static void test_odd_gets(void **state)
{
    struct firn_os_req r;
    (void)state;
    w.script = odd_get;
    open_store("");
    simple(FIRN_OS_GET, FIRN_TRANSIENT, "no whole reply"); /* cut off */
    firn_os_req_init(&r);
    r.offset = 2;
    r.length = 4;
    expect(&r, FIRN_OS_GET, FIRN_LIMIT, NULL); /* more than asked for */
    expect(&r, FIRN_OS_GET, FIRN_LIMIT, NULL);
    r.length = 6;
    expect(&r, FIRN_OS_GET, FIRN_CORRUPT, "without the range");     /* no Content-Range */
    expect(&r, FIRN_OS_GET, FIRN_CORRUPT, "without the range");     /* range ignored */
    expect(&r, FIRN_OS_GET, FIRN_CORRUPT, "2 to 7 were asked for"); /* cut short */
    firn_os_req_init(&r);
    submit(&r, FIRN_OS_GET);
    wait_all();
    assert_int_equal(r.status, FIRN_OK);
    assert_int_equal(r.size, 5);
    assert_int_equal(r.date_ms, 1369353600000);
    firn_os_req_clear(&r);
    submit(&r, FIRN_OS_GET);
    wait_all();
    assert_int_equal(r.status, FIRN_OK);
    assert_string_equal(r.reply_etag, ""); /* not one to send back */
    firn_os_req_clear(&r);
}

static struct answer refusals(const char *request, unsigned n)
{
    static const struct answer a[] = {
        {ERROR("503 Slow Down", "SlowDown", "less, please"), true},
        {ERROR("503 Slow Down", "SlowDown", "less, please"), true},
        {ERROR("403 Forbidden", "AccessDenied", "not you\n!!"), true},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n<p>no</p>", false},
        {ERROR("200 OK", "InternalError", "again!"), true},
        {ERROR("200 OK", "SlowDown", "again!"), true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n  ", false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n  ", false},
        {"HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-1\r\n"
         "Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
         false},
        {ERROR("400 Bad Request", "ExpiredToken", "so old"), true},
    };
    (void)request;
    return a[n];
}

static void test_refusals(void **state)
{
    static const char *const etag = "e";
    struct firn_os_req r;
    (void)state;
    w.script = refusals;
    open_store("");
    firn_os_req_init(&r);
    for (unsigned i = 0; i < 2; i++) {
        submit(&r, i ? FIRN_OS_GET : FIRN_OS_PUT);
        wait_all();
        assert_int_equal(r.status, FIRN_TRANSIENT);
        assert_true(r.slow_down);
        assert_int_equal(r.http_status, 503);
        firn_os_req_clear(&r);
    }
    simple(FIRN_OS_GET, FIRN_DENIED,
           "403 AccessDenied (not you?!!); the credentials lack a right, "
           "probably s3:GetObject");
    simple(FIRN_OS_GET, FIRN_TRANSIENT, "no reply of S3");
    firn_os_req_init(&r);
    r.upload_id = "u";
    r.part_etags = &etag;
    r.nparts = 1;
    expect(&r, FIRN_OS_MP_COMPLETE, FIRN_UNCERTAIN, "InternalError");
    expect(&r, FIRN_OS_MP_COMPLETE, FIRN_TRANSIENT, "SlowDown");
    expect(&r, FIRN_OS_MP_COMPLETE, FIRN_UNCERTAIN, "cannot be understood");
    simple(FIRN_OS_LIST, FIRN_CORRUPT, "cannot be understood");
    simple(FIRN_OS_PUT, FIRN_INVALID, "region eu-west-1");
    simple(FIRN_OS_PUT, FIRN_DENIED, "have expired");
}

/* The store refuses before it has read the body, and hangs up. */
static struct answer refuse_early(const char *request, unsigned n)
{
    (void)request;
    (void)n;
    return (struct answer){"HTTP/1.1 503 Slow Down\r\nConnection: close\r\n\r\n"
                           "<Error><Code>SlowDown</Code></Error>",
                           true};
}

static void test_refused_before_the_body(void **state)
{
    static uint8_t body[900u << 10];
    struct firn_os_req r;
    (void)state;
    w.script = refuse_early;
    w.early = true;
    open_store("");
    firn_os_req_init(&r);
    r.body = firn_slice_of(body, sizeof body);
    submit(&r, FIRN_OS_PUT);
    wait_all();
    /* The reply may be lost to the reset that the unread body causes. */
    assert_true(r.status == FIRN_TRANSIENT || r.status == FIRN_UNCERTAIN);
    firn_os_req_clear(&r);
}

/* ---- credentials */

#define KEYS                                                                                       \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"remote-id\",\"SecretAccessKey\":\"" SECRET "\","      \
    "\"Token\":\"session-token\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"
#define HTTP_OK(type) "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: " type "\r\n\r\n"

static void no_env_keys(void)
{
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
}

static unsigned count(const char *text)
{
    unsigned n = 0;
    for (unsigned i = 0; i < w.seen; i++)
        n += strstr(w.request[i], text) != NULL;
    return n;
}

static struct answer container(const char *request, unsigned n)
{
    if (strncmp(request, "GET /creds ", 11) != 0)
        return say_ok(request, n);
    if (!strstr(request, "\r\nAuthorization: Bearer abc\r\n"))
        return (struct answer){"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", false};
    return (struct answer){HTTP_OK("application/json") KEYS, true};
}

static void test_container_credentials(void **state)
{
    struct firn_os_req r[6];
    char uri[128];
    (void)state;
    no_env_keys();
    (void)snprintf(uri, sizeof uri, "%s/creds", w.endpoint);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer abc", 1);
    w.script = container;
    open_store("");
    for (unsigned i = 0; i < 6; i++) {
        firn_os_req_init(&r[i]);
        submit(&r[i], FIRN_OS_PUT);
    }
    wait_all();
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(r[i].status, FIRN_OK);
        firn_os_req_clear(&r[i]);
    }
    assert_int_equal(count("GET /creds"), 1); /* all waited for one */
    assert_int_equal(count("\r\nx-amz-security-token: session-token\r\n"), 6);
    assert_int_equal(count("Credential=remote-id/"), 6);
}

static void test_container_refuses(void **state)
{
    char uri[128];
    (void)state;
    no_env_keys();
    (void)snprintf(uri, sizeof uri, "%s/creds", w.endpoint);
    (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, 1);
    (void)setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong", 1);
    w.script = container;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "answered 401");
    simple(FIRN_OS_PUT, FIRN_DENIED, "answered 401"); /* not asked again at once */
    assert_int_equal(w.seen, 1);
}

static void test_container_uri_must_be_near(void **state)
{
    static const char *const far[] = {"http://example.com/creds", "http://127.0.0.1@example.com/",
                                      "http://127.0.0.1.example.com/",
                                      "http://localhost.example.com", "ftp://localhost/"};
    (void)state;
    no_env_keys();
    w.script = say_ok;
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        (void)setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", far[i], 1);
        open_store("");
        simple(FIRN_OS_PUT, FIRN_INVALID, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        firn_s3_free(w.store);
        w.store = NULL;
    }
}

static struct answer instance(const char *request, unsigned n)
{
    static const char list[] = "GET /latest/meta-data/iam/security-credentials/ ";
    static const char role[] = "GET /latest/meta-data/iam/security-credentials/my-role ";
    if (strncmp(request, "PUT /latest/api/token ", 22) == 0 &&
        strstr(request, "X-aws-ec2-metadata-token-ttl-seconds: "))
        return (struct answer){HTTP_OK("text/plain") "imds-token", true};
    if (strncmp(request, "PUT /bucket", 11) == 0)
        return say_ok(request, n);
    if (!strstr(request, "\r\nX-aws-ec2-metadata-token: imds-token\r\n"))
        return (struct answer){"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", false};
    if (strncmp(request, list, sizeof list - 1) == 0)
        return (struct answer){HTTP_OK("text/plain") "my-role\n", true};
    if (strncmp(request, role, sizeof role - 1) == 0)
        return (struct answer){HTTP_OK("application/json") KEYS, true};
    return (struct answer){"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false};
}

static void test_instance_credentials(void **state)
{
    (void)state;
    no_env_keys();
    (void)unsetenv("AWS_EC2_METADATA_DISABLED");
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", w.endpoint, 1);
    w.script = instance;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(w.seen, 5);
    assert_int_equal(count("Credential=remote-id/"), 2);
}

static void test_no_instance(void **state)
{
    (void)state;
    no_env_keys();
    (void)unsetenv("AWS_EC2_METADATA_DISABLED");
    (void)setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "no credentials");
}

static void test_no_credentials(void **state)
{
    (void)state;
    no_env_keys();
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "no credentials");
    (void)setenv("AWS_ACCESS_KEY_ID", "alone", 1);
    firn_s3_free(w.store);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_INVALID, "only one of");
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

#define STS_REPLY                                                                                  \
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"            \
    "<AccessKeyId>sts-id</AccessKeyId><SecretAccessKey>" SECRET "</SecretAccessKey><SessionToken>" \
    "sts-token</SessionToken><Expiration>%s</Expiration></Credentials>"                            \
    "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
static const char *sts_expiration;

static struct answer sts(const char *request, unsigned n)
{
    static char reply[1024];
    if (strncmp(request, "POST / ", 7) != 0)
        return say_ok(request, n);
    if (!strstr(request,
                "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3A"
                "iam%3A%3A1%3Arole%2Fr&RoleSessionName=firn&WebIdentityToken=my.web-token"))
        return (struct answer){ERROR("400 Bad Request", "InvalidIdentityToken", "no no!"), true};
    (void)snprintf(reply, sizeof reply, HTTP_OK("text/xml") STS_REPLY, sts_expiration);
    return (struct answer){reply, true};
}

static void test_web_identity(void **state)
{
    char path[] = "/tmp/firn-s3-token-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    no_env_keys();
    write_file(path, "my.web-token\n", 0644);
    (void)setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path, 1);
    (void)setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
    (void)setenv("AWS_ENDPOINT_URL_STS", w.endpoint, 1);
    w.script = sts;
    sts_expiration = "2099-01-01T00:00:00Z";
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(count("\r\nx-amz-security-token: sts-token\r\n"), 1);
    firn_s3_free(w.store);

    sts_expiration = "2001-01-01T00:00:00Z";
    open_store("");
    simple(FIRN_OS_PUT, FIRN_TRANSIENT, "expired already");
    firn_s3_free(w.store);

    write_file(path, "another", 0644);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "InvalidIdentityToken");
    assert_int_equal(unlink(path), 0);
    firn_s3_free(w.store);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, path);
}

static void test_profiles(void **state)
{
    char dir[] = "/tmp/firn-s3-aws-XXXXXX", credentials[64], config[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(credentials, sizeof credentials, "%s/credentials", dir);
    (void)snprintf(config, sizeof config, "%s/config", dir);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", credentials, 1);
    (void)setenv("AWS_CONFIG_FILE", config, 1);
    (void)unsetenv("AWS_REGION");
    write_file(credentials,
               "# comment\n[default]\naws_access_key_id = file-id\naws_secret_access_key=" SECRET
               "\n\n[other]\r\naws_access_key_id = other-id\r\naws_secret_access_key=" SECRET
               "\r\n[half]\naws_access_key_id = x\n",
               0600);
    write_file(
        config,
        "[default]\nregion = eu-north-1\ns3 =\n  region = no\n[profile other]\nregion = "
        "us-west-2\n[profile cmd]\ncredential_process = /bin/false\n[profile bad]\nrubbish\n",
        0644);
    w.script = say_ok;
    open_store("other"); /* a profile that is named comes before the environment */
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(count("Credential=other-id/"), 1);
    assert_int_equal(count("/us-west-2/s3/"), 1);
    firn_s3_free(w.store);
    no_env_keys();
    open_store("");
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(count("Credential=file-id/"), 1);
    assert_int_equal(count("/eu-north-1/s3/"), 1);
    firn_s3_free(w.store);
    static const struct {
        const char *profile, *text;
        enum firn_status want;
    } bad[] = {{"half", "only one of", FIRN_INVALID},
               {"cmd", "credential_process", FIRN_INVALID},
               {"nobody", "no profile \"nobody\"", FIRN_DENIED}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        open_store(bad[i].profile);
        simple(FIRN_OS_PUT, bad[i].want, bad[i].text);
        firn_s3_free(w.store);
    }
    assert_int_equal(chmod(credentials, 0640), 0);
    open_store("");
    simple(FIRN_OS_PUT, FIRN_DENIED, "chmod 600");
    assert_int_equal(unlink(credentials), 0);
    assert_int_equal(unlink(config), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* ---- short of memory */

static void test_memory_fails(void **state)
{
    static const char *const keys[] = {"a", "b"};
    struct firn_os_req r[3];
    bool all_ok = false;
    (void)state;
    w.script = say_ok;
    for (uint64_t n = 1; !all_ok; n++) {
        struct firn_s3_options o = {.connections_max = 2};
        struct firn_err err = {0};
        assert_true(n < 500);
        w.seen = 0;
        (void)snprintf(o.endpoint, sizeof o.endpoint, "%s", w.endpoint);
        (void)snprintf(o.bucket, sizeof o.bucket, "bucket");
        (void)firn_mem_fail_at(n, 0);
        enum firn_status s = firn_s3_create(&w.loop, &o, &w.store, &err);
        if (s != FIRN_OK) {
            (void)firn_mem_fail_at(0, 0);
            assert_int_equal(s, FIRN_LIMIT);
            w.store = NULL;
            continue;
        }
        for (unsigned i = 0; i < 3; i++) {
            firn_os_req_init(&r[i]);
            r[i].keys = keys;
            r[i].nkeys = 2;
            submit(&r[i], i == 0 ? FIRN_OS_PUT : i == 1 ? FIRN_OS_GET : FIRN_OS_DELETE_MANY);
        }
        wait_all();
        (void)firn_mem_fail_at(0, 0);
        all_ok = true;
        for (unsigned i = 0; i < 3; i++) {
            /* the empty reply of a multi-delete cannot be understood */
            enum firn_status well = i == 2 ? FIRN_UNCERTAIN : FIRN_OK;
            all_ok = all_ok && r[i].status == well;
            assert_true(r[i].status == well || r[i].status == FIRN_LIMIT ||
                        r[i].status == FIRN_UNCERTAIN || r[i].status == FIRN_TRANSIENT);
            firn_os_req_clear(&r[i]);
        }
        firn_s3_free(w.store);
        w.store = NULL;
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, server_start, server_stop)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_sent),
        TEST(test_lost_reply),
        TEST(test_dead_kept_connection),
        TEST(test_time_out),
        TEST(test_time_out_while_waiting),
        TEST(test_cancel_of_a_sent_put),
        TEST(test_cancel_while_hashing),
        TEST(test_odd_gets),
        TEST(test_refusals),
        TEST(test_refused_before_the_body),
        TEST(test_container_credentials),
        TEST(test_container_refuses),
        TEST(test_container_uri_must_be_near),
        TEST(test_instance_credentials),
        TEST(test_no_instance),
        TEST(test_no_credentials),
        TEST(test_web_identity),
        TEST(test_profiles),
        TEST(test_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
