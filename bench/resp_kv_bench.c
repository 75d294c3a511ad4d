/* What the resp room and the socket adapter cost by themselves: GET and SET over a direct-mapped
 * table in memory, no engine, no log. Usage: resp_kv [port] [gate_ms]; with gate_ms > 0 SET replies
 * are held and released that often, as a writer's would be. Measure with redis-benchmark next to
 * redis-server. */
#include "base/hash.h"
#include "base/mem.h"
#include "io_uv/io_uv.h"
#include "resp/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (1u << 20)

struct cell {
    uint64_t hash;
    struct firn_buf value;
};

struct kv {
    struct firn_uv *uv;
    struct firn_server *server;
    struct cell *cells;
    struct firn_timer release;
    uint64_t gate_ns, slot;
};

enum { ID_GET, ID_SET };

static const struct firn_command commands[] = {
    {.name = "get",
     .arity = 2,
     .flags = FIRN_CMD_READONLY | FIRN_CMD_FAST,
     .keys = {{1, 1, 1, FIRN_KEY_RO | FIRN_KEY_ACCESS}},
     .categories = FIRN_CAT_STRING,
     .group = "string",
     .since = "1.0.0",
     .summary = "Returns the string value of a key",
     .complexity = "O(1)",
     .args = "key",
     .id = ID_GET},
    {.name = "set",
     .arity = -3,
     .flags = FIRN_CMD_WRITE | FIRN_CMD_DENYOOM,
     .keys = {{1, 1, 1, FIRN_KEY_RW | FIRN_KEY_ACCESS | FIRN_KEY_UPDATE | FIRN_KEY_VARIABLE_FLAGS}},
     .categories = FIRN_CAT_STRING,
     .group = "string",
     .since = "1.0.0",
     .summary = "Sets the string value of a key",
     .complexity = "O(1)",
     .args = "key value [condition=NX|XX] [GET] [expiration=EX seconds:i|PX milliseconds:i|EXAT "
             "unix-time-seconds:t|PXAT unix-time-milliseconds:t|KEEPTTL]",
     .id = ID_SET},
};

static enum firn_exec exec(void *arg, struct firn_conn *c, const struct firn_command *cmd,
                           size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    struct kv *kv = arg;
    struct firn_reply *r = firn_conn_out(c);
    uint64_t h = firn_xxh3(argv[1].data, argv[1].len) | 1;
    struct cell *cell = &kv->cells[h & (SLOTS - 1)];
    if (cmd->id == ID_GET) {
        if (cell->hash == h)
            firn_reply_bulk(r, firn_buf_slice(&cell->value));
        else
            firn_reply_null(r);
        return FIRN_EXEC_DONE;
    }
    cell->hash = h;
    cell->value.max = SIZE_MAX;
    cell->value.len = 0;
    if (firn_buf_append(&cell->value, argv[2].data, argv[2].len) != FIRN_OK) {
        firn_reply_error(r, "OOM out of memory");
        return FIRN_EXEC_DONE;
    }
    firn_reply_ok(r);
    if (kv->gate_ns)
        firn_conn_gate(c, &(struct firn_gate){.slot = kv->slot + 1,
                                              .deadline_ns = firn_conn_arrival_ns(c) + FIRN_SEC,
                                              .kind = FIRN_GATE_WRITE});
    return FIRN_EXEC_DONE;
}

static void on_release(void *arg)
{
    struct kv *kv = arg;
    kv->slot++;
    firn_server_release(kv->server, kv->slot, 0);
    firn_timer_start(firn_uv_env(kv->uv), &kv->release, kv->gate_ns);
}

static void on_signal(void *arg, int signo)
{
    (void)signo;
    firn_uv_stop(((struct kv *)arg)->uv);
}

int main(int argc, char **argv)
{
    struct kv kv = {.gate_ns = argc > 2 ? strtoull(argv[2], NULL, 10) * FIRN_MS : 0};
    struct firn_err err = {0};
    uint16_t port = (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
    struct firn_handler handler = {.exec = exec, .arg = &kv};
    struct firn_server_options options = {0};
    kv.cells = firn_calloc(SLOTS, sizeof *kv.cells);
    if (!kv.cells || firn_uv_create(NULL, &kv.uv, &err) != FIRN_OK ||
        firn_uv_signals(kv.uv, on_signal, &kv, &err) != FIRN_OK ||
        firn_server_create(firn_uv_env(kv.uv), &options, &handler, &kv.server, &err) != FIRN_OK ||
        firn_server_add_commands(kv.server, commands, sizeof commands / sizeof commands[0], &err) !=
            FIRN_OK ||
        firn_server_listen(kv.server, "127.0.0.1", port, &port, &err) != FIRN_OK) {
        fprintf(stderr, "resp_kv: %s\n", err.text);
        return 1;
    }
    kv.release = (struct firn_timer){.fn = on_release, .arg = &kv};
    if (kv.gate_ns)
        firn_timer_start(firn_uv_env(kv.uv), &kv.release, kv.gate_ns);
    printf("listening on 127.0.0.1:%u\n", port);
    (void)fflush(stdout);
    firn_uv_run(kv.uv);
    firn_server_free(kv.server);
    firn_uv_free(kv.uv);
    for (size_t i = 0; i < SLOTS; i++)
        firn_buf_clear(&kv.cells[i].value);
    firn_free(kv.cells);
    return 0;
}
