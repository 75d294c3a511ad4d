/* The Prometheus text: grouping, escaping, numbers, histograms, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "obs/obs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
    struct firn_hist hist;
    double gauge;
};

static void collect_first(struct firn_metrics_out *out, void *arg)
{
    struct world *w = arg;
    firn_metrics_counter(out, "store_requests_total", "Requests.", 7, "op", "GET", NULL);
    firn_metrics_gauge(out, "epoch", "Epoch \\ of\nus.", w->gauge, NULL);
    firn_metrics_counter(out, "store_requests_total", "Requests.", UINT64_MAX, "op", "PUT", "role",
                         "a\"b\\c\nd\xff\xc3\xa9", NULL);
    firn_metrics_hist(out, "commit_seconds", "Commit.", &w->hist, NULL);
}

static void collect_second(struct firn_metrics_out *out, void *arg)
{
    struct world *w = arg;
    firn_metrics_counter(out, "store_requests_total", "Requests.", 1, "op", "LIST", NULL);
    firn_metrics_hist(out, "batch_bytes", "Batch.", &w->hist, "kind", "wal", NULL);
    firn_metrics_counter_f(out, "cpu_seconds_total", "CPU.", 1.5, NULL);
}

static char *render(struct firn_metrics *m)
{
    struct firn_buf b;
    firn_buf_init(&b, 1 << 20);
    assert_int_equal(firn_buf_append(&b, "x", 1), FIRN_OK);
    assert_int_equal(firn_metrics_render(m, &b), FIRN_OK);
    assert_int_equal(firn_buf_append(&b, "", 1), FIRN_OK);
    char *text = strdup((char *)b.data + 1);
    assert_non_null(text);
    firn_buf_clear(&b);
    return text;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("missing:\n%s\nin:\n%s", part, text);
}

static void the_text_format(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->gauge = 3;
    firn_hist_add(&w->hist, 1000);
    firn_hist_add(&w->hist, 3000000);
    firn_hist_add(&w->hist, UINT64_C(120000000000));
    struct firn_obs obs;
    firn_obs_init(&obs);
    struct firn_collector a = {.collect = collect_first, .arg = w};
    struct firn_collector b = {.collect = collect_second, .arg = w};
    firn_metrics_add(&obs.metrics, &a);
    firn_metrics_add(&obs.metrics, &b);
    char *t = render(&obs.metrics);
    has(t, "# HELP firn_store_requests_total Requests.\n"
           "# TYPE firn_store_requests_total counter\n"
           "firn_store_requests_total{op=\"GET\"} 7\n"
           "firn_store_requests_total{op=\"PUT\",role=\"a\\\"b\\\\c\\nd?\xc3\xa9\"} "
           "18446744073709551615\n"
           "firn_store_requests_total{op=\"LIST\"} 1\n"
           "# HELP firn_epoch Epoch \\\\ of\\nus.\n# TYPE firn_epoch gauge\nfirn_epoch 3\n");
    has(t, "# TYPE firn_commit_seconds histogram\nfirn_commit_seconds_bucket{le=\"1e-06\"} 1\n");
    has(t, "firn_commit_seconds_bucket{le=\"0.0025\"} 1\nfirn_commit_seconds_bucket{le=\"0.005\"} "
           "2\n");
    has(t, "firn_commit_seconds_bucket{le=\"60\"} 2\nfirn_commit_seconds_bucket{le=\"+Inf\"} 3\n"
           "firn_commit_seconds_sum 120.003001\nfirn_commit_seconds_count 3\n");
    has(t, "firn_batch_bytes_bucket{kind=\"wal\",le=\"1024\"} 1\n");
    has(t, "firn_batch_bytes_sum{kind=\"wal\"} 120003001000\nfirn_batch_bytes_count{kind=\"wal\"} "
           "3\n");
    has(t, "firn_cpu_seconds_total 1.5\n");
    free(t);

    w->gauge = NAN;
    t = render(&obs.metrics);
    has(t, "firn_epoch NaN\n");
    free(t);
    w->gauge = -INFINITY;
    t = render(&obs.metrics);
    has(t, "firn_epoch -Inf\n");
    free(t);

    firn_metrics_remove(&a);
    firn_metrics_remove(&a);
    t = render(&obs.metrics);
    assert_null(strstr(t, "firn_epoch"));
    free(t);
    firn_metrics_remove(&b);
    t = render(&obs.metrics);
    assert_string_equal(t, "");
    free(t);
    free(w);
}

static void a_short_buffer_or_memory_changes_nothing(void **state)
{
    (void)state;
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    struct firn_metrics m;
    firn_metrics_init(&m);
    struct firn_collector a = {.collect = collect_first, .arg = w};
    firn_metrics_add(&m, &a);
    struct firn_buf b;
    firn_buf_init(&b, 300);
    assert_int_equal(firn_buf_append(&b, "keep", 4), FIRN_OK);
    assert_int_equal(firn_metrics_render(&m, &b), FIRN_LIMIT);
    assert_int_equal(b.len, 4);
    firn_buf_clear(&b);

    firn_buf_init(&b, 1 << 20);
    enum firn_status s = FIRN_LIMIT;
    unsigned n = 0;
    for (n = 1; s != FIRN_OK && n < 1000; n++) {
        (void)firn_mem_fail_at(n, 0);
        s = firn_metrics_render(&m, &b);
        assert_true(s == FIRN_OK || (s == FIRN_LIMIT && b.len == 0));
    }
    (void)firn_mem_fail_at(0, 0);
    assert_true(n > 5 && s == FIRN_OK);
    firn_buf_clear(&b);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_format),
        cmocka_unit_test(a_short_buffer_or_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
