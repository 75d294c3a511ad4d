/* CONFIG GET, SET, REWRITE, reload; help and documentation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "conf/conf.h"

#include <stdio.h>

#define MS UINT64_C(1000000)

static struct firn_slice str(const char *s)
{
    return firn_slice_str(s);
}

static void add(void *arg, const char *name, struct firn_slice value)
{
    struct firn_buf *b = arg;
    assert_int_equal(firn_buf_printf(b, "%s=%.*s ", name, (int)value.len, (const char *)value.data),
                     FIRN_OK);
}

static void get_is(const struct firn_settings *s, enum firn_conf_role role, const char *pattern,
                   const char *want)
{
    struct firn_buf b;
    firn_buf_init(&b, 1 << 16);
    assert_int_equal(firn_conf_get(s, role, str(pattern), add, &b), FIRN_OK);
    assert_int_equal(firn_buf_append(&b, "", 1), FIRN_OK);
    assert_string_equal((char *)b.data, want);
    firn_buf_clear(&b);
}

static void config_get(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err = {0};
    assert_int_equal(firn_settings_init(&s), FIRN_OK);
    firn_free(s.requirepass);
    s.requirepass = firn_strdup("hush");
    enum firn_conf_role w = FIRN_CONF_WRITER;
    get_is(&s, w, "wal-interval", "wal-interval=50ms ");
    get_is(&s, w, "WAL-I*", "wal-interval=50ms wal-inflight=8 ");
    get_is(&s, w, "wal-[a-c]*s", "wal-batch-bytes=8mb ");
    get_is(&s, w, "wal-[^a-hj-z]*l", "wal-interval=50ms ");
    get_is(&s, w, "w?l-interva\\l", "wal-interval=50ms ");
    get_is(&s, w, "*pass", "requirepass= ");
    get_is(&s, w, "history", "history=0 ");
    get_is(&s, w, "wal-grace", "wal-grace=15min ");
    get_is(&s, w, "commit-timeout", "commit-timeout=1500ms ");
    get_is(&s, w, "protected-mode", "protected-mode=yes ");
    get_is(&s, w, "empty-value", "empty-value=keeps ");
    get_is(&s, w, "bind", "bind=127.0.0.1 ::1 ");
    get_is(&s, w, "save", "");
    get_is(&s, w, "", "");
    get_is(&s, w, "wal-[", "");
    get_is(&s, w, "*\\", "");
    get_is(&s, FIRN_CONF_READER, "wal-*", "");
    get_is(&s, FIRN_CONF_COMPACTOR, "l0-*", "l0-compact-tables=4 l0-force-tables=8 ");
    (void)err;
    firn_settings_deinit(&s);
}

/* What GET shows, SET takes, and GET shows the same. */
static void take_back(void *arg, const char *name, struct firn_slice value)
{
    struct firn_settings *s = arg;
    const struct firn_conf_def *d = firn_conf_find(firn_slice_str(name));
    struct firn_err err = {0};
    assert_non_null(d);
    if (!(d->flags & FIRN_CONF_LIVE) || d->scope == FIRN_CONF_MANIFEST)
        return;
    enum firn_status st = firn_conf_set(s, FIRN_CONF_WRITER, firn_slice_str(name), value, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(st, FIRN_OK);
}

static void get_and_set_agree(void **state)
{
    (void)state;
    struct firn_settings a, b;
    assert_int_equal(firn_settings_init(&a), FIRN_OK);
    assert_int_equal(firn_settings_init(&b), FIRN_OK);
    assert_int_equal(firn_conf_get(&a, FIRN_CONF_WRITER, str("*"), take_back, &b), FIRN_OK);
    struct firn_buf text;
    firn_buf_init(&text, 1 << 16);
    assert_int_equal(firn_conf_get(&a, FIRN_CONF_WRITER, str("*"), add, &text), FIRN_OK);
    assert_int_equal(firn_buf_append(&text, "", 1), FIRN_OK);
    get_is(&b, FIRN_CONF_WRITER, "*", (char *)text.data);
    firn_buf_clear(&text);
    firn_settings_deinit(&a);
    firn_settings_deinit(&b);
}

static void set_refused(struct firn_settings *s, const char *name, const char *value,
                        const char *why)
{
    struct firn_err err = {0};
    assert_int_equal(firn_conf_check(s, FIRN_CONF_WRITER, str(name), str(value), &err),
                     FIRN_INVALID);
    assert_non_null(strstr(err.text, why));
    err.text[0] = '\0';
    assert_int_equal(firn_conf_set(s, FIRN_CONF_WRITER, str(name), str(value), &err), FIRN_INVALID);
}

static void config_set(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err = {0};
    assert_int_equal(firn_settings_init(&s), FIRN_OK);
    enum firn_conf_role w = FIRN_CONF_WRITER;
    assert_int_equal(firn_conf_check(&s, w, str("freshness"), str("0"), &err), FIRN_OK);
    assert_int_equal(s.freshness_ns, 1000 * MS);
    assert_int_equal(firn_conf_set(&s, w, str("Freshness"), str("0"), &err), FIRN_OK);
    assert_int_equal(s.freshness_ns, 0);
    assert_int_equal(firn_conf_origin_of(&s, "freshness"), FIRN_CONF_RUNTIME);
    assert_int_equal(firn_conf_set(&s, w, str("ack"), str("APPLIED"), &err), FIRN_OK);
    assert_int_equal(s.ack, FIRN_ACK_APPLIED);
    assert_int_equal(firn_conf_set(&s, w, str("notify-keyspace-events"), str("KEx"), &err),
                     FIRN_OK);
    assert_string_equal(s.notify_keyspace_events, "xKE"); /* Redis's order */
    assert_int_equal(
        firn_conf_set(&s, w, str("notify-keyspace-events"), str("mEg$lshzxetdE"), &err), FIRN_OK);
    assert_string_equal(s.notify_keyspace_events, "AEm");
    assert_int_equal(firn_conf_find(str("notify-keyspace-events"))->scope, FIRN_CONF_COMMIT);
    static const char *const at_start[] = {
        "store", "endpoint",    "port",    "http-port",        "bind",
        "dir",   "requirepass", "node-id", "announce-address", "config"};
    for (size_t i = 0; i < sizeof at_start / sizeof *at_start; i++)
        set_refused(&s, at_start[i], "1", "only be set at start");
    set_refused(&s, "value-max", "1mb", "fixed when the database was created");
    set_refused(&s, "slice-bytes-min", "1mb", "unknown setting");
    set_refused(&s, "nosuch", "1", "unknown setting 'nosuch'");
    set_refused(&s, "freshness", "2", "wants a unit");
    set_refused(&s, "notify-keyspace-events", "KEq", "not allowed");
    set_refused(&s, "notify-keyspace-events", "K\nE", "control character");
    set_refused(&s, "l0-slow-tables", "65", "must not be above l0-refuse-tables");
    assert_int_equal(s.l0_slow_tables, 16);
    firn_settings_deinit(&s);
}

static void rewrite(void **state)
{
    (void)state;
    struct firn_settings s;
    struct firn_err err = {0};
    assert_int_equal(firn_settings_init(&s), FIRN_OK);
    enum firn_conf_role w = FIRN_CONF_WRITER;
    assert_int_equal(firn_conf_set(&s, w, str("freshness"), str("2000ms"), &err), FIRN_OK);
    assert_int_equal(firn_conf_set(&s, w, str("maxclients"), str("77"), &err), FIRN_OK);
    assert_int_equal(firn_conf_set(&s, w, str("heartbeat"), str("1s"), &err), FIRN_OK); /* (C) */
    struct firn_buf out;
    firn_buf_init(&out, 4096);
    assert_int_equal(firn_conf_rewrite(&s,
                                       str("# mine\nfreshness 1s\nFRESHNESS 3s\nport 1\n\n"
                                           "requirepass x"),
                                       &out),
                     FIRN_OK);
    assert_int_equal(firn_buf_append(&out, "", 1), FIRN_OK);
    assert_string_equal((char *)out.data,
                        "# mine\nport 1\n\nrequirepass x\nmaxclients 77\nfreshness 2s\n");
    firn_buf_clear(&out);
    firn_buf_init(&out, 10);
    assert_int_equal(firn_conf_rewrite(&s, str(""), &out), FIRN_LIMIT);
    firn_buf_clear(&out);
    firn_settings_deinit(&s);
}

static void note(void *arg, const char *name, bool applied)
{
    add(arg, name, firn_slice_str(applied ? "yes" : "no"));
}

static void reload(void **state)
{
    (void)state;
    struct firn_settings s, fresh;
    struct firn_err err = {0};
    assert_int_equal(firn_settings_init(&s), FIRN_OK);
    assert_int_equal(firn_settings_init(&fresh), FIRN_OK);
    fresh.port = 7000;
    fresh.freshness_ns = 5 * MS;
    fresh.read_timeout_ns = 77 * MS;
    fresh.value_max_bytes = 4096;
    firn_free(fresh.requirepass);
    fresh.requirepass = firn_strdup("new");
    assert_int_equal(firn_conf_set(&s, FIRN_CONF_WRITER, str("freshness"), str("9s"), &err),
                     FIRN_OK);
    struct firn_buf seen;
    firn_buf_init(&seen, 4096);
    assert_int_equal(firn_conf_reload(&s, &fresh, FIRN_CONF_WRITER, note, &seen), FIRN_OK);
    assert_int_equal(firn_buf_append(&seen, "", 1), FIRN_OK);
    assert_string_equal((char *)seen.data, "port=no requirepass=no read-timeout=yes ");
    assert_int_equal(s.port, 6379);
    assert_int_equal(s.freshness_ns, 9000 * MS);
    assert_int_equal(s.read_timeout_ns, 77 * MS);
    firn_buf_clear(&seen);
    firn_settings_deinit(&s);
    firn_settings_deinit(&fresh);
}

static void texts(void **state)
{
    (void)state;
    struct firn_buf b;
    firn_buf_init(&b, 1 << 18);
    assert_int_equal(firn_conf_help(FIRN_CONF_READER, "firn-reader", &b), FIRN_OK);
    assert_int_equal(firn_buf_append(&b, "", 1), FIRN_OK);
    assert_non_null(strstr((char *)b.data, "usage: firn-reader"));
    assert_non_null(strstr((char *)b.data, "--freshness"));
    assert_null(strstr((char *)b.data, "--wal-interval"));
    firn_buf_clear(&b);
    assert_int_equal(firn_conf_markdown(&b), FIRN_OK);
    assert_int_equal(firn_buf_append(&b, "", 1), FIRN_OK);
    assert_non_null(
        strstr((char *)b.data, "| `wal-interval` | `50ms` | 0 to 10s | W | CONFIG SET |"));
    assert_non_null(strstr((char *)b.data, "| `value-max` | `8mb` | 1kb to 8mb | W | fixed at"));
    firn_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_get), cmocka_unit_test(get_and_set_agree),
        cmocka_unit_test(config_set), cmocka_unit_test(rewrite),
        cmocka_unit_test(reload),     cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
