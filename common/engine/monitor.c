/* MONITOR: connections that are sent every command as it is executed, in Redis's format. Commands
 * that administer the node, and arguments that hold secrets, are not shown. A monitor that does not
 * read is closed at the output limit, as any connection. */
#include "engine/cmd_priv.h"
#include "engine/tx_priv.h"

#include <inttypes.h>

enum firn_status firn_engine__cmd_monitor(struct firn_eval *x)
{
    struct firn_session *s = x->s;
    if (firn_list_empty(&s->monitor))
        firn_list_push(&x->e->monitors, &s->monitor);
    firn_server_set_watched(x->e->server, true);
    firn_reply_ok(x->out);
    return FIRN_OK;
}

void firn_engine__monitor_off(struct firn_session *s)
{
    firn_list_remove(&s->monitor);
    if (firn_list_empty(&s->e->monitors))
        firn_server_set_watched(s->e->server, false);
}

/* As Redis quotes: printable bytes as they are, the usual escapes, \xHH for others. */
static enum firn_status put_quoted(struct firn_buf *b, struct firn_slice arg)
{
    static const char escaped[] = "\n\r\t\a\b\"\\", letter[] = "nrtab\"\\";
    enum firn_status st = firn_buf_append(b, " \"", 2);
    for (size_t i = 0; st == FIRN_OK && i < arg.len; i++) {
        uint8_t byte = arg.data[i];
        const char *e = byte ? strchr(escaped, byte) : NULL;
        if (e)
            st = firn_buf_printf(b, "\\%c", letter[e - escaped]);
        else if (byte >= 0x20 && byte < 0x7f)
            st = firn_buf_append(b, &byte, 1);
        else
            st = firn_buf_printf(b, "\\x%02x", byte);
    }
    return st == FIRN_OK ? firn_buf_append(b, "\"", 1) : st;
}

static bool is_hidden(const struct firn_command_entry *e)
{
    return e->cmd->flags & (FIRN_CMD_ADMIN | FIRN_CMD_SKIP_MONITOR | FIRN_CMD_SENSITIVE);
}

/* HELLO may carry a password behind its version. */
static bool is_secret(const struct firn_command_entry *e, size_t i)
{
    return i > 1 && strcmp(e->name, "hello") == 0;
}

static void show(struct firn_session *s, const struct firn_command_entry *e, size_t argc,
                 const struct firn_slice *argv)
{
    struct firn_engine *engine = s->e;
    struct firn_buf line;
    if (is_hidden(e))
        return;
    uint64_t now = firn_wall_ms(engine->db->env);
    firn_buf_init(&line, (size_t)engine->db->settings->client_output_bytes_max);
    enum firn_status st =
        firn_buf_printf(&line, "+%" PRIu64 ".%06u [%u %s]", now / 1000,
                        (unsigned)(now % 1000 * 1000), firn_conn_db(s->c), firn_conn_peer(s->c));
    for (size_t i = 0; st == FIRN_OK && i < argc; i++)
        st = put_quoted(&line, is_secret(e, i) ? firn_slice_str("(redacted)") : argv[i]);
    if (st == FIRN_OK)
        st = firn_buf_append(&line, "\r\n", 2);
    FIRN_LIST_EACH(it, nx, &engine->monitors)
    {
        struct firn_session *m = FIRN_CONTAINER(it, struct firn_session, monitor);
        if (m == s)
            continue;
        if (st == FIRN_OK)
            firn_conn_push(m->c, firn_buf_slice(&line));
        else
            firn_conn_close(m->c, false); /* it would miss one and not know it */
    }
    firn_buf_clear(&line);
}

void firn_engine__executed(void *engine, struct firn_conn *c, struct firn_command_entry *e,
                           size_t argc, const struct firn_slice *argv)
{
    (void)engine;
    struct firn_session *s = *firn_conn_session(c);
    if (s && !(s->queue.on && firn_engine__captures(s, e->cmd)))
        show(s, e, argc, argv); /* queued ones are shown when EXEC runs them */
}

void firn_engine__monitor_queued(struct firn_session *s, const struct firn_tx *tx)
{
    if (firn_list_empty(&s->e->monitors))
        return;
    for (size_t i = 0; i < tx->n; i++)
        show(s, tx->cmd[i].entry, tx->cmd[i].argc, tx->cmd[i].argv);
}
