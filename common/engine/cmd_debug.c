/* DEBUG, for tests of programs and of the server, behind the setting enable-debug-command. Nothing
 * in it stops the loop or harms data. */
#include "engine/cmd_priv.h"
#include "engine/text_priv.h"

#include "base/mem.h"
#include "obs/log.h"
#include "resp/glob.h"

#include <inttypes.h>
#include <stdio.h>

#define MATCH_LEN_MAX (INT64_C(1) << 20)
#define SLEEP_S_MAX 3600

static bool allowed(const struct firn_eval *x)
{
    switch (x->db->settings->enable_debug_command) {
    case FIRN_WHO_ALL:
        return true;
    case FIRN_WHO_LOCAL:
        return firn_conn_is_local(x->s->c);
    default:
        return false;
    }
}

static enum firn_status refuse(struct firn_eval *x)
{
    firn_reply_error(x->out,
                     "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                     "\"local\", you can run it from a local connection, otherwise you need to set "
                     "this option in the configuration file, and then restart the server.");
    return FIRN_INVALID;
}

/* ---- subcommands; each was given the arguments it wants */

static enum firn_status debug_error(struct firn_eval *x)
{
    firn_reply_error_slice(x->out, x->argv[2]);
    return FIRN_INVALID;
}

static enum firn_status debug_log(struct firn_eval *x)
{
    if (x->db->log)
        firn_log_event(x->db->log, FIRN_LOG_WARN, "DEBUG LOG", "message=%.*s",
                       (int)(x->argv[2].len < 256 ? x->argv[2].len : 256),
                       (const char *)x->argv[2].data);
    firn_reply_ok(x->out);
    return FIRN_OK;
}

static enum firn_status debug_object(struct firn_eval *x)
{
    struct firn_entry v;
    enum firn_status st = firn_engine__read_ready(x);
    if (st == FIRN_OK)
        st = firn_engine__get(x, x->argv[2], &v);
    if (st == FIRN_ABSENT) {
        firn_reply_error(x->out, "ERR no such key");
        return FIRN_INVALID;
    }
    if (st != FIRN_OK)
        return st;
    char text[160];
    (void)snprintf(text, sizeof text,
                   "Value at:0x0 refcount:1 encoding:%s serializedlength:%zu lru:0 "
                   "lru_seconds_idle:0 version:%" PRIu64 " expires_ms:%" PRIu64,
                   firn_engine__encoding(v.value), v.value.len, v.seqno, v.expiry_ms);
    firn_reply_simple(x->out, text);
    return FIRN_OK;
}

static enum firn_status debug_active_expire(struct firn_eval *x)
{
    x->db->expiry_paused = firn_slice_eq(x->argv[2], firn_slice_str("0"));
    firn_reply_ok(x->out);
    return FIRN_OK;
}

/* This connection sleeps; others go on. */
static enum firn_status debug_sleep(struct firn_eval *x)
{
    long double seconds;
    if (!firn_engine__parse_ld(x->argv[2], &seconds) || seconds < 0 || seconds > SLEEP_S_MAX) {
        firn_reply_error(x->out, "ERR value is not a valid float");
        return FIRN_INVALID;
    }
    uint64_t until = x->arrival_ns + (uint64_t)(seconds * (long double)FIRN_SEC);
    if (firn_boot_ns(x->db->env) >= until) {
        firn_reply_ok(x->out);
        return FIRN_OK;
    }
    struct firn_wait w = {.kind = FIRN_WAIT_SLEEP, .deadline_ns = until};
    return firn_engine__await(x, &w);
}

/* Does the pattern match so many times 'a'? For patterns that take long. */
static enum firn_status debug_stringmatch(struct firn_eval *x)
{
    int64_t len;
    enum firn_status st = firn_engine__arg_i64(x, 2, &len);
    if (st != FIRN_OK)
        return st;
    if (len < 0 || len > MATCH_LEN_MAX) {
        firn_reply_error(x->out, "ERR length must be between 0 and %" PRId64, MATCH_LEN_MAX);
        return FIRN_INVALID;
    }
    uint8_t *text = firn_malloc((size_t)len);
    if (!text)
        return FIRN_LIMIT;
    memset(text, 'a', (size_t)len);
    firn_reply_i64(x->out, firn_glob_match(x->argv[3], firn_slice_of(text, (size_t)len), false));
    firn_free(text);
    return FIRN_OK;
}

/* ---- PROTOCOL: a reply of each kind */

static void protocol_map(struct firn_reply *r)
{
    firn_reply_map(r, 3);
    for (int i = 0; i < 3; i++) {
        firn_reply_i64(r, i);
        firn_reply_bool(r, i == 1);
    }
}

static void protocol_elements(struct firn_reply *r)
{
    for (int i = 0; i < 3; i++)
        firn_reply_i64(r, i);
}

static void protocol_attribute(struct firn_reply *r)
{
    if (r->resp >= 3) {
        firn_reply_raw(r, "|1\r\n", 4);
        firn_reply_str(r, "key-popularity");
        firn_reply_array(r, 2);
        firn_reply_str(r, "key:123");
        firn_reply_i64(r, 90);
    }
    firn_reply_str(r, "Some real reply following the attribute");
}

static void protocol_push(struct firn_reply *r)
{
    if (r->resp < 3) {
        firn_reply_error(r, "ERR RESP2 is not supported by this command");
        return;
    }
    firn_reply_push(r, 2);
    firn_reply_str(r, "server-cpu-usage");
    firn_reply_i64(r, 42);
    firn_reply_str(r, "Some real reply following the push reply");
}

static enum firn_status debug_protocol(struct firn_eval *x)
{
    struct firn_reply *r = x->out;
    if (firn_engine__arg_is(x, 2, "string")) {
        firn_reply_str(r, "Hello World");
    } else if (firn_engine__arg_is(x, 2, "integer")) {
        firn_reply_i64(r, 12345);
    } else if (firn_engine__arg_is(x, 2, "double")) {
        firn_reply_double(r, 3.141);
    } else if (firn_engine__arg_is(x, 2, "null")) {
        firn_reply_null(r);
    } else if (firn_engine__arg_is(x, 2, "array")) {
        firn_reply_array(r, 3);
        protocol_elements(r);
    } else if (firn_engine__arg_is(x, 2, "set")) {
        firn_reply_set(r, 3);
        protocol_elements(r);
    } else if (firn_engine__arg_is(x, 2, "map")) {
        protocol_map(r);
    } else if (firn_engine__arg_is(x, 2, "attrib")) {
        protocol_attribute(r);
    } else if (firn_engine__arg_is(x, 2, "push")) {
        protocol_push(r);
    } else if (firn_engine__arg_is(x, 2, "bignum")) {
        firn_reply_bignum(r, "1234567999999999999999999999999999999");
    } else if (firn_engine__arg_is(x, 2, "true") || firn_engine__arg_is(x, 2, "false")) {
        firn_reply_bool(r, firn_engine__arg_is(x, 2, "true"));
    } else if (firn_engine__arg_is(x, 2, "verbatim")) {
        firn_reply_verbatim(r, "txt", firn_slice_str("This is a verbatim\nstring"));
    } else {
        firn_reply_error(r, "ERR Wrong protocol type name. Please use one of the following: "
                            "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|"
                            "true|false");
        return FIRN_INVALID;
    }
    return FIRN_OK;
}

/* ---- the command */

static enum firn_status debug_help(struct firn_eval *x);

static const struct {
    const char *name;
    size_t argc;
    enum firn_status (*fn)(struct firn_eval *x);
    const char *args, *text;
} subs[] = {
    {"error", 3, debug_error, " <string>", "Return <string> as an error."},
    {"help", 2, debug_help, "", "Prints this help."},
    {"log", 3, debug_log, " <message>", "Write <message> to the node's log."},
    {"object", 3, debug_object, " <key>", "Show encoding, length, version and expiry of a value."},
    {"protocol", 3, debug_protocol, " <type>", "Reply with a test value of the specified type."},
    {"set-active-expire", 3, debug_active_expire, " <0|1>",
     "0: no expired events are logged; keys are hidden when their time has come all the same."},
    {"sleep", 3, debug_sleep, " <seconds>", "Reply after <seconds>; other connections go on."},
    {"stringmatch-len", 4, debug_stringmatch, " <length> <pattern>",
     "Match <length> times the letter a."},
};

static enum firn_status debug_help(struct firn_eval *x)
{
    char line[128];
    size_t n = sizeof subs / sizeof *subs;
    firn_reply_array(x->out, 1 + 2 * n);
    firn_reply_simple(x->out, "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (size_t i = 0; i < n; i++) {
        size_t len = (size_t)snprintf(line, sizeof line, "%s%s", subs[i].name, subs[i].args);
        for (size_t k = 0; k < len && line[k] != ' '; k++)
            line[k] = line[k] >= 'a' && line[k] <= 'z' ? (char)(line[k] - 32) : line[k];
        firn_reply_simple(x->out, line);
        (void)snprintf(line, sizeof line, "    %s", subs[i].text);
        firn_reply_simple(x->out, line);
    }
    return FIRN_OK;
}

enum firn_status firn_engine__cmd_debug(struct firn_eval *x)
{
    if (!allowed(x))
        return refuse(x);
    for (size_t i = 0; i < sizeof subs / sizeof *subs; i++)
        if (x->argc == subs[i].argc && firn_engine__arg_is(x, 1, subs[i].name))
            return subs[i].fn(x);
    return firn_engine__subcommand_error(x);
}
