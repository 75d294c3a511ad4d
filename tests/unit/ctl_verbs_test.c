/* The verbs beside verify: what they print, and what they say when they cannot. */
#include "ctl_fixture.h"

#include "format/pin.h"

static int setup(void **state)
{
    struct fx *f = malloc(sizeof *f);
    fx_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fx_close(*state);
    free(*state);
    return 0;
}

static unsigned count_lines(const struct fx *f, const char *with)
{
    unsigned n = 0;
    for (const char *at = fx_text(f); (at = strstr(at, with)) != NULL; at++)
        n++;
    return n;
}

static enum firn_status parse(const char *words, struct firn_ctl_args *a, struct firn_err *err)
{
    char line[128], *argv[8], *at = line;
    int argc = 0;
    (void)snprintf(line, sizeof line, "%s", words);
    for (char *w; argc < 8 && (w = strsep(&at, " ")) != NULL;)
        argv[argc++] = w;
    return firn_ctl_parse(argc, argv, a, err);
}

static void words(void **state)
{
    static const char *const bad[] = {
        "frob",
        "manifest",
        "manifest hide",
        "manifest show --jso",
        "log",
        "log dump --from",
        "log dump --from 3",
        "log dump --from 3/x",
        "log ls --json",
        "log dump --to 3/4x",
        "table dump",
        "table dump a b",
        "verify all",
        "verify --json",
        "gc",
        "gc --wet-run",
        "set",
        "set history",
        "set history 1h now",
        "promote",
        "log dump --from 16777216/0",
    };
    struct firn_ctl_args a;
    struct firn_err err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err.text[0] = '\0';
        if (parse(bad[i], &a, &err) != FIRN_INVALID)
            fail_msg("accepted: %s", bad[i]);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(firn_ctl_parse(0, NULL, &a, &err), FIRN_INVALID);
    assert_int_equal(parse("log dump --from 3/4 --to 5/6 --values", &a, &err), FIRN_OK);
    assert_true(a.has_from && a.has_to && a.values && a.from.epoch == 3 && a.to.slot == 6);
    assert_int_equal(parse("set heartbeat -1", &a, &err), FIRN_OK); /* refused by the value */
}

static void usage(void **state)
{
    struct firn_buf b;
    (void)state;
    firn_buf_init(&b, 1 << 16);
    assert_int_equal(firn_ctl_usage(&b), FIRN_OK);
    assert_int_equal(firn_buf_append(&b, "", 1), FIRN_OK);
    static const char *const verb[] = {"manifest show", "log ls",  "log dump",
                                       "table dump",    "verify",  "gc",
                                       "set",           "promote", "upgrade"};
    for (size_t i = 0; i < sizeof verb / sizeof verb[0]; i++)
        assert_non_null(strstr((const char *)b.data, verb[i]));
    firn_buf_clear(&b);
}

static void manifest_show(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "manifest show"), 0);
    fx_expect(f, "writer             epoch 2, held by node-a (process 4200");
    fx_expect(f, "floor              1/4\n");
    fx_expect(f, "L0: 2 tables");
    fx_expect(f, "  w1-1  ");
    fx_expect(f, "400 entries, 40 tombstones, 1 range tombstones");
    fx_expect(f, "keys [db0 \"key:000000\", db0 \"key:000399\\x00\")  log [1/0, 1/2)");
    assert_true(strstr(fx_text(f), "w1-1 ") < strstr(fx_text(f), "w1-0 ")); /* newest first */
}

static void manifest_json(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "manifest show --json"), 0);
    fx_expect(f, "\"floor\":{\"epoch\":1,\"slot\":4}");
    fx_expect(f, "\"upper\":\"db0 \\\"key:000399\\\\x00\\\"\"");
    fx_expect(f, "\"min_seqno\":\"1099511");
    assert_null(strstr(fx_text(f), ",}"));
    assert_null(strstr(fx_text(f), "{,"));
    assert_null(strstr(fx_text(f), "}{"));
}

/* What can be shown is shown, and what is wrong is said. */
static void manifest_damaged(void **state)
{
    struct fx *f = *state;
    Firn__Manifest *m = fx_manifest(f);
    m->l0[1]->end->slot = 1;
    fx_put_manifest(f, m);
    assert_int_equal(fx_ctl(f, "manifest show"), 1);
    fx_expect(f, "L0: 2 tables");
    assert_non_null(strstr((const char *)f->said.data, "manifest: damaged: table w1-0 "));
    fx_damage(f, "manifest", 50, -1);
    assert_int_equal(fx_ctl(f, "manifest show"), 1);
    assert_non_null(strstr((const char *)f->said.data, "manifest: "));
    assert_true(firn_fake_delete(f->w, "manifest"));
    assert_int_equal(fx_ctl(f, "manifest show"), 1);
    assert_non_null(strstr((const char *)f->said.data, "there is no database at "));
}

static void log_ls(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "log ls"), 0);
    fx_expect(f, "# kept 1/0, floor 1/4, writer's epoch 2, 10 slots\n1/0\t");
    fx_expect(f, "1/6\t88\tseal\n2/0\t");
    assert_int_equal(count_lines(f, "\tbatch\n"), 9);
    /* An unsorted LIST is sorted; only from `kept` on. */
    firn_fake_options(f->w)->list_unsorted = true;
    firn_fake_options(f->w)->list_page = 3;
    Firn__Manifest *m = fx_manifest(f);
    m->kept->slot = 3;
    fx_put_manifest(f, m);
    assert_int_equal(fx_ctl(f, "log ls"), 0);
    fx_expect(f, "7 slots\n1/3\t");
    fx_expect(f, "1/6\t88\tseal\n2/0\t");
}

static void log_ls_headers(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 1, 5, name);
    fx_damage(f, name, 100, -1);
    assert_int_equal(fx_ctl(f, "log ls -v"), 0);
    fx_expect(f, "20 records");
    fx_expect(f, "by epoch 2  process 4200");
    assert_int_equal(count_lines(f, "damaged: "), 1);
    fx_expect(f, "2023-11-14T22:13:21.000Z"); /* 1700000001000 */
}

static void log_dump(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "log dump"), 0);
    assert_int_equal(count_lines(f, " PUT (set) db0 \"key:"), 2080);
    fx_expect(f, "\"key:000000\" 18 bytes\n");
    fx_expect(f, "1/6 seal\n2/0 batch");
    fx_expect(f, "2/3 empty: the log ends here\n");
    assert_int_equal(fx_ctl(f, "log dump --from 1/5 --to 2/1 --values"), 0);
    assert_int_equal(count_lines(f, " PUT (set) "), 40);
    fx_expect(f, "db0 \"key:000059\" \"value 59 of the key\"\n");
    assert_null(strstr(fx_text(f), "2/1"));
    assert_int_equal(fx_ctl(f, "log dump --from 1/6 --to 1/6"), 0);
    assert_int_equal(f->out.len, 1);
}

static void log_dump_damaged(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX];
    fx_name_slot(f, 1, 5, name);
    fx_damage(f, name, -1, -1);
    assert_int_equal(fx_ctl(f, "log dump"), 1);
    assert_non_null(strstr((const char *)f->said.data, name));
    assert_int_equal(count_lines(f, " PUT (set) "), 2060); /* all the others */
}

static void table_dump(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX], line[FIRN_NAME_MAX + 32];
    assert_int_equal(fx_ctl(f, "table dump w1-0"), 0);
    fx_expect(f, "  entries 400, tombstones 40, range tombstones 1, expiring ");
    fx_expect(f, "  block 1 at ");
    fx_expect(f, "  partition 2 at ");
    fx_expect(f, "index of partition 2: filter ");
    fx_expect(f, "[db0 \"key:000050\", db0 \"key:000060\")");
    assert_int_equal(count_lines(f, " PUT "), 360);
    assert_int_equal(count_lines(f, " DEL"), 40);
    fx_name_table(f, 0, name);
    (void)snprintf(line, sizeof line, "table dump %s --values", name);
    assert_int_equal(fx_ctl(f, line), 0);
    assert_int_equal(count_lines(f, "\"a value that is long enough for blocks\""), 360);
    fx_damage(f, name, 100, -1);
    assert_int_equal(fx_ctl(f, line), 1);
    fx_expect(f, "block 0 at 16 is damaged");
    assert_true(count_lines(f, " PUT ") > 200);
    fx_damage(f, name, -20, -1);
    assert_int_equal(fx_ctl(f, line), 1);
    assert_non_null(strstr((const char *)f->said.data, "footer at "));
    assert_int_equal(fx_ctl(f, "table dump w1-9"), 1);
    assert_non_null(strstr((const char *)f->said.data, "cannot read sst/"));
    assert_int_equal(fx_ctl(f, "table dump x1-9"), 1);
    assert_int_equal(fx_ctl(f, "table dump w1-9x"), 1);
}

static void gc(void **state)
{
    struct fx *f = *state;
    char name[FIRN_NAME_MAX], line[FIRN_NAME_MAX + 64];
    struct firn_table_name orphan = {FIRN_ROLE_WRITER, 1, 77};
    firn_name_table(name, firn_id_short(&f->db), &orphan);
    firn_fake_put(f->w, name, "x", 1);
    uint64_t puts = firn_fake_requests(f->w, FIRN_OS_PUT);
    assert_int_equal(fx_ctl(f, "gc --dry-run"), 0);
    (void)snprintf(line, sizeof line, "delete\t1\t%s\tnothing refers to it", name);
    fx_expect(f, line);
    fx_expect(f, "gc: kept 1/0 may be raised to 1/4");
    fx_expect(f, "\tmanifest\tthe manifest");
    fx_expect(f, "a seal: never deleted");
    fx_expect(f, " 1 to delete now (1 B)");
    assert_int_equal(firn_fake_requests(f->w, FIRN_OS_PUT), puts);
    assert_int_equal(firn_fake_requests(f->w, FIRN_OS_DELETE), 0);
    assert_int_equal(firn_fake_requests(f->w, FIRN_OS_DELETE_MANY), 0);
}

/* Garbage waits for its grace, and longer where a pin needs it. */
static void gc_garbage(void **state)
{
    struct fx *f = *state;
    struct firn_pin pin = {.db = f->db, .format = 1};
    uint8_t body[FIRN_PIN_BYTES];
    Firn__Manifest *m = fx_manifest(f);
    Firn__Garbage *g = firn_pb_garbage_new();
    g->role = FIRN__TABLE_ROLE__WRITER;
    g->epoch = 1;
    g->number = 0;
    g->version = m->version;
    assert_int_equal(firn_pb_insert(&m->garbage, &m->n_garbage, 0, g), FIRN_OK);
    firn_pb_table_free(firn_pb_remove((void **)m->l0, &m->n_l0, 1));
    m->l0_start->slot = 2;
    pin.version = m->version - 1;
    fx_put_manifest(f, m);
    assert_int_equal(fx_ctl(f, "gc --dry-run"), 0);
    fx_expect(f, "000000000000\tgarbage; waits for table-grace\n");
    firn_pin_encode(&pin, body);
    firn_fake_put(f->w, "pins/scan", body, sizeof body);
    assert_int_equal(fx_ctl(f, "gc --dry-run"), 0);
    fx_expect(f, "000000000000\tgarbage; a checkpoint, a reference or a pin still needs it\n");
    fx_expect(f, "\tpins/scan\ta pin");
}

static void set(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "set history 2h"), 0);
    fx_expect(f, "history is 7200000 as of version ");
    Firn__Manifest *m = fx_manifest(f);
    assert_int_equal(m->settings->history_ms, 7200000);
    firn_pb_manifest_free(m);
    assert_int_equal(fx_ctl(f, "set notify-keyspace-events KEA"), 0);
    m = fx_manifest(f);
    assert_string_equal(m->settings->notify_keyspace_events, "AKE");
    uint64_t version = m->version;
    firn_pb_manifest_free(m);
    static const char *const bad[] = {"set history x", "set value-max 1mb", "set port 1",
                                      "set frob 1", "set heartbeat -1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fx_ctl(f, bad[i]), 2);
        assert_true(f->said.len > 10);
    }
    m = fx_manifest(f);
    assert_int_equal(m->version, version);
    firn_pb_manifest_free(m);
    assert_true(firn_fake_delete(f->w, "manifest"));
    assert_int_equal(fx_ctl(f, "set history 1h"), 1);
    assert_non_null(strstr((const char *)f->said.data, "set history: "));
}

/* No answer, no permission: one line, exit status 1, for every verb. */
static void deny(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                 struct firn_fake_plan *plan)
{
    (void)n;
    (void)req;
    plan->fate = *(const enum firn_fake_fate *)arg;
}

static void upgrade(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "upgrade"), 0); /* it has the newest already */
    fx_expect(f, "the database has format 1 as of version");
    assert_int_equal(fx_ctl(f, "upgrade 2"), 2);
}

static void promote(void **state)
{
    struct fx *f = *state;
    assert_int_equal(fx_ctl(f, "promote node-b"), 0);
    fx_expect(f, "node node-b is wished for as of version");
    assert_int_equal(fx_ctl(f, "manifest show"), 0);
    fx_expect(f, "to be promoted     node-b");
    assert_int_equal(fx_ctl(f, "promote .."), 2);
    assert_non_null(strstr((const char *)f->said.data, "cannot be a node-id"));
    assert_int_equal(fx_ctl(f, "manifest show"), 0);
    fx_expect(f, "to be promoted     node-b");
}

static void store_fails(void **state)
{
    static const char *const verb[] = {"manifest show",   "log ls", "log dump",
                                       "table dump w1-0", "verify", "gc --dry-run",
                                       "set history 1h"};
    static enum firn_fake_fate fates[] = {FIRN_FAKE_DENIED, FIRN_FAKE_500};
    struct fx *f = *state;
    for (size_t i = 0; i < sizeof verb / sizeof verb[0]; i++) {
        for (size_t k = 0; k < 2; k++) {
            firn_fake_on_request(f->w, deny, &fates[k]);
            assert_int_equal(fx_ctl(f, verb[i]), 1);
            assert_true(f->said.len > 1 || strstr(fx_text(f), "error: "));
            firn_fake_on_request(f->w, NULL, NULL);
        }
    }
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(usage),
        T(manifest_show),
        T(manifest_json),
        T(manifest_damaged),
        T(log_ls),
        T(log_ls_headers),
        T(log_dump),
        T(log_dump_damaged),
        T(table_dump),
        T(gc),
        T(gc_garbage),
        T(set),
        T(promote),
        T(upgrade),
        T(store_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
