/* MEMORY: what a key and the node take. */
#include "engine/cmd_priv.h"

#include <inttypes.h>
#include <stdio.h>

enum firn_status firn_engine__cmd_memory_usage(struct firn_eval *x)
{
    for (size_t i = 3; i < x->argc; i += 2) {
        int64_t samples;
        if (!firn_engine__arg_is(x, i, "samples") || i + 1 >= x->argc)
            return firn_engine__syntax_error(x);
        enum firn_status bad = firn_engine__arg_i64(x, i + 1, &samples);
        if (bad != FIRN_OK)
            return bad;
        if (samples < 0)
            return firn_engine__syntax_error(x);
    }
    struct firn_entry v;
    enum firn_status st = firn_engine__get(x, x->argv[2], &v);
    if (st == FIRN_OK) /* what it takes as a record, uncompressed */
        firn_reply_i64(x->out, (int64_t)(1 + x->argv[2].len + v.value.len + FIRN_RECORD_OVERHEAD));
    else if (st == FIRN_ABSENT)
        firn_reply_null(x->out);
    else
        return st;
    return FIRN_OK;
}

struct memory {
    uint64_t cache, pinned, clients, held, used;
};

static struct memory look(const struct firn_eval *x)
{
    const struct firn_lsm_stats *l = firn_lsm_stats_of(x->db->lsm);
    return (struct memory){
        .cache = l->cache_bytes,
        .pinned = l->pinned_bytes,
        .clients = firn_server_stats(x->e->server)->buffer_bytes,
        .held = x->db->held_bytes,
        .used = firn_engine__memory_used(x->e),
    };
}

enum firn_status firn_engine__cmd_memory_stats(struct firn_eval *x)
{
    struct memory m = look(x);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"peak.allocated", x->e->memory_peak},
        {"total.allocated", m.used},
        {"startup.allocated", 0},
        {"replication.backlog", 0},
        {"clients.slaves", 0},
        {"clients.normal", m.clients},
        {"overhead.total", m.clients + m.pinned},
        {"dataset.bytes", m.cache + m.held},
        {"firn.cache", m.cache},
        {"firn.pinned", m.pinned},
        {"firn.memtables-and-batches", m.held},
        {"firn.limit", x->db->settings->memory_bytes},
    };
    size_t n = sizeof rows / sizeof *rows;
    firn_reply_map(x->out, n);
    for (size_t i = 0; i < n; i++) {
        firn_reply_str(x->out, rows[i].name);
        firn_reply_i64(x->out, (int64_t)rows[i].value);
    }
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_memory_doctor(struct firn_eval *x)
{
    struct memory m = look(x);
    char text[512];
    int n = snprintf(text, sizeof text,
                     "%" PRIu64 " MiB of %" PRIu64 " MiB are in use: %" PRIu64
                     " MiB cache, which gives way to others; %" PRIu64
                     " MiB memtables and batches; %" PRIu64
                     " MiB buffers of clients, whose limit each is client-output-bytes-max.\n",
                     m.used >> 20, x->db->settings->memory_bytes >> 20, m.cache >> 20, m.held >> 20,
                     m.clients >> 20);
    firn_reply_verbatim(x->out, "txt", firn_slice_of(text, n > 0 ? (size_t)n : 0));
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_memory_malloc_stats(struct firn_eval *x)
{
    firn_reply_verbatim(x->out, "txt",
                        firn_slice_str("Stats not supported for the current allocator"));
    return FIRN_OK;
}
