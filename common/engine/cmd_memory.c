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

enum firn_status firn_engine__cmd_memory_stats(struct firn_eval *x)
{
    const struct firn_budget *b = firn_engine__budget(x->e);
    uint64_t clients = b->part[FIRN_BUDGET_CLIENTS].used;
    uint64_t pinned = b->part[FIRN_BUDGET_PINNED].used;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"peak.allocated", b->sum_peak},
        {"total.allocated", b->sum},
        {"startup.allocated", 0},
        {"replication.backlog", 0},
        {"clients.slaves", 0},
        {"clients.normal", clients},
        {"overhead.total", clients + pinned},
        {"dataset.bytes", b->sum - clients - pinned},
        {"firn.cache", b->part[FIRN_BUDGET_CACHE].used},
        {"firn.pinned", pinned},
        {"firn.memtables", b->part[FIRN_BUDGET_MEMTABLES].used},
        {"firn.batches", b->part[FIRN_BUDGET_BATCHES].used},
        {"firn.limit", b->total},
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
    const struct firn_budget *b = firn_engine__budget(x->e);
    char text[512];
    int n =
        snprintf(text, sizeof text,
                 "%" PRIu64 " MiB of %" PRIu64 " MiB are in use: %" PRIu64
                 " MiB cache, which gives way to others; %" PRIu64 " MiB memtables; %" PRIu64
                 " MiB batches; %" PRIu64 " MiB buffers of clients (of %" PRIu64
                 ", above which the largest are closed).\n",
                 b->sum >> 20, b->total >> 20, b->part[FIRN_BUDGET_CACHE].used >> 20,
                 b->part[FIRN_BUDGET_MEMTABLES].used >> 20, b->part[FIRN_BUDGET_BATCHES].used >> 20,
                 b->part[FIRN_BUDGET_CLIENTS].used >> 20, b->part[FIRN_BUDGET_CLIENTS].share >> 20);
    firn_reply_verbatim(x->out, "txt", firn_slice_of(text, n > 0 ? (size_t)n : 0));
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_memory_malloc_stats(struct firn_eval *x)
{
    firn_reply_verbatim(x->out, "txt",
                        firn_slice_str("Stats not supported for the current allocator"));
    return FIRN_OK;
}
