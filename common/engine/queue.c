#include "engine/queue_priv.h"

#include "base/mem.h"
#include "engine/tx_priv.h"

#define CHUNK_BYTES_MIN ((size_t)1024)
#define CHUNK_BYTES_MAX ((size_t)64 << 10)

size_t firn_engine__queue_bytes(const struct firn_queue *q)
{
    return q->arena.used_bytes + q->cap * sizeof *q->cmd;
}

/* A copy of the arguments, the array of them too; NULL: memory. */
static const struct firn_slice *copy_args(struct firn_queue *q, size_t argc,
                                          const struct firn_slice *argv)
{
    struct firn_slice *to = firn_arena_alloc(&q->arena, argc * sizeof *to);
    for (size_t i = 0; to && i < argc; i++) {
        to[i] = argv[i].len ? firn_arena_copy(&q->arena, argv[i]) : firn_slice_str("");
        if (!to[i].data)
            return NULL;
    }
    return to;
}

/* Small at first: there may be as many queues as connections. */
static void size_chunks(struct firn_queue *q)
{
    size_t chunk = q->arena.used_bytes / 4;
    if (chunk < CHUNK_BYTES_MIN)
        chunk = CHUNK_BYTES_MIN;
    q->arena.chunk_bytes = chunk < CHUNK_BYTES_MAX ? chunk : CHUNK_BYTES_MAX;
}

static enum firn_status reserve(struct firn_queue *q)
{
    if (q->n < q->cap)
        return FIRN_OK;
    size_t cap = q->cap ? q->cap * 2 : 16;
    struct firn_tx_cmd *cmd = firn_realloc(q->cmd, cap * sizeof *cmd);
    if (!cmd)
        return FIRN_LIMIT;
    q->cmd = cmd;
    q->cap = cap;
    return FIRN_OK;
}

bool firn_engine__queue_has_room(const struct firn_queue *q, size_t argc,
                                 const struct firn_slice *argv, size_t bytes_max)
{
    size_t bytes = argc * sizeof *argv + sizeof *q->cmd;
    for (size_t i = 0; i < argc; i++)
        bytes += argv[i].len;
    return q->n < FIRN_QUEUE_COMMANDS_MAX && bytes <= bytes_max &&
           firn_engine__queue_bytes(q) <= bytes_max - bytes;
}

enum firn_status firn_engine__queue_add(struct firn_queue *q, struct firn_command_entry *entry,
                                        size_t argc, const struct firn_slice *argv)
{
    if (reserve(q) != FIRN_OK)
        return FIRN_LIMIT;
    size_chunks(q);
    const struct firn_slice *copy = copy_args(q, argc, argv);
    if (!copy)
        return FIRN_LIMIT;
    q->cmd[q->n++] = (struct firn_tx_cmd){.entry = entry, .argv = copy, .argc = argc};
    q->writes |= firn_engine__may_write(entry->cmd);
    q->data |= firn_engine__touches_data(entry);
    return FIRN_OK;
}

void firn_engine__queue_clear(struct firn_queue *q)
{
    firn_arena_clear(&q->arena);
    firn_free(q->cmd);
    *q = (struct firn_queue){0};
}
