/* CLIENT and its subcommands. */
#include "resp/conn_priv.h"

#include "base/mem.h"

#include <string.h>

/* --- CLIENT LIST and INFO */

void firn_conn__describe(struct firn_conn *c, struct firn_conn_describe *d)
{
    *d = (struct firn_conn_describe){.multi = -1};
    if (c->srv->handler->describe)
        c->srv->handler->describe(c->srv->handler->arg, c, d);
}

/* Append the line of one connection, as Redis writes it (no fd: -1). */
static enum firn_status describe_line(struct firn_conn *c, uint64_t now_ns, struct firn_buf *out)
{
    struct firn_conn_describe d;
    firn_conn__describe(c, &d);
    char flags[16];
    size_t n = 0;
    for (size_t i = 0; i < sizeof d.flags && d.flags[i]; i++)
        flags[n++] = d.flags[i];
    if (c->closing == FIRN_CONN_CLOSE_FLUSH)
        flags[n++] = 'c';
    if (c->closing == FIRN_CONN_CLOSE_NOW)
        flags[n++] = 'A';
    if (c->parked)
        flags[n++] = 'b';
    if (c->no_evict)
        flags[n++] = 'e';
    if (c->no_touch)
        flags[n++] = 'T';
    if (!n)
        flags[n++] = 'N';
    size_t unread = c->query.len - c->query_at;
    return firn_buf_printf(
        out,
        "id=%llu addr=%s laddr=%s fd=-1 name=%s age=%llu idle=%llu flags=%.*s db=%u sub=%u psub=%u "
        "ssub=%u multi=%d watch=%u qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=%zu rbs=%zu "
        "rbp=%zu "
        "obl=%zu oll=0 omem=%zu tot-mem=%zu events=%s cmd=%s user=default redir=%lld resp=%u "
        "lib-name=%s lib-ver=%s\n",
        (unsigned long long)c->id, c->peer, c->local, c->name ? c->name : "",
        (unsigned long long)((now_ns - c->created_ns) / FIRN_SEC),
        (unsigned long long)((now_ns - c->active_ns) / FIRN_SEC), (int)n, flags, c->db, d.sub,
        d.psub, d.ssub, d.multi, d.watch, unread, c->query.cap - c->query.len,
        firn_parser_bytes(&c->parser), d.multi_bytes, c->out.buf.cap, c->out.buf.cap,
        c->out.buf.len - c->sent, c->out.buf.cap, c->accounted_bytes, c->blocked ? "rw" : "r",
        c->cmd ? c->cmd->name : "NULL", d.tracking ? (long long)d.redirect : -1, c->out.resp,
        c->lib_name ? c->lib_name : "", c->lib_ver ? c->lib_ver : "");
}

enum client_type { TYPE_ANY, TYPE_NORMAL, TYPE_PUBSUB, TYPE_NONE, TYPE_UNKNOWN };

/* Replication connections are named in Redis; here there are none. */
static enum client_type type_of_name(struct firn_slice s)
{
    if (firn_slice_ieq(s, "normal"))
        return TYPE_NORMAL;
    if (firn_slice_ieq(s, "pubsub"))
        return TYPE_PUBSUB;
    if (firn_slice_ieq(s, "master") || firn_slice_ieq(s, "replica") || firn_slice_ieq(s, "slave"))
        return TYPE_NONE;
    return TYPE_UNKNOWN;
}

static bool is_of_type(struct firn_conn *c, enum client_type type)
{
    if (type == TYPE_ANY)
        return true;
    struct firn_conn_describe d;
    firn_conn__describe(c, &d);
    bool pubsub = d.sub || d.psub || d.ssub;
    return type == (pubsub ? TYPE_PUBSUB : TYPE_NORMAL);
}

static void unknown_type(struct firn_conn *c, struct firn_slice s)
{
    firn_reply_error(&c->out, "ERR Unknown client type '%.*s'", (int)(s.len < 128 ? s.len : 128),
                     s.len ? (const char *)s.data : "");
}

static void reply_lines(struct firn_conn *c, enum firn_status s, struct firn_buf *lines)
{
    if (s == FIRN_OK)
        firn_reply_verbatim(&c->out, "txt", firn_buf_slice(lines));
    else
        firn_reply_error(&c->out, "ERR out of memory");
    firn_buf_clear(lines);
}

/* CLIENT LIST ID id [id …]: in the order asked for, unknown ones left out. */
static void list_ids(struct firn_conn *c, size_t n, const struct firn_slice *ids)
{
    struct firn_buf lines = {.max = c->srv->opt.output_bytes_max};
    enum firn_status s = FIRN_OK;
    uint64_t now = firn_boot_ns(c->srv->env);
    for (size_t i = 0; s == FIRN_OK && i < n; i++) {
        int64_t id;
        if (!firn_parse_i64(ids[i], &id) || id < 1) {
            firn_reply_error(&c->out, "ERR Invalid client ID");
            firn_buf_clear(&lines);
            return;
        }
        struct firn_conn *other = firn_server_find(c->srv, (uint64_t)id);
        if (other)
            s = describe_line(other, now, &lines);
    }
    reply_lines(c, s, &lines);
}

static void client_list(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    enum client_type type = TYPE_ANY;
    if (argc >= 4 && firn_slice_ieq(argv[2], "id")) {
        list_ids(c, argc - 3, argv + 3);
        return;
    }
    if (argc == 4 && firn_slice_ieq(argv[2], "type")) {
        type = type_of_name(argv[3]);
        if (type == TYPE_UNKNOWN) {
            unknown_type(c, argv[3]);
            return;
        }
    } else if (argc != 2) {
        firn_reply_error(&c->out, "ERR syntax error");
        return;
    }
    struct firn_buf lines = {.max = c->srv->opt.output_bytes_max};
    enum firn_status s = FIRN_OK;
    uint64_t now = firn_boot_ns(c->srv->env);
    FIRN_LIST_EACH(it, nx, &c->srv->conns)
    {
        struct firn_conn *other = FIRN_CONTAINER(it, struct firn_conn, link);
        if (s == FIRN_OK && is_of_type(other, type))
            s = describe_line(other, now, &lines);
    }
    reply_lines(c, s, &lines);
}

static void client_info(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    struct firn_buf line = {.max = c->srv->opt.output_bytes_max};
    enum firn_status s = describe_line(c, firn_boot_ns(c->srv->env), &line);
    reply_lines(c, s, &line);
}

/* --- CLIENT KILL */

struct kill_filter {
    int64_t id; /* 0 = any */
    int64_t maxage_s;
    struct firn_slice addr, laddr; /* data NULL = any */
    enum client_type type;
    bool skip_me;
};

/* One "name value" pair; false and an error reply when it is not right. */
static bool kill_option(struct firn_conn *c, struct firn_slice name, struct firn_slice value,
                        struct kill_filter *f)
{
    struct firn_reply *r = &c->out;
    if (firn_slice_ieq(name, "id")) {
        if (!firn_parse_i64(value, &f->id) || f->id < 1) {
            firn_reply_error(r, "ERR client-id should be greater than 0");
            return false;
        }
    } else if (firn_slice_ieq(name, "maxage")) {
        if (!firn_parse_i64(value, &f->maxage_s) || f->maxage_s < 1) {
            firn_reply_error(r, "ERR maxage should be greater than 0");
            return false;
        }
    } else if (firn_slice_ieq(name, "type")) {
        f->type = type_of_name(value);
        if (f->type == TYPE_UNKNOWN) {
            unknown_type(c, value);
            return false;
        }
    } else if (firn_slice_ieq(name, "addr")) {
        f->addr = value;
    } else if (firn_slice_ieq(name, "laddr")) {
        f->laddr = value;
    } else if (firn_slice_ieq(name, "user")) {
        if (!firn_slice_eq(value, firn_slice_str("default"))) {
            firn_reply_error(r, "ERR No such user '%.*s'", (int)(value.len < 128 ? value.len : 128),
                             value.len ? (const char *)value.data : "");
            return false;
        }
    } else if (firn_slice_ieq(name, "skipme") &&
               (firn_slice_ieq(value, "yes") || firn_slice_ieq(value, "no"))) {
        f->skip_me = firn_slice_ieq(value, "yes");
    } else {
        firn_reply_error(r, "ERR syntax error");
        return false;
    }
    return true;
}

static bool kill_hits(struct firn_conn *c, const struct kill_filter *f, uint64_t now_ns)
{
    return c->closing == FIRN_CONN_OPEN && (!f->id || (uint64_t)f->id == c->id) &&
           (!f->addr.data || firn_slice_eq(f->addr, firn_slice_str(c->peer))) &&
           (!f->laddr.data || firn_slice_eq(f->laddr, firn_slice_str(c->local))) &&
           (!f->maxage_s || (now_ns - c->created_ns) / FIRN_SEC >= (uint64_t)f->maxage_s) &&
           is_of_type(c, f->type);
}

/* Close what the filter names; gives how many. The caller's own connection still gets its reply. */
static size_t kill_all(struct firn_conn *me, const struct kill_filter *f)
{
    size_t n = 0;
    bool suicide = false;
    uint64_t now = firn_boot_ns(me->srv->env);
    FIRN_LIST_EACH(it, nx, &me->srv->conns)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_conn, link);
        if ((c == me && f->skip_me) || !kill_hits(c, f, now))
            continue;
        n++;
        if (c == me)
            suicide = true;
        else
            firn_conn_close(c, false);
    }
    if (suicide)
        firn_conn_close(me, true);
    return n;
}

static void client_kill(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    struct kill_filter f = {.skip_me = true};
    if (argc == 3) { /* the old form: an address, oneself included */
        f.addr = argv[2];
        f.skip_me = false;
        if (kill_all(c, &f))
            firn_reply_ok(&c->out);
        else
            firn_reply_error(&c->out, "ERR No such client");
        return;
    }
    for (size_t i = 2; i < argc; i += 2) {
        if (i + 1 == argc) {
            firn_reply_error(&c->out, "ERR syntax error");
            return;
        }
        if (!kill_option(c, argv[i], argv[i + 1], &f))
            return;
    }
    firn_reply_i64(&c->out, (int64_t)kill_all(c, &f));
}

/* --- names */

static void client_setname(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    if (firn_conn__set_name(c, argv[2]))
        firn_reply_ok(&c->out);
}

static void client_getname(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    if (c->name)
        firn_reply_str(&c->out, c->name);
    else
        firn_reply_null(&c->out);
}

static void client_setinfo(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    bool lib_name = firn_slice_ieq(argv[2], "lib-name");
    if (!lib_name && !firn_slice_ieq(argv[2], "lib-ver")) {
        firn_reply_error(&c->out, "ERR Unrecognized option '%.*s'",
                         (int)(argv[2].len < 128 ? argv[2].len : 128),
                         argv[2].len ? (const char *)argv[2].data : "");
        return;
    }
    struct firn_slice v = argv[3];
    bool ok = v.len <= FIRN_CLIENT_WORD_MAX;
    for (size_t i = 0; ok && i < v.len; i++)
        ok = v.data[i] >= '!' && v.data[i] <= '~';
    if (!ok) {
        firn_reply_error(&c->out, "ERR %s cannot contain spaces, newlines or special characters.",
                         lib_name ? "lib-name" : "lib-ver");
        return;
    }
    char *copy = firn_strndup(v.len ? (const char *)v.data : "", v.len);
    if (!copy) {
        firn_reply_error(&c->out, "ERR out of memory");
        return;
    }
    char **place = lib_name ? &c->lib_name : &c->lib_ver;
    firn_free(*place);
    *place = copy;
    firn_reply_ok(&c->out);
}

static void client_id(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    firn_reply_i64(&c->out, (int64_t)c->id);
}

/* --- switches */

/* "on" or "off"; anything else is answered with a syntax error. */
static void set_switch(struct firn_conn *c, struct firn_slice word, bool *flag)
{
    if (!firn_slice_ieq(word, "on") && !firn_slice_ieq(word, "off")) {
        firn_reply_error(&c->out, "ERR syntax error");
        return;
    }
    *flag = firn_slice_ieq(word, "on");
    firn_reply_ok(&c->out);
}

static void client_no_evict(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    set_switch(c, argv[2], &c->no_evict);
}

static void client_no_touch(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    set_switch(c, argv[2], &c->no_touch);
}

/* Capabilities this server does not know are ignored, as in Valkey. */
static void client_capa(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    for (size_t i = 2; i < argc; i++)
        c->capa_redirect |= firn_slice_ieq(argv[i], "redirect");
    firn_reply_ok(&c->out);
}

static void client_reply(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    if (firn_slice_ieq(argv[2], "on")) {
        c->reply_off = c->reply_skip = false;
        firn_reply_ok(&c->out);
    } else if (firn_slice_ieq(argv[2], "off")) {
        c->reply_off = true;
    } else if (firn_slice_ieq(argv[2], "skip")) {
        c->reply_skip_next = !c->reply_off;
    } else {
        firn_reply_error(&c->out, "ERR syntax error");
    }
}

static void client_pause(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    int64_t ms;
    bool all = argc == 3 || firn_slice_ieq(argv[3], "all");
    if (argc > 4) {
        firn_command_bad_subcommand(&c->out, argv);
    } else if (!all && !firn_slice_ieq(argv[3], "write")) {
        firn_reply_error(&c->out, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else if (!firn_parse_i64(argv[2], &ms)) {
        firn_reply_error(&c->out, "ERR timeout is not an integer or out of range");
    } else if (ms < 0) {
        firn_reply_error(&c->out, "ERR timeout is negative");
    } else {
        firn_server__pause(c->srv, (uint64_t)ms, all);
        firn_reply_ok(&c->out);
    }
}

static void client_unpause(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    firn_server__unpause(c->srv);
    firn_reply_ok(&c->out);
}

/* --- tracking: there is none, unless the handler's room takes these over */

static void client_tracking(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    firn_reply_error(&c->out, "ERR this server does not track keys");
}

static void client_getredir(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    firn_reply_i64(&c->out, -1);
}

static void client_trackinginfo(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    struct firn_reply *r = &c->out;
    firn_reply_map(r, 3);
    firn_reply_str(r, "flags");
    firn_reply_set(r, 1);
    firn_reply_str(r, "off");
    firn_reply_str(r, "redirect");
    firn_reply_i64(r, -1);
    firn_reply_str(r, "prefixes");
    firn_reply_array(r, 0);
}

static void client_help(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    firn_command_help(&c->out, firn_registry_find(c->srv->registry, argv[0]));
}

/* --- the table */

#define SUB(n, a, f, since_, text, arguments, func)                                                \
    {                                                                                              \
        .name = n, .arity = a,                                                                     \
        .flags = FIRN_CMD_NOSCRIPT | FIRN_CMD_LOADING | FIRN_CMD_STALE | (f),                      \
        .categories = FIRN_CAT_CONNECTION, .group = "connection", .since = since_,                 \
        .summary = text, .complexity = "O(1)", .args = arguments, .fn = (void (*)(void))(func),    \
    }

const struct firn_command firn_conn__client_commands[FIRN_CLIENT_COMMANDS] = {
    SUB("caching", 3, 0, "6.0.0",
        "Instructs the server whether to track the keys in the next request", "(mode=YES|NO)",
        client_tracking),
    SUB("tracking", -3, 0, "6.0.0",
        "Controls server-assisted client-side caching for the connection", "(status=ON|OFF)",
        client_tracking),
    SUB("capa", -3, 0, "8.0.0", "A client claims its capability", "capability ...", client_capa),
    SUB("getname", 2, 0, "2.6.9", "Returns the name of the connection", NULL, client_getname),
    SUB("getredir", 2, 0, "6.0.0",
        "Returns the client ID to which the connection's tracking notifications are redirected",
        NULL, client_getredir),
    SUB("help", 2, 0, "5.0.0", "Returns helpful text about the different subcommands", NULL,
        client_help),
    SUB("id", 2, 0, "5.0.0", "Returns the unique client ID of the connection", NULL, client_id),
    SUB("info", 2, 0, "6.2.0", "Returns information about the connection", NULL, client_info),
    SUB("kill", -3, FIRN_CMD_ADMIN, "2.4.0", "Terminates open connections",
        "[ip-port] [ID client-id:i] [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [USER username] "
        "[ADDR addr] [LADDR laddr] [SKIPME (YES|NO)] [MAXAGE maxage:i]",
        client_kill),
    SUB("list", -2, FIRN_CMD_ADMIN, "2.4.0", "Lists open connections",
        "[TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID client-id:i ...]", client_list),
    SUB("no-evict", 3, FIRN_CMD_ADMIN, "7.0.0", "Sets the client eviction mode of the connection",
        "(enabled=ON|OFF)", client_no_evict),
    SUB("no-touch", 3, 0, "7.2.0",
        "Controls whether commands sent by the client affect the LRU/LFU of accessed keys",
        "(enabled=ON|OFF)", client_no_touch),
    SUB("pause", -3, FIRN_CMD_ADMIN, "2.9.50", "Suspends commands processing",
        "timeout:i [mode=WRITE|ALL]", client_pause),
    SUB("reply", 3, 0, "3.2.0", "Instructs the server whether to reply to commands",
        "(action=ON|OFF|SKIP)", client_reply),
    SUB("setinfo", 4, 0, "7.2.0", "Sets information specific to the client or connection",
        "(attr=LIB-NAME libname|LIB-VER libver)", client_setinfo),
    SUB("setname", 3, 0, "2.6.9", "Sets the connection name", "connection-name", client_setname),
    SUB("trackinginfo", 2, 0, "6.2.0",
        "Returns information about server-assisted client-side caching for the connection", NULL,
        client_trackinginfo),
    SUB("unpause", 2, FIRN_CMD_ADMIN, "6.2.0", "Resumes processing commands from paused clients",
        NULL, client_unpause),
};
