/* The commands that MULTI queues on a connection, up to EXEC or DISCARD. */
#ifndef FIRN_ENGINE_QUEUE_PRIV_H
#define FIRN_ENGINE_QUEUE_PRIV_H

#include "base/arena.h"
#include "resp/command.h"

#define FIRN_QUEUE_COMMANDS_MAX ((size_t)1 << 20)

struct firn_tx_cmd;

/* Zero-initialised is valid: no MULTI. */
struct firn_queue {
    bool on;                 /* between MULTI and its end */
    bool ending;             /* by the command under way */
    bool spoilt;             /* a command was refused: EXEC answers -EXECABORT */
    bool writes;             /* a command may write … */
    bool data;               /* … or at least looks at data */
    struct firn_arena arena; /* arguments */
    struct firn_tx_cmd *cmd;
    size_t n, cap;
};

/* Memory held. */
size_t firn_engine__queue_bytes(const struct firn_queue *q);
/* Is one more command within bytes_max of memory and FIRN_QUEUE_COMMANDS_MAX? */
bool firn_engine__queue_has_room(const struct firn_queue *q, size_t argc,
                                 const struct firn_slice *argv, size_t bytes_max);
/* Copy a command to the end. LIMIT: memory is short. */
enum firn_status firn_engine__queue_add(struct firn_queue *q, struct firn_command_entry *entry,
                                        size_t argc, const struct firn_slice *argv) FIRN_MUST_USE;
/* No MULTI any more; memory is given back. */
void firn_engine__queue_clear(struct firn_queue *q);

#endif
