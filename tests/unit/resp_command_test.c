/* The command table: lookup, keys, COMMAND; glob patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "resp/command.h"
#include "resp/command_priv.h"
#include "resp/glob.h"

#include <stdio.h>
#include <string.h>

static size_t every_other(size_t argc, const struct firn_slice *argv, struct firn_key_ref *out,
                          size_t max)
{
    size_t n = 0;
    if (firn_slice_ieq(argv[1], "bad"))
        return FIRN_KEYS_INVALID;
    for (size_t i = 1; i < argc; i += 2) {
        if (n < max)
            out[n] = (struct firn_key_ref){i, FIRN_KEY_RW};
        n++;
    }
    return n;
}

static const struct firn_command subs[] = {
    {.name = "encoding", .arity = 3, .keys = {{2, 2, 1, FIRN_KEY_RO}}, .since = "2.2.3"},
    {.name = "help", .arity = 2},
};

static const struct firn_command table[] = {
    {.name = "get",
     .arity = 2,
     .flags = FIRN_CMD_READONLY | FIRN_CMD_FAST,
     .categories = FIRN_CAT_STRING,
     .keys = {{1, 1, 1, FIRN_KEY_RO | FIRN_KEY_ACCESS}},
     .group = "string",
     .since = "1.0.0",
     .summary = "Returns",
     .args = "key"},
    {.name = "mset", .arity = -3, .keys = {{1, -1, 2, FIRN_KEY_OW | FIRN_KEY_UPDATE}}},
    {.name = "rename", .arity = 3, .keys = {{1, 1, 1, FIRN_KEY_RW}, {2, 2, 1, FIRN_KEY_OW}}},
    {.name = "kv.explain", .arity = -2, .getkeys = every_other},
    {.name = "kv.explode", .arity = 1},
    {.name = "object", .arity = -2, .subcommands = subs, .nsubcommands = 2},
};

static struct firn_registry *make(void)
{
    struct firn_registry *g;
    struct firn_err err = {0};
    assert_int_equal(firn_registry_create(&g), FIRN_OK);
    assert_int_equal(firn_registry_add(g, table, sizeof table / sizeof table[0], false, &err),
                     FIRN_OK);
    return g;
}

static const char *found(struct firn_registry *g, const char *name)
{
    struct firn_command_entry *e = firn_registry_find(g, firn_slice_str(name));
    return e ? e->name : "";
}

static void lookup(void **state)
{
    (void)state;
    struct firn_registry *g = make();
    assert_string_equal(found(g, "get"), "get");
    assert_string_equal(found(g, "GeT"), "get");
    assert_string_equal(found(g, "KV.EXPLAIN"), "kv.explain");
    assert_string_equal(found(g, "kv.explode"), "kv.explode");
    assert_string_equal(found(g, "kv.explodf"), "");
    assert_string_equal(found(g, "\x07"
                                 "et"),
                        ""); /* 'G' without bit 6: only letters fold */
    assert_string_equal(found(g, "kvNexplain"), "");
    assert_string_equal(found(g, "ge"), "");
    assert_string_equal(found(g, "gett"), "");
    assert_string_equal(found(g, ""), "");
    assert_null(firn_registry_find(g, firn_slice_of("get\0", 4)));
    struct firn_command_entry *parent;
    struct firn_slice argv[] = {firn_slice_str("OBJECT"), firn_slice_str("Encoding")};
    assert_string_equal(firn_registry_resolve(g, 2, argv, &parent)->name, "object|encoding");
    assert_string_equal(firn_registry_resolve(g, 1, argv, &parent)->name, "object");
    argv[1] = firn_slice_str("get"); /* a command, but not of this container */
    assert_null(firn_registry_resolve(g, 2, argv, &parent));
    assert_string_equal(parent->name, "object");
    assert_string_equal(firn_registry_find_full(g, firn_slice_str("object|HELP"))->name,
                        "object|help");
    assert_int_equal(firn_registry_commands(g), 6);
    assert_int_equal(firn_registry_count(g), 8);
    struct firn_err err = {0};
    assert_int_equal(firn_registry_add(g, table, 1, false, &err), FIRN_INVALID);
    assert_non_null(strstr(err.text, "'get' is registered twice"));
    firn_registry_free(g);
}

static void many(void **state)
{
    (void)state;
    static char names[400][16];
    static struct firn_command big[400];
    for (int i = 0; i < 400; i++) {
        (void)snprintf(names[i], sizeof names[i], i % 2 ? "c%d" : "command%d", i);
        big[i] = (struct firn_command){.name = names[i], .arity = 1};
    }
    struct firn_registry *g = make();
    assert_int_equal(firn_registry_add(g, big, 400, false, NULL), FIRN_OK);
    for (int i = 0; i < 400; i++)
        assert_string_equal(found(g, names[i]), names[i]);
    assert_string_equal(found(g, "get"), "get");
    firn_registry_free(g);
}

/* The reply to a COMMAND line of blank-separated words. */
static const char *ask(struct firn_registry *g, uint8_t resp, const char *line)
{
    static char text[4096];
    static char words[256];
    struct firn_slice argv[16];
    size_t argc = 0;
    (void)snprintf(words, sizeof words, "%s", line);
    char *rest = words, *w;
    while ((w = strsep(&rest, " ")))
        argv[argc++] = firn_slice_str(w);
    struct firn_reply r;
    firn_reply_init(&r, 1 << 20, resp);
    firn_command_reply(g, &r, argc, argv);
    assert_false(r.failed);
    assert_true(r.buf.len < sizeof text);
    memcpy(text, r.buf.data, r.buf.len);
    text[r.buf.len] = '\0';
    firn_reply_clear(&r);
    return text;
}

static void getkeys(void **state)
{
    (void)state;
    struct firn_registry *g = make();
    assert_string_equal(ask(g, 2, "command getkeys get k"), "*1\r\n$1\r\nk\r\n");
    assert_string_equal(ask(g, 2, "command getkeys mset a 1 b 2"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_string_equal(ask(g, 2, "command getkeys rename a b"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_string_equal(ask(g, 2, "command getkeys object encoding x"), "*1\r\n$1\r\nx\r\n");
    assert_string_equal(ask(g, 2, "command getkeys kv.explain a b c"),
                        "*2\r\n$1\r\na\r\n$1\r\nc\r\n");
    assert_string_equal(ask(g, 3, "command getkeysandflags get k"),
                        "*1\r\n*2\r\n$1\r\nk\r\n~2\r\n+RO\r\n+access\r\n");
    assert_string_equal(ask(g, 2, "command getkeys get a b"),
                        "-ERR Invalid number of arguments specified for command\r\n");
    assert_string_equal(ask(g, 2, "command getkeys kv.explode"),
                        "-ERR The command has no key arguments\r\n");
    assert_string_equal(ask(g, 2, "command getkeys kv.explain bad"),
                        "-ERR Invalid arguments specified for command\r\n");
    assert_string_equal(ask(g, 2, "command getkeys nope a"), "-ERR Invalid command specified\r\n");
    firn_registry_free(g);
}

static void info(void **state)
{
    (void)state;
    struct firn_registry *g = make();
    /* As redis-server 7.0.15 answers for its GET, element by element. */
    assert_string_equal(
        ask(g, 3, "command info get nope"),
        "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n+@"
        "read\r\n"
        "+@string\r\n+@fast\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n+access\r\n$12\r\n"
        "begin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n$5\r\nindex\r\n:"
        "1\r\n$9\r\n"
        "find_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:"
        "0\r\n$7\r\n"
        "keystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n~0\r\n_\r\n");
    assert_non_null(
        strstr(ask(g, 2, "command info rename"), "$6\r\nrename\r\n:3\r\n*0\r\n:1\r\n:2\r\n:1"));
    assert_non_null(
        strstr(ask(g, 2, "command info kv.explain"), "+movablekeys\r\n:0\r\n:0\r\n:0\r\n"));
    assert_string_equal(ask(g, 2, "command count"), ":6\r\n");
    assert_string_equal(ask(g, 2, "command list filterby pattern OBJ*"),
                        "*3\r\n$6\r\nobject\r\n$15\r\nobject|encoding\r\n$11\r\nobject|help\r\n");
    assert_string_equal(ask(g, 2, "command list filterby aclcat string"), "*1\r\n$3\r\nget\r\n");
    assert_string_equal(ask(g, 2, "command list filterby module x"), "*0\r\n");
    assert_string_equal(ask(g, 2, "command list filterby foo x"), "-ERR syntax error\r\n");
    assert_string_equal(
        ask(g, 3, "command docs get nope"),
        "%1\r\n$3\r\nget\r\n%4\r\n$7\r\nsummary\r\n$7\r\nReturns\r\n$5\r\nsince\r\n$5\r\n"
        "1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n$9\r\narguments\r\n*1\r\n%3\r\n$4\r\nname\r\n"
        "$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n");
    firn_registry_free(g);
}

static void arguments(void **state)
{
    (void)state;
    static const char *const good[] = {
        NULL,
        "",
        "key",
        "key value [condition=NX|XX] [GET] [EX seconds:i|PX milliseconds:i|KEEPTTL]",
        "n:i key ... [LIMIT offset:i count:i]",
        "[ID reqid] n:i (argc:i arg ...) ...",
        "(a|(b c)|D e) ...",
    };
    static const char *const bad[] = {
        "[", "key]", "(a|)", "a:x", "[]", "a:", "(((((((((((a)))))))))))"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(firn_command__args_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(firn_command__args_ok(bad[i]));
}

static bool glob(const char *pattern, const char *s)
{
    return firn_glob_match(firn_slice_str(pattern), firn_slice_str(s), false);
}

static void globs(void **state)
{
    (void)state;
    assert_true(glob("*", ""));
    assert_true(glob("a*c", "abbc"));
    assert_true(glob("a*b*c", "a-b-b-c"));
    assert_false(glob("a*b", "abc"));
    assert_true(glob("h?llo", "hallo"));
    assert_false(glob("h?llo", "hllo"));
    assert_true(glob("h[ae]llo", "hello"));
    assert_true(glob("h[^e]llo", "hallo"));
    assert_false(glob("h[^e]llo", "hello"));
    assert_true(glob("[a-c]*[x-z]", "b123y"));
    assert_true(glob("[c-a]", "b"));
    assert_true(glob("\\*x", "*x"));
    assert_false(glob("\\*x", "yx"));
    assert_true(glob("[\\]]", "]"));
    assert_true(glob("[a", "a"));
    assert_true(glob("", ""));
    assert_false(glob("", "a"));
    assert_true(glob("*****a", "bbba"));
    assert_true(firn_glob_match(firn_slice_str("GE*[R-T]"), firn_slice_str("gets"), true));
    assert_int_equal(firn_glob_prefix(firn_slice_str("user:*")), 5);
    assert_int_equal(firn_glob_prefix(firn_slice_str("abc")), 3);
    assert_int_equal(firn_glob_prefix(firn_slice_str("\\a")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup), cmocka_unit_test(many),      cmocka_unit_test(getkeys),
        cmocka_unit_test(info),   cmocka_unit_test(arguments), cmocka_unit_test(globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
