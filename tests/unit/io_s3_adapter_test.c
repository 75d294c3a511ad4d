/* The S3 adapter and replies that are lost, late, cut, odd or refusing. */
#include "unit/io_s3_fixture.h"

#include "base/mem.h"

#include <time.h>

/* ---- lost and late */

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
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel", true},
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
    simple(FIRN_OS_GET, FIRN_CORRUPT, "how long it is");
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

/* Ahead of our clock are the store's, and Date, which a proxy may write. */
static int store_ahead_s, date_ahead_s;
static bool refuse_all;

/* A store that looks at the time of requests. */
static struct answer look_at_time(const char *request, unsigned n)
{
    static char text[512], date[64];
    time_t now = time(NULL), told = now + date_ahead_s;
    struct tm t, signed_at = {0};
    (void)n;
    assert_non_null(gmtime_r(&told, &t));
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &t);
    const char *when = strcasestr(request, "\r\nx-amz-date: ");
    assert_non_null(when);
    assert_non_null(strptime(when + 14, "%Y%m%dT%H%M%SZ", &signed_at));
    bool right = labs((long)(timegm(&signed_at) - (now + store_ahead_s))) <= 900;
    const char *body = "";
    if (!right)
        body = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    else if (refuse_all)
        body = "<Error><Code>AccessDenied</Code></Error>";
    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 %s\r\nDate: %s\r\nETag: \"e\"\r\nContent-Length: %zu\r\n\r\n%s",
                   body[0] ? "403 Forbidden" : "200 OK", date, strlen(body), body);
    return (struct answer){text, false};
}

static void test_wrong_clock(void **state)
{
    (void)state;
    store_ahead_s = date_ahead_s = 3600;
    refuse_all = false;
    w.script = look_at_time;
    open_store("");
    simple(FIRN_OS_PUT, FIRN_TRANSIENT, "clock is off by about -3600 s");
    simple(FIRN_OS_PUT, FIRN_OK, NULL); /* signed by the store's clock */
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    store_ahead_s = date_ahead_s = 0; /* ours was set right */
    simple(FIRN_OS_PUT, FIRN_TRANSIENT, NULL);
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(w.seen, 5);
}

/* A proxy writes a Date of its own, wrong by an hour; our clock is right, as the store's. */
static void test_wrong_date(void **state)
{
    (void)state;
    store_ahead_s = 0;
    date_ahead_s = 3600;
    refuse_all = false;
    w.script = look_at_time;
    open_store("");
    for (int i = 0; i < 3; i++)
        simple(FIRN_OS_PUT, FIRN_OK, NULL); /* no reason to believe it */
    refuse_all = true;
    simple(FIRN_OS_PUT, FIRN_TRANSIENT, NULL); /* it may have been for the time */
    refuse_all = false;
    simple(FIRN_OS_PUT, FIRN_TRANSIENT, NULL); /* now it was */
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    simple(FIRN_OS_PUT, FIRN_OK, NULL);
    assert_int_equal(w.seen, 7);
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
        TEST(test_wrong_clock),
        TEST(test_wrong_date),
        TEST(test_refused_before_the_body),
        TEST(test_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
