/* A small HTTP/1.1 server for metrics, health and the console: libmicrohttpd without threads of its
 * own, driven by a libuv loop through its epoll descriptor. GET and HEAD only. Loop thread only. */
#ifndef FIRN_IO_HTTP_IO_HTTP_H
#define FIRN_IO_HTTP_IO_HTTP_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define FIRN_HTTP_CONNECTIONS_MAX 64 /* per address; more are not accepted */
#define FIRN_HTTP_CONNECTION_BYTES                                                                 \
    (32768)                   /* memory of one: request line and headers fit or it is refused */
#define FIRN_HTTP_IDLE_SEC 15 /* silent connections are closed */
#define FIRN_HTTP_BODY_MAX (16u << 20) /* of one reply */

struct firn_http;

struct firn_http_request {
    const char *path; /* percent-decoded, without the query; begins with '/' */
    bool loopback;    /* the client is on this machine */
    void *priv;       /* the adapter's */
};

/* Filled in by the handler; preset to 200, "text/plain; charset=utf-8" and an empty body. */
struct firn_http_reply {
    unsigned status;
    const char *content_type; /* a constant */
    struct firn_buf body;     /* taken over by the adapter; max is FIRN_HTTP_BODY_MAX */
};

/* Answer a request. Called on the loop; must not call firn_http_free. A HEAD is answered as its
 * GET, the body is left out by the adapter. */
typedef void firn_http_handler(void *arg, const struct firn_http_request *req,
                               struct firn_http_reply *reply);

/* Whether the query has `name`; *value (may be NULL) is "" when it has no value. Borrowed for the
 * call of the handler. */
bool firn_http_query(const struct firn_http_request *req, const char *name, const char **value);

/* Listen on `bind` (numeric addresses divided by spaces) and port; 0 = any free one, the same for
 * all. *port_out (may be NULL) says which. An IPv6 address on a machine without IPv6 is skipped as
 * long as another can be had. INVALID: an address that is none. CONFLICT: the port is in use.
 * DENIED: not allowed to listen there. LIMIT: memory or descriptors. err names address and port. */
enum firn_status firn_http_create(uv_loop_t *loop, const char *bind, uint16_t port,
                                  firn_http_handler *handler, void *arg, struct firn_http **out,
                                  uint16_t *port_out, struct firn_err *err) FIRN_MUST_USE;

/* Close all connections at once; the handler is not called any more. The memory goes once the loop
 * has run the close callbacks (run it once more before it is closed). NULL-safe. */
void firn_http_free(struct firn_http *h);

#endif
