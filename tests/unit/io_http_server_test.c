/* Real requests over loopback against the server on a libuv loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io_http/io_http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG (3u << 20)

struct world {
    uv_loop_t loop;
    uv_async_t done;
    struct firn_http *http;
    uint16_t port;
    unsigned calls;
    const char *request; /* sent by the client thread … */
    char *answer;        /* … and everything that came back until the server closed */
    size_t answer_len;
};

static void handle(void *arg, const struct firn_http_request *req, struct firn_http_reply *reply)
{
    struct world *w = arg;
    const char *verbose = NULL;
    w->calls++;
    assert_true(req->loopback);
    if (strcmp(req->path, "/big") == 0) {
        assert_int_equal(firn_buf_reserve(&reply->body, BIG), FIRN_OK);
        memset(reply->body.data, 'b', BIG);
        reply->body.len = BIG;
    } else if (strcmp(req->path, "/ready zone") == 0) {
        bool has = firn_http_query(req, "verbose", &verbose);
        assert_false(firn_http_query(req, "nosuch", NULL));
        reply->status = 503;
        reply->content_type = "application/json";
        assert_int_equal(
            firn_buf_printf(&reply->body, "{\"verbose\":\"%s\"}", has ? verbose : "no"), FIRN_OK);
    } else {
        reply->status = 404;
    }
}

static void client(void *arg)
{
    struct world *w = arg;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t len = strlen(w->request), cap = (size_t)2 * BIG;
    w->answer = calloc(1, cap + 1);
    w->answer_len = 0;
    if (fd >= 0 && w->answer &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        send(fd, w->request, len, MSG_NOSIGNAL) == (ssize_t)len) {
        ssize_t n;
        while ((n = recv(fd, w->answer + w->answer_len, cap - w->answer_len, 0)) > 0)
            w->answer_len += (size_t)n;
    }
    if (fd >= 0)
        (void)close(fd);
    (void)uv_async_send(&w->done);
}

static void on_done(uv_async_t *a)
{
    uv_stop(a->loop);
}

/* Send a request whose connection the server closes; the answer is w->answer until the next. */
static void ask(struct world *w, const char *request)
{
    uv_thread_t t;
    free(w->answer);
    w->answer = NULL;
    w->request = request;
    assert_int_equal(uv_thread_create(&t, client, w), 0);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_thread_join(&t), 0);
    assert_non_null(w->answer);
}

static void has(const struct world *w, const char *text)
{
    if (!strstr(w->answer, text))
        fail_msg("missing \"%s\" in:\n%.2000s", text, w->answer);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct firn_err err = {0};
    assert_non_null(w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_async_init(&w->loop, &w->done, on_done), 0);
    enum firn_status s =
        firn_http_create(&w->loop, "127.0.0.1 ::1", 0, handle, w, &w->http, &w->port, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(s, FIRN_OK);
    assert_true(w->port != 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    firn_http_free(w->http);
    uv_close((uv_handle_t *)&w->done, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w->answer);
    free(w);
    return 0;
}

static void get_and_head(void **state)
{
    struct world *w = *state;
    ask(w, "GET /ready%20zone?verbose HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_memory_equal(w->answer, "HTTP/1.1 503 ", 13);
    has(w, "Content-Type: application/json\r\n");
    has(w, "Cache-Control: no-store\r\n");
    has(w, "X-Content-Type-Options: nosniff\r\n");
    has(w, "Content-Security-Policy: default-src 'none'");
    has(w, "\r\n\r\n{\"verbose\":\"\"}");
    ask(w, "GET /ready%20zone?verbose=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    has(w, "\r\n\r\n{\"verbose\":\"2\"}");
    ask(w, "HEAD /ready%20zone HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    has(w, "Content-Length: 16\r\n");
    assert_memory_equal(w->answer + w->answer_len - 4, "\r\n\r\n", 4);
    ask(w, "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_memory_equal(w->answer, "HTTP/1.1 404 ", 13);
    assert_int_equal(w->calls, 4);
}

static void several_requests_on_one_connection(void **state)
{
    struct world *w = *state;
    ask(w, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"
           "GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_int_equal(w->calls, 3);
}

static void a_big_body_arrives_whole(void **state)
{
    struct world *w = *state;
    ask(w, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const char *body = strstr(w->answer, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(w->answer_len - (size_t)(body + 4 - w->answer), BIG);
    assert_int_equal(strspn(body + 4, "b"), BIG);
}

static void what_is_refused(void **state)
{
    struct world *w = *state;
    ask(w, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
    assert_memory_equal(w->answer, "HTTP/1.1 405 ", 13);
    has(w, "Allow: GET, HEAD\r\n");
    ask(w, "DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_memory_equal(w->answer, "HTTP/1.1 405 ", 13);
    ask(w, "\x01\x02 nonsense\r\n\r\n");
    assert_null(strstr(w->answer, " 200 "));
    char *huge = calloc(2, FIRN_HTTP_CONNECTION_BYTES);
    assert_non_null(huge);
    (void)snprintf(huge, 64, "GET /");
    memset(huge + 5, 'x', 2 * FIRN_HTTP_CONNECTION_BYTES - 6);
    ask(w, huge);
    free(huge);
    assert_int_equal(w->calls, 0);
}

static void listening_failures_say_why(void **state)
{
    struct world *w = *state;
    struct firn_http *h = NULL;
    struct firn_err err = {0};
    assert_int_equal(firn_http_create(&w->loop, "127.0.0.1", w->port, handle, w, &h, NULL, &err),
                     FIRN_CONFLICT);
    assert_non_null(strstr(err.text, "127.0.0.1 port"));
    err.text[0] = '\0';
    assert_int_equal(firn_http_create(&w->loop, "127.0.0.1 nohost", 0, handle, w, &h, NULL, &err),
                     FIRN_INVALID);
    assert_non_null(strstr(err.text, "\"nohost\" is no numeric address"));
    assert_int_equal(firn_http_create(&w->loop, " ", 0, handle, w, &h, NULL, NULL), FIRN_INVALID);
    assert_int_equal(firn_http_create(&w->loop, "192.0.2.1", 0, handle, w, &h, NULL, NULL),
                     FIRN_INVALID);
    assert_null(h);
    firn_http_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(get_and_head, setup, teardown),
        cmocka_unit_test_setup_teardown(several_requests_on_one_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(a_big_body_arrives_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(listening_failures_say_why, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
