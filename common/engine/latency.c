#include "engine/latency_priv.h"

#include <inttypes.h>
#include <string.h>

#define GRAPH_COLUMNS 80
#define GRAPH_ROWS 4

typedef struct firn_latency_series series;

const char *firn_engine__latency_name(enum firn_latency_kind kind)
{
    static const char *const name[] = {
        [FIRN_LATENCY_COMMAND] = "command",
        [FIRN_LATENCY_FAST_COMMAND] = "fast-command",
        [FIRN_LATENCY_WAIT] = "store-wait",
    };
    return name[kind];
}

/* The kind of that name that has samples, or NULL. */
static const series *find(const struct firn_latency *l, struct firn_slice name)
{
    for (unsigned k = 0; k < FIRN_LATENCY_KINDS; k++)
        if (l->series[k].n && firn_slice_ieq(name, firn_engine__latency_name(k)))
            return &l->series[k];
    return NULL;
}

static size_t kept(const series *s)
{
    return s->n < FIRN_LATENCY_SAMPLES ? (size_t)s->n : FIRN_LATENCY_SAMPLES;
}

/* The i-th sample of those kept, oldest first. */
static const struct firn_latency_sample *sample_at(const series *s, size_t i)
{
    return &s->sample[(s->n - kept(s) + i) % FIRN_LATENCY_SAMPLES];
}

void firn_engine__latency_add(struct firn_latency *l, enum firn_latency_kind kind, uint64_t at_s,
                              uint64_t ms)
{
    series *s = &l->series[kind];
    if (ms > s->max_ms)
        s->max_ms = ms;
    struct firn_latency_sample *last = &s->sample[(s->n - 1) % FIRN_LATENCY_SAMPLES];
    if (s->n && last->at_s == at_s) {
        last->ms = last->ms < ms ? ms : last->ms;
        return;
    }
    s->sample[s->n % FIRN_LATENCY_SAMPLES] = (struct firn_latency_sample){at_s, ms};
    s->n++;
}

void firn_engine__latency_latest(const struct firn_latency *l, struct firn_reply *out)
{
    size_t place = firn_reply_defer_array(out), n = 0;
    for (unsigned k = 0; k < FIRN_LATENCY_KINDS; k++) {
        const series *s = &l->series[k];
        if (!s->n)
            continue;
        const struct firn_latency_sample *last = sample_at(s, kept(s) - 1);
        firn_reply_array(out, 4);
        firn_reply_str(out, firn_engine__latency_name(k));
        firn_reply_i64(out, (int64_t)last->at_s);
        firn_reply_i64(out, (int64_t)last->ms);
        firn_reply_i64(out, (int64_t)s->max_ms);
        n++;
    }
    firn_reply_fill_array(out, place, n);
}

void firn_engine__latency_history(const struct firn_latency *l, struct firn_slice name,
                                  struct firn_reply *out)
{
    const series *s = find(l, name);
    size_t n = s ? kept(s) : 0;
    firn_reply_array(out, n);
    for (size_t i = 0; i < n; i++) {
        firn_reply_array(out, 2);
        firn_reply_i64(out, (int64_t)sample_at(s, i)->at_s);
        firn_reply_i64(out, (int64_t)sample_at(s, i)->ms);
    }
}

/* Columns of the newest samples, as high as they were long beside the longest of them. */
static enum firn_status draw(const series *s, uint64_t now_s, struct firn_buf *out)
{
    size_t n = kept(s), columns = n < GRAPH_COLUMNS ? n : GRAPH_COLUMNS, first = n - columns;
    uint64_t high = 0, low = UINT64_MAX;
    for (size_t i = first; i < n; i++) {
        uint64_t ms = sample_at(s, i)->ms;
        high = ms > high ? ms : high;
        low = ms < low ? ms : low;
    }
    enum firn_status st = firn_buf_printf(
        out, "high %" PRIu64 " ms, low %" PRIu64 " ms (all time high %" PRIu64 " ms)\n", high, low,
        s->max_ms);
    for (uint64_t row = GRAPH_ROWS; row > 0 && st == FIRN_OK; row--) {
        for (size_t i = first; i < n && st == FIRN_OK; i++) {
            bool filled = sample_at(s, i)->ms * GRAPH_ROWS > high * (row - 1);
            st = firn_buf_append(out, filled ? "#" : " ", 1);
        }
        if (st == FIRN_OK)
            st = firn_buf_append(out, "\n", 1);
    }
    uint64_t from = sample_at(s, first)->at_s, to = sample_at(s, n - 1)->at_s;
    if (st == FIRN_OK)
        st = firn_buf_printf(out, "from %" PRIu64 " s ago to %" PRIu64 " s ago\n",
                             now_s > from ? now_s - from : 0, now_s > to ? now_s - to : 0);
    return st;
}

void firn_engine__latency_graph(const struct firn_latency *l, struct firn_slice name,
                                uint64_t now_s, struct firn_reply *out)
{
    const series *s = find(l, name);
    if (!s) {
        firn_reply_error(out, "ERR No samples available for event '%.*s'",
                         (int)(name.len < 128 ? name.len : 128), (const char *)name.data);
        return;
    }
    struct firn_buf text;
    firn_buf_init(&text, 4096);
    if (draw(s, now_s, &text) == FIRN_OK)
        firn_reply_verbatim(out, "txt", firn_buf_slice(&text));
    else
        out->failed = true;
    firn_buf_clear(&text);
}

enum firn_status firn_engine__latency_report(const struct firn_latency *l, uint64_t threshold_ms,
                                             struct firn_buf *out)
{
    static const char *const advice[] = {
        [FIRN_LATENCY_COMMAND] =
            "SLOWLOG GET names the commands: long ranges, LCS and large values "
            "keep the loop busy.",
        [FIRN_LATENCY_FAST_COMMAND] = "Commands that are short were not: look for other programs "
                                      "that use this processor, and for swapping.",
        [FIRN_LATENCY_WAIT] =
            "Commands waited for the store or for freshness: KV.EXPLAIN tells what "
            "a read takes, INFO firn how the store answers.",
    };
    enum firn_status st = FIRN_OK;
    if (!threshold_ms)
        return firn_buf_printf(out, "Latency is not watched. CONFIG SET latency-monitor-threshold "
                                    "<milliseconds> switches that on.\n");
    size_t n = 0;
    for (unsigned k = 0; k < FIRN_LATENCY_KINDS && st == FIRN_OK; k++) {
        const series *s = &l->series[k];
        if (!s->n)
            continue;
        uint64_t sum = 0;
        for (size_t i = 0; i < kept(s); i++)
            sum += sample_at(s, i)->ms;
        st = firn_buf_printf(out,
                             "%s: %zu seconds with samples of %" PRIu64 " ms or more, mean %" PRIu64
                             " ms, worst %" PRIu64 " ms. %s\n",
                             firn_engine__latency_name(k), kept(s), threshold_ms, sum / kept(s),
                             s->max_ms, advice[k]);
        n++;
    }
    if (st == FIRN_OK && n == 0)
        st = firn_buf_printf(out, "Nothing took %" PRIu64 " ms or more.\n", threshold_ms);
    return st;
}

bool firn_engine__latency_reset(struct firn_latency *l, struct firn_slice name)
{
    for (unsigned k = 0; k < FIRN_LATENCY_KINDS; k++) {
        if (!l->series[k].n || !firn_slice_ieq(name, firn_engine__latency_name(k)))
            continue;
        l->series[k].n = l->series[k].max_ms = 0;
        return true;
    }
    return false;
}
