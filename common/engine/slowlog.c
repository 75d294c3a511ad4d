#include "engine/slowlog_priv.h"

#include "base/mem.h"

static void entry_clear(struct firn_slowlog_entry *en)
{
    firn_free(en->peer);
    firn_free(en->name);
    firn_buf_clear(&en->args);
    *en = (struct firn_slowlog_entry){0};
}

/* The arguments as bulk replies, shortened as Redis does. */
static void copy_args(struct firn_slowlog_entry *en, const struct firn_command *cmd, size_t argc,
                      const struct firn_slice *argv)
{
    struct firn_reply r;
    firn_reply_init(&r, FIRN_SLOWLOG_ARGS * (FIRN_SLOWLOG_ARG_BYTES + 64), 2);
    size_t n = argc > FIRN_SLOWLOG_ARGS ? FIRN_SLOWLOG_ARGS : argc;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && (cmd->flags & FIRN_CMD_SENSITIVE)) {
            firn_reply_str(&r, "(redacted)");
        } else if (i == FIRN_SLOWLOG_ARGS - 1 && argc > FIRN_SLOWLOG_ARGS) {
            firn_reply_bulk_printf(&r, "... (%zu more arguments)", argc - n + 1);
        } else if (argv[i].len > FIRN_SLOWLOG_ARG_BYTES) {
            firn_reply_bulk_printf(&r, "%.*s... (%zu more bytes)", FIRN_SLOWLOG_ARG_BYTES,
                                   (const char *)argv[i].data,
                                   argv[i].len - FIRN_SLOWLOG_ARG_BYTES);
        } else {
            firn_reply_bulk(&r, argv[i]);
        }
    }
    en->argc = r.failed ? 0 : n;
    en->args = r.failed ? (struct firn_buf){0} : r.buf;
    if (r.failed)
        firn_reply_clear(&r);
}

void firn_engine__slowlog_add(struct firn_slowlog *l, const struct firn_conn *c,
                              const struct firn_command *cmd, size_t argc,
                              const struct firn_slice *argv, uint64_t took_ns, uint64_t wall_ms,
                              size_t max)
{
    if (max == 0)
        return;
    firn_engine__slowlog_trim(l, (max < FIRN_SLOWLOG_ENTRIES ? max : FIRN_SLOWLOG_ENTRIES) - 1);
    struct firn_slowlog_entry *en = &l->entry[l->next_id % FIRN_SLOWLOG_ENTRIES];
    struct firn_slice name = firn_conn_name(c);
    en->peer = firn_strdup(firn_conn_peer(c));
    en->name = firn_strndup(name.len ? (const char *)name.data : "", name.len);
    if (!en->peer || !en->name) {
        entry_clear(en);
        return;
    }
    copy_args(en, cmd, argc, argv);
    en->id = l->next_id++;
    en->took_ns = took_ns;
    en->wall_ms = wall_ms;
}

size_t firn_engine__slowlog_len(const struct firn_slowlog *l)
{
    return (size_t)(l->next_id - l->first_id);
}

void firn_engine__slowlog_trim(struct firn_slowlog *l, size_t max)
{
    for (; l->next_id - l->first_id > max; l->first_id++)
        entry_clear(&l->entry[l->first_id % FIRN_SLOWLOG_ENTRIES]);
}

void firn_engine__slowlog_reply(const struct firn_slowlog *l, struct firn_reply *out, size_t count)
{
    size_t n = firn_engine__slowlog_len(l);
    if (count < n)
        n = count;
    firn_reply_array(out, n);
    for (size_t i = 0; i < n; i++) {
        const struct firn_slowlog_entry *en =
            &l->entry[(l->next_id - 1 - i) % FIRN_SLOWLOG_ENTRIES];
        firn_reply_array(out, 6);
        firn_reply_i64(out, (int64_t)en->id);
        firn_reply_i64(out, (int64_t)(en->wall_ms / 1000));
        firn_reply_i64(out, (int64_t)(en->took_ns / 1000));
        firn_reply_array(out, en->argc);
        firn_reply_raw(out, en->args.data, en->args.len);
        firn_reply_str(out, en->peer);
        firn_reply_str(out, en->name);
    }
}

void firn_engine__slowlog_reset(struct firn_slowlog *l)
{
    firn_engine__slowlog_trim(l, 0);
}
