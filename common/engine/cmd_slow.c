/* SLOWLOG and LATENCY. */
#include "engine/cmd_priv.h"

/* ---- SLOWLOG */

enum firn_status firn_engine__cmd_slowlog_get(struct firn_eval *x)
{
    int64_t count = 10;
    if (x->argc > 3)
        return firn_engine__subcommand_error(x);
    if (x->argc == 3 && (!firn_parse_i64(x->argv[2], &count) || count < -1)) {
        firn_reply_error(x->out, "ERR count should be greater than or equal to -1");
        return FIRN_INVALID;
    }
    firn_engine__slowlog_reply(&x->e->slowlog, x->out, count < 0 ? SIZE_MAX : (size_t)count);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_slowlog_len(struct firn_eval *x)
{
    firn_reply_i64(x->out, (int64_t)firn_engine__slowlog_len(&x->e->slowlog));
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_slowlog_reset(struct firn_eval *x)
{
    firn_engine__slowlog_reset(&x->e->slowlog);
    firn_reply_ok(x->out);
    return FIRN_OK;
}

/* ---- LATENCY */

enum firn_status firn_engine__cmd_latency_latest(struct firn_eval *x)
{
    firn_engine__latency_latest(&x->e->latency, x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_latency_history(struct firn_eval *x)
{
    firn_engine__latency_history(&x->e->latency, x->argv[2], x->out);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_latency_graph(struct firn_eval *x)
{
    firn_engine__latency_graph(&x->e->latency, x->argv[2], firn_wall_ms(x->db->env) / 1000, x->out);
    return FIRN_OK;
}

/* All kinds, or those named; answers how many there were. */
enum firn_status firn_engine__cmd_latency_reset(struct firn_eval *x)
{
    int64_t n = 0;
    for (unsigned k = 0; k < FIRN_LATENCY_KINDS && x->argc == 2; k++)
        n += firn_engine__latency_reset(&x->e->latency,
                                        firn_slice_str(firn_engine__latency_name(k)));
    for (size_t i = 2; i < x->argc; i++)
        n += firn_engine__latency_reset(&x->e->latency, x->argv[i]);
    firn_reply_i64(x->out, n);
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_latency_doctor(struct firn_eval *x)
{
    struct firn_buf text;
    firn_buf_init(&text, 4096);
    enum firn_status st = firn_engine__latency_report(
        &x->e->latency, x->db->settings->latency_threshold_ns / FIRN_MS, &text);
    if (st == FIRN_OK)
        firn_reply_verbatim(x->out, "txt", firn_buf_slice(&text));
    firn_buf_clear(&text);
    return st;
}

/* Distributions by command are not kept (Redis's `latency-tracking no`): the histograms of what
 * matters here are on the HTTP port. */
enum firn_status firn_engine__cmd_latency_histogram(struct firn_eval *x)
{
    firn_reply_map(x->out, 0);
    return FIRN_OK;
}
