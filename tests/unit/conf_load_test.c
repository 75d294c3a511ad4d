/* Loading settings: precedence, files, environment, flags, messages, secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"

#include <stdio.h>

#define MS UINT64_C(1000000)

struct file {
    const char *path, *text;
    bool exposed;
};

static const struct file files[] = {
    {"/etc/firn.conf",
     "# a comment\n\n  port 7000\nwal-interval   20ms  \r\ninclude more.conf\nfreshness 5s\n"
     "pin-ttl 1min\nslice-bytes-min 2mb\n",
     true},
    {"/etc/more.conf", "port 7001\nbind \"10.0.0.1,  ::1 \"\nrequirepass \"\"\nread-timeout 2s",
     true},
    {"/etc/loop.conf", "include /etc/loop.conf\n", false},
    {"/etc/typo.conf", "port 7000\nprot 7001\n", false},
    {"/etc/range.conf", "\nwal-interval 11s\n", false},
    {"/etc/other-range.conf", "partition-bytes 1\n", false},
    {"/etc/quote.conf", "node-id \"a\\\"b\n", false},
    {"/etc/novalue.conf", "port\n", false},
    {"/etc/once.conf", "once yes\n", false},
    {"/etc/secret.conf", "requirepass \"a \\\"quoted\\\\ one\"\n", false},
    {"/etc/secret-seen.conf", "requirepass hush\n", true},
    {"/etc/pass", "from-file\r\nsecond line\n", false},
    {"/etc/pass-seen", "from-file\n", true},
};

static enum firn_status read_file(void *arg, const char *path, struct firn_buf *out, bool *exposed,
                                  struct firn_err *err)
{
    (void)arg;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(files[i].path, path) == 0) {
            *exposed = files[i].exposed;
            return firn_buf_append(out, files[i].text, strlen(files[i].text));
        }
    }
    return firn_fail(err, FIRN_ABSENT, "no such file");
}

/* Load with up to 8 arguments and 4 variables, NULL-terminated lists. */
static enum firn_status load(enum firn_conf_role role, const char *const *args,
                             const char *const *env, struct firn_settings *s, struct firn_err *err)
{
    char *argv[10] = {(char *)(uintptr_t) "prog"}, *envp[5] = {NULL};
    struct firn_conf_source src = {.argc = 1, .argv = argv, .envp = envp, .read_file = read_file};
    for (; args && args[src.argc - 1]; src.argc++)
        argv[src.argc] = (char *)(uintptr_t)args[src.argc - 1];
    for (int i = 0; env && env[i]; i++)
        envp[i] = (char *)(uintptr_t)env[i];
    err->text[0] = '\0';
    return firn_conf_load(role, &src, s, err);
}

#define ARGS(...) ((const char *const[]){"--store", "file:///x", __VA_ARGS__, NULL})
#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void refused(enum firn_conf_role role, const char *const *args, const char *const *env,
                    const char *message)
{
    struct firn_settings s;
    struct firn_err err;
    enum firn_status st = load(role, args, env, &s, &err);
    if (st != FIRN_INVALID || !strstr(err.text, message))
        fail_msg("wanted \"%s\", got %s \"%s\"", message, firn_status_name(st), err.text);
}

static void defaults(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err;
    assert_int_equal(load(FIRN_CONF_WRITER, ARGS(NULL), NULL, &s, &err), FIRN_OK);
    assert_string_equal(s.store, "file:///x");
    assert_int_equal(s.port, 6379);
    assert_int_equal(s.wal_interval_ns, 50 * MS);
    assert_int_equal(s.wal_batch_bytes, 8 << 20);
    assert_int_equal(s.commit_timeout_ns, 1500 * MS);
    assert_int_equal(s.wal_grace_ns, 900000 * MS);
    assert_string_equal(s.bind, "127.0.0.1 ::1");
    assert_true(s.protected_mode && !s.once);
    assert_int_equal(firn_conf_origin_of(&s, "store"), FIRN_CONF_FLAG);
    assert_int_equal(firn_conf_origin_of(&s, "port"), FIRN_CONF_DEFAULT);
    firn_settings_deinit(&s);
}

static void flags_over_environment_over_file(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err;
    enum firn_status st = load(
        FIRN_CONF_WRITER, ARGS("--config", "/etc/firn.conf", "--FRESHNESS=7s", "--protected-mode"),
        ENV("FIRN_FRESHNESS=6s", "FIRN_WAL_INTERVAL=30ms", "PATH=/bin", "FIRN_TEST_X=1"), &s, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(st, FIRN_OK);
    assert_int_equal(s.port, 7001);               /* the included file's line came last */
    assert_int_equal(s.wal_interval_ns, 30 * MS); /* environment over file */
    assert_int_equal(s.freshness_ns, 7000 * MS);  /* flag over both */
    assert_int_equal(s.read_timeout_ns, 2000 * MS);
    assert_string_equal(s.bind, "10.0.0.1 ::1");
    assert_int_equal(s.slice_bytes_min, 1 << 20); /* the compactor's: checked and ignored */
    assert_int_equal(firn_conf_origin_of(&s, "port"), FIRN_CONF_FILE);
    assert_int_equal(firn_conf_origin_of(&s, "wal-interval"), FIRN_CONF_ENVIRONMENT);
    const char *at = s.bind;
    struct firn_slice word;
    assert_true(firn_conf_word(&at, &word) && firn_slice_ieq(word, "10.0.0.1"));
    assert_true(firn_conf_word(&at, &word) && firn_slice_ieq(word, "::1"));
    assert_false(firn_conf_word(&at, &word));
    firn_settings_deinit(&s);
    st = load(FIRN_CONF_READER, NULL, ENV("FIRN_CONFIG=/etc/firn.conf", "FIRN_STORE=s3://b/p"), &s,
              &err);
    assert_int_equal(st, FIRN_OK);
    assert_string_equal(s.store, "s3://b/p");
    assert_int_equal(s.port, 7001);
    firn_settings_deinit(&s);
}

static void units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } t[] = {{"0", 0},
             {"0s", 0},
             {"1ns", 1},
             {"7us", 7000},
             {"9MS", 9 * MS},
             {"2s", 2000 * MS},
             {"3min", 180000 * MS},
             {"1h", 3600000 * MS},
             {"1d", 86400000 * MS}};
    static const struct {
        const char *text;
        uint64_t bytes;
    } z[] = {{"4096", 4096},  {"4kb", 4096},      {"5k", 5000},   {"1mb", 1 << 20},
             {"1M", 1000000}, {"32MB", 32 << 20}, {"5000b", 5000}};
    struct firn_settings s;
    struct firn_err err;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(load(FIRN_CONF_READER, ARGS("--freshness", t[i].text), NULL, &s, &err), 0);
        assert_int_equal(s.freshness_ns, t[i].ns);
        firn_settings_deinit(&s);
    }
    for (size_t i = 0; i < sizeof z / sizeof *z; i++) {
        assert_int_equal(
            load(FIRN_CONF_WRITER, ARGS("--wal-batch-bytes", z[i].text), NULL, &s, &err), 0);
        assert_int_equal(s.wal_batch_bytes, z[i].bytes);
        firn_settings_deinit(&s);
    }
    assert_int_equal(load(FIRN_CONF_WRITER, ARGS("--memory", "0", "--heartbeat=0"), NULL, &s, &err),
                     0);
    firn_settings_deinit(&s);
}

static void bad_values_name_place_and_range(void **state)
{
    (void)state;
    enum firn_conf_role w = FIRN_CONF_WRITER;
    refused(w, ARGS("--config", "/etc/typo.conf"), NULL,
            "/etc/typo.conf:2: unknown setting \"prot\"");
    refused(w, ARGS("--config", "/etc/range.conf"), NULL,
            "/etc/range.conf:2: wal-interval: \"11s\" is out of range; allowed: 0 to 10s");
    refused(w, ARGS("--config", "/etc/other-range.conf"), NULL,
            "/etc/other-range.conf:1: partition");
    refused(w, ARGS("--config", "/etc/quote.conf"), NULL, "quote.conf:1: the quotes do not match");
    refused(w, ARGS("--config", "/etc/novalue.conf"), NULL, "novalue.conf:1: port has no value");
    refused(w, ARGS("--config", "/etc/loop.conf"), NULL, "include each other");
    refused(FIRN_CONF_COMPACTOR, ARGS("--config", "/etc/once.conf"), NULL,
            "cannot be set in a file");
    refused(w, ARGS("--port", "65536"), NULL,
            "--port: port: \"65536\" is out of range; allowed: 0 or "
            "1 to 65535");
    refused(w, ARGS("--port", "99999999999999999999"), NULL, "is out of range");
    refused(w, ARGS("--wal-batch-bytes", "99999999tb"), NULL, "allowed: 4kb to 64mb");
    refused(w, ARGS("--port", "63x"), NULL, "is not a number");
    refused(w, ARGS("--port="), NULL, "is not a number");
    refused(w, ARGS("--wal-interval", "50"), NULL, "wants a unit");
    refused(w, ARGS("--memory", "1mb"), NULL, "allowed: 0 or 32mb to 64tb");
    refused(w, ARGS("--ack", "sometimes"), NULL, "allowed: durable or applied");
    refused(w, ARGS("--codec", "lz"), NULL, "allowed: lz4, zstd or none");
    refused(w, ARGS("--protected-mode", "maybe"), NULL, "neither yes nor no");
    refused(w, ARGS("--node-id", "a b"), NULL, "not allowed");
    refused(w, ARGS("--wal-grace", "5s"), NULL, "allowed: 20s to 7d");
    refused(w, ARGS("--nosuch", "1"), NULL, "--nosuch: unknown setting");
    refused(w, ARGS("--port"), NULL, "--port: needs a value");
    refused(w, ARGS("--port", "--ack"), NULL, "--port: needs a value");
    refused(w, ARGS("serve"), NULL, "serve: not a setting");
    refused(w, ENV("--port", "7000"), NULL, "--store is missing");
    refused(w, ARGS(NULL), ENV("FIRN_PORT=tcp://10.0.0.1:6379"), "FIRN_PORT: port: ");
    refused(w, ARGS(NULL), ENV("FIRN_SERVICE_HOST=10.0.0.1"), "enableServiceLinks");
    refused(FIRN_CONF_READER, ARGS("--wal-interval", "5ms"), NULL,
            "the reader has no such setting");
    refused(w, ARGS("--batch-bytes-max", "1mb"), NULL,
            "value-max must not be above batch-bytes-max");
    struct firn_settings s;
    struct firn_err err;
    assert_int_equal(load(w, ARGS("--config", "/none"), NULL, &s, &err), FIRN_ABSENT);
    assert_string_equal(err.text, "--config: /none: no such file");
}

static void secrets(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err;
    enum firn_conf_role w = FIRN_CONF_WRITER;
    assert_int_equal(load(w, ARGS("--config", "/etc/secret.conf"), NULL, &s, &err), FIRN_OK);
    assert_string_equal(s.requirepass, "a \"quoted\\ one");
    firn_settings_deinit(&s);
    assert_int_equal(load(w, ARGS("--requirepass-file", "/etc/pass"), NULL, &s, &err), FIRN_OK);
    assert_string_equal(s.requirepass, "from-file");
    firn_settings_deinit(&s);
    assert_int_equal(load(w, ARGS(NULL), ENV("FIRN_REQUIREPASS_FILE=/etc/pass"), &s, &err),
                     FIRN_OK);
    assert_string_equal(s.requirepass, "from-file");
    firn_settings_deinit(&s);
    refused(w, ARGS("--requirepass", "hush"), NULL, "--requirepass-file");
    assert_int_equal(load(w, ARGS("--requirepass", "hush"), NULL, &s, &err), FIRN_INVALID);
    assert_null(strstr(err.text, "hush"));
    refused(w, ARGS("--config", "/etc/secret-seen.conf"), NULL, "others can read");
    refused(w, ARGS("--requirepass-file", "/etc/pass-seen"), NULL, "chmod 600 /etc/pass-seen");
    char big[600];
    memset(big, 's', sizeof big - 1);
    memcpy(big, "FIRN_REQUIREPASS=", 17);
    big[sizeof big - 1] = '\0';
    refused(w, ARGS(NULL), ENV(big), "requirepass: is too long");
    assert_int_equal(load(w, ARGS(NULL), ENV(big), &s, &err), FIRN_INVALID);
    assert_null(strstr(err.text, "sss"));
}

static void help_version_and_verbs(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err;
    assert_int_equal(load(FIRN_CONF_WRITER, ENV("--help"), ENV("FIRN_BAD=1"), &s, &err), FIRN_OK);
    assert_true(s.want_help && !s.want_version);
    firn_settings_deinit(&s);
    assert_int_equal(load(FIRN_CONF_READER, ENV("--version"), NULL, &s, &err), FIRN_OK);
    assert_true(s.want_version);
    firn_settings_deinit(&s);
    assert_int_equal(load(FIRN_CONF_CTL, ARGS("verify", "--deep"), NULL, &s, &err), FIRN_OK);
    assert_int_equal(s.argi, 3);
    firn_settings_deinit(&s);
    assert_int_equal(load(FIRN_CONF_COMPACTOR, ARGS("--once"), NULL, &s, &err), FIRN_OK);
    assert_true(s.once);
    firn_settings_deinit(&s);
}

static void short_memory_leaks_nothing(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err;
    enum firn_status st = FIRN_BUG;
    unsigned n = 1;
    for (; st != FIRN_OK && n < 1000; n++) {
        (void)firn_mem_fail_at(n, 0);
        st = load(FIRN_CONF_WRITER,
                  ARGS("--config", "/etc/firn.conf", "--requirepass-file", "/etc/pass"), NULL, &s,
                  &err);
    }
    (void)firn_mem_fail_at(0, 0);
    assert_true(n > 20 && st == FIRN_OK);
    firn_settings_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(flags_over_environment_over_file),
        cmocka_unit_test(units),
        cmocka_unit_test(bad_values_name_place_and_range),
        cmocka_unit_test(secrets),
        cmocka_unit_test(help_version_and_verbs),
        cmocka_unit_test(short_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
