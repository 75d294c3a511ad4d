/* The commands about a connection itself, and the table of all commands of this room. */
#include "resp/conn_priv.h"

#include "base/mem.h"

#include <string.h>

bool firn_conn__set_name(struct firn_conn *c, struct firn_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            firn_reply_error(&c->out, "ERR Client names cannot contain spaces, newlines or special "
                                      "characters.");
            return false;
        }
    }
    if (name.len > FIRN_CLIENT_WORD_MAX) {
        firn_reply_error(&c->out, "ERR Client names cannot be longer than %d bytes",
                         FIRN_CLIENT_WORD_MAX);
        return false;
    }
    char *copy = NULL;
    if (name.len) {
        copy = firn_strndup((const char *)name.data, name.len);
        if (!copy) {
            firn_reply_error(&c->out, "ERR out of memory");
            return false;
        }
    }
    firn_free(c->name);
    c->name = copy;
    return true;
}

/* Equal? Takes the same time wherever the first difference is. */
static bool same_secret(struct firn_slice given, struct firn_slice secret)
{
    unsigned diff = given.len != secret.len;
    for (size_t i = 0; i < given.len; i++)
        diff |= (unsigned)(given.data[i] ^ (secret.len ? secret.data[i % secret.len] : 0));
    return diff == 0;
}

static bool authenticate(struct firn_conn *c, struct firn_slice user, struct firn_slice password)
{
    struct firn_server *s = c->srv;
    bool ok = firn_slice_eq(user, firn_slice_str("default"));
    if (s->requirepass)
        ok &= same_secret(password, firn_slice_str(s->requirepass));
    if (!ok) {
        s->stats.auth_failures++;
        firn_reply_error(&c->out, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    c->authenticated = true;
    return true;
}

static void cmd_auth(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    if (argc > 3) {
        firn_reply_error(&c->out, "ERR syntax error");
        return;
    }
    if (argc == 2 && !c->srv->requirepass) {
        firn_reply_error(&c->out, "ERR AUTH <password> called without any password configured for "
                                  "the default user. Are you sure your configuration is correct?");
        return;
    }
    struct firn_slice user = argc == 3 ? argv[1] : firn_slice_str("default");
    if (authenticate(c, user, argv[argc - 1]))
        firn_reply_ok(&c->out);
}

static void reply_hello(struct firn_conn *c)
{
    struct firn_server *s = c->srv;
    const char *role = s->handler->role ? s->handler->role(s->handler->arg) : "master";
    struct firn_reply *r = &c->out;
    firn_reply_map(r, 7);
    firn_reply_str(r, "server");
    firn_reply_str(r, "redis");
    firn_reply_str(r, "version");
    firn_reply_str(r, s->opt.redis_version);
    firn_reply_str(r, "proto");
    firn_reply_i64(r, r->resp);
    firn_reply_str(r, "id");
    firn_reply_i64(r, (int64_t)c->id);
    firn_reply_str(r, "mode");
    firn_reply_str(r, s->opt.mode);
    firn_reply_str(r, "role");
    firn_reply_str(r, role);
    firn_reply_str(r, "modules");
    firn_reply_array(r, 0);
}

static void cmd_hello(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    int64_t version = 0;
    if (argc > 1) {
        if (!firn_parse_i64(argv[1], &version)) {
            firn_reply_error(&c->out, "ERR Protocol version is not an integer or out of range");
            return;
        }
        if (version != 2 && version != 3) {
            firn_reply_error(&c->out, "NOPROTO unsupported protocol version");
            return;
        }
    }
    for (size_t i = 2; i < argc; i++) {
        if (firn_slice_ieq(argv[i], "auth") && argc - i > 2) {
            if (!authenticate(c, argv[i + 1], argv[i + 2]))
                return;
            i += 2;
        } else if (firn_slice_ieq(argv[i], "setname") && argc - i > 1) {
            if (!firn_conn__set_name(c, argv[i + 1]))
                return;
            i++;
        } else {
            firn_reply_error(&c->out, "ERR Syntax error in HELLO option '%.*s'",
                             (int)(argv[i].len < 128 ? argv[i].len : 128),
                             argv[i].len ? (const char *)argv[i].data : "");
            return;
        }
    }
    if (!c->authenticated) {
        firn_reply_error(&c->out,
                         "NOAUTH HELLO must be called with the client already authenticated, "
                         "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                         "authenticate the client and select the RESP protocol version at the same "
                         "time");
        return;
    }
    if (version)
        c->out.resp = (uint8_t)version;
    reply_hello(c);
}

static void cmd_ping(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    if (argc > 2) {
        firn_reply_error(&c->out, "ERR wrong number of arguments for 'ping' command");
    } else if (c->subscriber && c->out.resp == 2) {
        firn_reply_array(&c->out, 2);
        firn_reply_str(&c->out, "pong");
        firn_reply_bulk(&c->out, argc == 2 ? argv[1] : firn_slice_str(""));
    } else if (argc == 2) {
        firn_reply_bulk(&c->out, argv[1]);
    } else {
        firn_reply_raw(&c->out, "+PONG\r\n", 7);
    }
}

static void cmd_echo(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    firn_reply_bulk(&c->out, argv[1]);
}

static void cmd_select(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    int64_t db;
    if (!firn_parse_i64(argv[1], &db) || db < INT32_MIN || db > INT32_MAX) {
        firn_reply_error(&c->out, "ERR value is not an integer or out of range");
    } else if (db < 0 || db >= FIRN_CONN_DBS) {
        firn_reply_error(&c->out, "ERR DB index is out of range");
    } else {
        c->db = (uint8_t)db;
        firn_reply_ok(&c->out);
    }
}

static void cmd_quit(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    c->reply_off = c->reply_skip = false;
    firn_reply_ok(&c->out);
    firn_conn_close(c, true);
}

static void cmd_reset(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    struct firn_server *s = c->srv;
    if (s->handler->reset)
        s->handler->reset(s->handler->arg, c);
    firn_free(c->name);
    c->name = NULL;
    c->db = 0;
    c->out.resp = 2;
    c->reply_off = c->reply_skip = c->reply_skip_next = false;
    c->no_evict = c->no_touch = c->capa_redirect = false;
    c->capture = false;
    c->authenticated = !s->requirepass;
    firn_reply_simple(&c->out, "RESET");
}

static void cmd_time(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    (void)argc;
    (void)argv;
    uint64_t ms = firn_wall_ms(c->srv->env);
    firn_reply_array(&c->out, 2);
    firn_reply_bulk_u64(&c->out, ms / 1000);
    firn_reply_bulk_u64(&c->out, ms % 1000 * 1000);
}

static void cmd_command(struct firn_conn *c, size_t argc, const struct firn_slice *argv)
{
    firn_command_reply(c->srv->registry, &c->out, argc, argv);
}

/* --- the table */

#define FN(f) .fn = (void (*)(void))(f)
#define ANYTIME (FIRN_CMD_LOADING | FIRN_CMD_STALE)
#define COMMAND_SUB(n, a, since_, text, arguments)                                                 \
    {                                                                                              \
        .name = n, .arity = a, .flags = ANYTIME, .categories = FIRN_CAT_CONNECTION,                \
        .group = "server", .since = since_, .summary = text, .complexity = "O(N)",                 \
        .args = arguments, .tips = "nondeterministic_output_order", FN(cmd_command),               \
    }

static const struct firn_command command_commands[] = {
    COMMAND_SUB("count", 2, "2.8.13", "Returns a count of commands", NULL),
    COMMAND_SUB("docs", -2, "7.0.0", "Returns documentary information about commands",
                "[command-name ...]"),
    COMMAND_SUB("getkeys", -4, "2.8.13", "Extracts the key names from an arbitrary command",
                "command [arg ...]"),
    COMMAND_SUB("getkeysandflags", -4, "7.0.0",
                "Extracts the key names and access flags for an arbitrary command",
                "command [arg ...]"),
    COMMAND_SUB("help", 2, "5.0.0", "Returns helpful text about the different subcommands", NULL),
    COMMAND_SUB("info", -2, "2.8.13", "Returns information about one, multiple or all commands",
                "[command-name ...]"),
    COMMAND_SUB("list", -2, "7.0.0", "Returns a list of command names",
                "[FILTERBY (filterby=MODULE module-name|ACLCAT category|PATTERN pattern:p)]"),
};

#define CONNECTION(n, a, f, since_, text, arguments)                                               \
    .name = n, .arity = a, .flags = FIRN_CMD_NOSCRIPT | ANYTIME | (f),                             \
    .categories = FIRN_CAT_CONNECTION, .group = "connection", .since = since_, .summary = text,    \
    .complexity = "O(1)", .args = arguments

const struct firn_command firn_conn__commands[] = {
    {CONNECTION("auth", -2,
                FIRN_CMD_FAST | FIRN_CMD_NO_AUTH | FIRN_CMD_SENSITIVE | FIRN_CMD_ALLOW_BUSY,
                "1.0.0", "Authenticates the connection", "[username] password"),
     FN(cmd_auth)},
    {.name = "client",
     .arity = -2,
     .subcommands = firn_conn__client_commands,
     .nsubcommands = FIRN_CLIENT_COMMANDS,
     .group = "connection",
     .since = "2.4.0",
     .summary = "A container for client connection commands",
     .complexity = "Depends on subcommand."},
    {.name = "command",
     .arity = -1,
     .flags = ANYTIME,
     .categories = FIRN_CAT_CONNECTION,
     .subcommands = command_commands,
     .nsubcommands = sizeof command_commands / sizeof command_commands[0],
     .group = "server",
     .since = "2.8.13",
     .summary = "Returns detailed information about all commands",
     .complexity = "O(N) where N is the total number of commands",
     .tips = "nondeterministic_output_order",
     FN(cmd_command)},
    {.name = "echo",
     .arity = 2,
     .flags = ANYTIME | FIRN_CMD_FAST,
     .categories = FIRN_CAT_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .summary = "Returns the given string",
     .complexity = "O(1)",
     .args = "message",
     FN(cmd_echo)},
    {CONNECTION("hello", -1,
                FIRN_CMD_FAST | FIRN_CMD_NO_AUTH | FIRN_CMD_SENSITIVE | FIRN_CMD_ALLOW_BUSY,
                "6.0.0", "Handshakes with the server",
                "[arguments=protover:i [AUTH username password] [SETNAME clientname]]"),
     FN(cmd_hello)},
    {.name = "ping",
     .arity = -1,
     .flags = FIRN_CMD_FAST | FIRN_CMD_IN_SUBSCRIBE,
     .categories = FIRN_CAT_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .summary = "Returns the server's liveliness response",
     .complexity = "O(1)",
     .args = "[message]",
     .tips = "request_policy:all_shards response_policy:all_succeeded",
     FN(cmd_ping)},
    {CONNECTION("quit", -1,
                FIRN_CMD_FAST | FIRN_CMD_NO_AUTH | FIRN_CMD_ALLOW_BUSY | FIRN_CMD_NO_CAPTURE |
                    FIRN_CMD_IN_SUBSCRIBE,
                "1.0.0", "Closes the connection", NULL),
     FN(cmd_quit)},
    {CONNECTION("reset", 1,
                FIRN_CMD_FAST | FIRN_CMD_NO_AUTH | FIRN_CMD_ALLOW_BUSY | FIRN_CMD_NO_CAPTURE |
                    FIRN_CMD_IN_SUBSCRIBE,
                "6.2.0", "Resets the connection", NULL),
     FN(cmd_reset)},
    {.name = "select",
     .arity = 2,
     .flags = ANYTIME | FIRN_CMD_FAST,
     .categories = FIRN_CAT_CONNECTION,
     .group = "connection",
     .since = "1.0.0",
     .summary = "Changes the selected database",
     .complexity = "O(1)",
     .args = "index:i",
     FN(cmd_select)},
    {.name = "time",
     .arity = 1,
     .flags = ANYTIME | FIRN_CMD_FAST,
     .group = "server",
     .since = "2.6.0",
     .summary = "Returns the server time",
     .complexity = "O(1)",
     .tips = "nondeterministic_output",
     FN(cmd_time)},
};
const size_t firn_conn__ncommands = sizeof firn_conn__commands / sizeof firn_conn__commands[0];
