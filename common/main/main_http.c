#include "main/main_priv.h"

#include "base/mem.h"
#include "env/objstore.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What every node reports: the build, the process and its requests to the store. */
static void collect(struct firn_metrics_out *out, void *arg)
{
    struct firn_main *m = arg;
    const char *role = firn_conf_role_name(m->role);
    firn_metrics_gauge(out, "build_info", "Always 1; the version is a label.", 1, "version",
                       FIRN_VERSION, "role", role, NULL);
    firn_main__process_metrics(out);
    for (unsigned op = 0; op < FIRN_OS_OPS; op++) {
        const struct firn_store_account *a = firn_store_account_of(m->store, (enum firn_os_op)op);
        const char *name = firn_os_op_name((enum firn_os_op)op);
        firn_metrics_counter(out, "store_requests_total", "Requests to the object store.",
                             a->requests, "op", name, "role", role, NULL);
        firn_metrics_counter(out, "store_retries_total", "Requests that were repetitions.",
                             a->retries, "op", name, "role", role, NULL);
        firn_metrics_counter(out, "store_hedges_total", "Requests that were hedges.", a->hedges,
                             "op", name, "role", role, NULL);
        firn_metrics_counter(out, "store_errors_total", "Requests that failed.", a->errors, "op",
                             name, "role", role, NULL);
        firn_metrics_counter(out, "store_sent_bytes_total", "Body bytes sent.", a->bytes_sent, "op",
                             name, "role", role, NULL);
        firn_metrics_counter(out, "store_received_bytes_total", "Body bytes received.",
                             a->bytes_received, "op", name, "role", role, NULL);
    }
    firn_metrics_counter_f(out, "store_dollars_total",
                           "What the requests cost at S3 Standard's list prices.",
                           firn_store_dollars(m->store), "role", role, NULL);
}

static void console(struct firn_main *m, struct firn_http_reply *r)
{
    r->content_type = "text/html; charset=utf-8";
    if (firn_buf_printf(
            &r->body,
            "<!doctype html><title>firn-%s</title><style>body{font:14px "
            "monospace;margin:2em}</style>"
            "<h1>firn-%s %s</h1><p>node %s<p><a href=/metrics>metrics</a> <a href=/livez>livez</a> "
            "<a href='/readyz?verbose'>readyz</a>",
            firn_conf_role_name(m->role), firn_conf_role_name(m->role), FIRN_VERSION,
            m->settings.node_id) != FIRN_OK)
        r->status = 503;
}

/* For how long the store may fail until this node is no place for requests: a reader answers from
 * what it has for as long as that is fresh enough. */
static uint64_t patience_ns(const struct firn_main *m)
{
    return m->role == FIRN_CONF_READER ? m->settings.freshness_ns + m->settings.read_timeout_ns : 0;
}

/* Does this node serve by requests of this kind? A reader does by GETs alone; its pins are for
 * those who read for long. */
static bool serves_by(const struct firn_main *m, enum firn_os_op op)
{
    return m->role != FIRN_CONF_READER || op == FIRN_OS_GET;
}

/* The line of the store; false: it does not do what this node needs. */
static bool store_well(struct firn_main *m, struct firn_buf *out)
{
    bool ails = false, well = true;
    for (unsigned i = 0; i < FIRN_OS_OPS; i++) {
        enum firn_os_op op = (enum firn_os_op)i;
        uint64_t for_ns;
        if (!firn_store_ails(m->store, op, &for_ns))
            continue;
        const struct firn_store_health *h = firn_store_health_of(m->store, op);
        ails = true;
        well = well && (for_ns < patience_ns(m) || !serves_by(m, op));
        (void)!firn_buf_printf(out, "store: %s has failed for %" PRIu64 " s: %s: %s\n",
                               firn_os_op_name(op), for_ns / FIRN_SEC, firn_status_name(h->status),
                               h->err.text);
    }
    if (!ails)
        (void)!firn_buf_printf(out, "store: ok\n");
    return well;
}

static void answer(void *arg, const struct firn_http_request *req, struct firn_http_reply *r)
{
    struct firn_main *m = arg;
    if (strcmp(req->path, "/metrics") == 0) {
        r->content_type = PROMETHEUS_TYPE;
        if (firn_metrics_render(&m->obs.metrics, &r->body) != FIRN_OK)
            r->status = 503;
    } else if (strcmp(req->path, "/livez") == 0) {
        if (firn_buf_printf(&r->body, "ok\n") != FIRN_OK)
            r->status = 503;
    } else if (strcmp(req->path, "/readyz") == 0) {
        bool ready = m->ready(m, &r->body);
        ready = store_well(m, &r->body) && ready && !m->stopping;
        r->status = ready ? 200 : 503;
        if (ready && !firn_http_query(req, "verbose", NULL)) {
            r->body.len = 0;
            if (firn_buf_printf(&r->body, "ok\n") != FIRN_OK)
                r->status = 503;
        }
    } else if (strcmp(req->path, "/") == 0) {
        console(m, r);
    } else {
        r->status = 404;
        if (firn_buf_printf(&r->body, "not found; there are /metrics, /livez, /readyz and /\n") !=
            FIRN_OK)
            r->status = 503;
    }
}

/* An open HTTP port shows keys' counts and the log's place: beyond loopback only on purpose. */
enum firn_status firn_main__http_open(struct firn_main *m, struct firn_err *err)
{
    m->metrics.collect = collect;
    m->metrics.arg = m;
    firn_metrics_add(&m->obs.metrics, &m->metrics);
    return firn_http_create(firn_uv_loop(m->uv), m->settings.bind, (uint16_t)m->settings.http_port,
                            answer, m, &m->http, &m->http_port, err);
}
