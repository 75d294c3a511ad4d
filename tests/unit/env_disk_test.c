/* The fake disk keeps the promises of env/disk.h, and no more: see fakes/fake_disk.h. */
#include "testing.h"

#include "env/disk.h"
#include "fakes/fake_disk.h"
#include "fakes/fake_env.h"
#include "fakes/fake_strike.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096
#define PAGES 16

struct fix {
    struct firn_fake_world *w;
    struct firn_fake_node *n;
    struct firn_disk_req r; /* the last one that was run */
    int done;
};

static void on_done(struct firn_disk_req *r)
{
    ((struct fix *)r->arg)->done++;
}

static bool is_done(void *arg)
{
    return ((struct fix *)arg)->done > 0;
}

static enum firn_status run(struct fix *f, enum firn_disk_op op)
{
    f->r.op = op;
    f->r.done = on_done;
    f->r.arg = f;
    f->done = 0;
    firn_disk_req_clear(&f->r);
    firn_disk_submit(firn_fake_disk(f->n), &f->r);
    assert_int_equal(f->done, 0);
    assert_true(firn_fake_run_until(f->w, is_done, f, 10 * FIRN_SEC));
    return f->r.status;
}

static void open_world(struct fix *f, uint64_t seed, struct firn_fake_faults faults)
{
    struct firn_fake_options o = {.seed = seed, .faults = faults};
    memset(f, 0, sizeof *f);
    f->w = firn_fake_world_new(&o);
    f->n = firn_fake_node_add(f->w, NULL);
}

static enum firn_status open_file(struct fix *f, const char *name, bool create)
{
    f->r.name = name;
    f->r.create = create;
    return run(f, FIRN_DISK_OPEN);
}

static enum firn_status write_at(struct fix *f, uint64_t at, const void *data, size_t len)
{
    f->r.offset = at;
    f->r.body = firn_slice_of(data, len);
    return run(f, FIRN_DISK_WRITE);
}

static enum firn_status read_at(struct fix *f, uint64_t at, void *into, size_t len)
{
    f->r.offset = at;
    f->r.into = into;
    f->r.length = len;
    enum firn_status s = run(f, FIRN_DISK_READ);
    f->r.length = 0;
    return s;
}

static enum firn_status rename_file(struct fix *f, const char *from, const char *to)
{
    f->r.name = from;
    f->r.to = to;
    return run(f, FIRN_DISK_RENAME);
}

static void reboot(struct fix *f, bool power)
{
    firn_fake_node_kill(f->n);
    f->n = firn_fake_node_restart(f->n, power);
    f->r.file = NULL;
}

static bool holds(struct fix *f, const char *name, const char *text)
{
    struct firn_slice body;
    return firn_fake_disk_get(f->n, name, &body) && firn_slice_eq(body, firn_slice_str(text));
}

static void test_files(void **state)
{
    (void)state;
    struct fix f;
    char text[20] = "";
    open_world(&f, 1, (struct firn_fake_faults){0});
    assert_int_equal(open_file(&f, "a", false), FIRN_ABSENT);
    assert_int_equal(open_file(&f, "../a", true), FIRN_INVALID);
    assert_int_equal(open_file(&f, "", true), FIRN_INVALID);
    assert_int_equal(open_file(&f, "a", true), FIRN_OK);
    f.r.body = firn_slice_str("hello");
    assert_int_equal(run(&f, FIRN_DISK_APPEND), FIRN_OK);
    assert_int_equal(f.r.offset, 0);
    f.r.body = firn_slice_str("!");
    assert_int_equal(run(&f, FIRN_DISK_APPEND), FIRN_OK);
    assert_int_equal(f.r.offset, 5);
    assert_int_equal(write_at(&f, 8, "x", 1), FIRN_OK);
    assert_int_equal(read_at(&f, 0, text, sizeof text), FIRN_OK);
    assert_int_equal(f.r.got, 9);
    assert_memory_equal(text, "hello!\0\0x", 9);
    assert_int_equal(read_at(&f, 9, text, 1), FIRN_OK);
    assert_int_equal(f.r.got, 0);
    assert_int_equal(run(&f, FIRN_DISK_SIZE), FIRN_OK);
    assert_int_equal(f.r.size, 9);
    struct firn_disk_file *a = f.r.file;
    assert_int_equal(open_file(&f, "b", true), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_LIST), FIRN_OK);
    assert_true(f.r.count == 2 && strcmp(f.r.entry[0].name, "a") == 0 && f.r.entry[0].size == 9);
    assert_int_equal(rename_file(&f, "b", "a"), FIRN_OK);
    assert_int_equal(rename_file(&f, "b", "a"), FIRN_ABSENT);
    assert_true(holds(&f, "a", ""));
    f.r.file = a; /* replaced, and still open */
    assert_int_equal(read_at(&f, 0, text, 5), FIRN_OK);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(run(&f, FIRN_DISK_CLOSE), FIRN_OK);
    f.r.name = "a";
    assert_int_equal(run(&f, FIRN_DISK_REMOVE), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_LIST), FIRN_OK);
    assert_int_equal(f.r.count, 0);
    firn_disk_req_clear(&f.r);
    firn_fake_world_free(f.w);
}

/* What was synced is there after a power failure; the rest, names included, is not. */
static void test_power_failure(void **state)
{
    (void)state;
    struct fix f;
    open_world(&f, 2, (struct firn_fake_faults){0});
    assert_int_equal(open_file(&f, "kept", true), FIRN_OK);
    assert_int_equal(write_at(&f, 0, "safe", 4), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC_DIR), FIRN_OK);
    assert_int_equal(write_at(&f, 2, "----", 4), FIRN_OK);
    reboot(&f, false); /* the process alone */
    assert_true(holds(&f, "kept", "sa----"));
    assert_int_equal(open_file(&f, "new", true), FIRN_OK);
    assert_int_equal(write_at(&f, 0, "new", 3), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_OK);
    assert_int_equal(rename_file(&f, "kept", "other"), FIRN_OK);
    reboot(&f, true);
    assert_true(holds(&f, "kept", "safe"));
    assert_false(holds(&f, "other", "safe") || holds(&f, "new", "new"));
    /* A replacement: the old one until the directory is synced, then the new one. */
    for (int synced = 0; synced < 2; synced++) {
        assert_int_equal(open_file(&f, "tmp", true), FIRN_OK);
        assert_int_equal(write_at(&f, 0, "next", 4), FIRN_OK);
        assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_OK);
        assert_int_equal(rename_file(&f, "tmp", "kept"), FIRN_OK);
        if (synced)
            assert_int_equal(run(&f, FIRN_DISK_SYNC_DIR), FIRN_OK);
        reboot(&f, true);
        assert_true(holds(&f, "kept", synced ? "next" : "safe"));
    }
    firn_fake_world_free(f.w);
}

/* Torn: any part of the pages written since the last sync, but nothing that was never written. */
static void test_torn(void **state)
{
    (void)state;
    size_t none = 0, all = 0, prefix = 0, mixed = 0, in_page = 0, named = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fix f;
        static uint8_t fill[PAGES * PAGE];
        struct firn_slice body;
        open_world(&f, seed, (struct firn_fake_faults){.disk_torn = 1000000});
        assert_int_equal(open_file(&f, "s", true), FIRN_OK);
        memset(fill, 'a', sizeof fill);
        assert_int_equal(write_at(&f, 0, fill, sizeof fill), FIRN_OK);
        assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_OK);
        assert_int_equal(run(&f, FIRN_DISK_SYNC_DIR), FIRN_OK);
        memset(fill, 'b', sizeof fill);
        assert_int_equal(write_at(&f, 0, fill, sizeof fill), FIRN_OK);
        assert_int_equal(rename_file(&f, "s", "t"), FIRN_OK);
        reboot(&f, true);
        bool t = firn_fake_disk_get(f.n, "t", &body);
        assert_true(t != firn_fake_disk_get(f.n, "s", &body)); /* one of them, not both */
        named += t;
        assert_int_equal(body.len, sizeof fill);
        size_t b = 0, changes = 0, odd = 0;
        for (size_t i = 0; i < body.len; i++) {
            assert_true(body.data[i] == 'a' || body.data[i] == 'b');
            b += body.data[i] == 'b';
            bool change = i && body.data[i] != body.data[i - 1];
            changes += change;
            odd += change && i % PAGE != 0;
        }
        none += b == 0;
        all += b == body.len;
        prefix += changes == 1 && body.data[0] == 'b';
        mixed += changes > 1;
        in_page += odd > 0;
        firn_fake_world_free(f.w);
    }
    assert_true(none + all < 50 && prefix > 10 && mixed > 50 && in_page > 50);
    assert_true(named > 50 && named < 150);
}

static void test_full(void **state)
{
    (void)state;
    struct fix f;
    static const char big[1000];
    open_world(&f, 3, (struct firn_fake_faults){0});
    firn_fake_disk_limit(f.n, 1500);
    assert_int_equal(open_file(&f, "a", true), FIRN_OK);
    assert_int_equal(write_at(&f, 0, big, 1000), FIRN_OK);
    assert_int_equal(write_at(&f, 0, big, 1000), FIRN_OK); /* in place */
    assert_int_equal(write_at(&f, 1000, big, 1000), FIRN_LIMIT);
    assert_int_equal(run(&f, FIRN_DISK_SIZE), FIRN_OK);
    assert_int_equal(f.r.size, 1500); /* a first part was */
    assert_int_equal(run(&f, FIRN_DISK_CLOSE), FIRN_OK);
    f.r.name = "a";
    assert_int_equal(run(&f, FIRN_DISK_REMOVE), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC_DIR), FIRN_OK);
    assert_int_equal(open_file(&f, "b", true), FIRN_OK);
    assert_int_equal(write_at(&f, 0, big, 1000), FIRN_OK);
    firn_fake_world_free(f.w);
}

static void test_rot_and_errors(void **state)
{
    (void)state;
    struct fix f;
    char text[8];
    open_world(&f, 4, (struct firn_fake_faults){0});
    struct firn_fake_faults *o = &firn_fake_options(f.w)->faults;
    assert_int_equal(open_file(&f, "a", true), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC_DIR), FIRN_OK);
    assert_int_equal(write_at(&f, 0, "abcdefgh", 8), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_OK);
    assert_true(firn_fake_disk_rot(f.n, "a", 2, 1));
    assert_false(firn_fake_disk_rot(f.n, "a", 8, 1));
    assert_true(holds(&f, "a", "abbdefgh"));
    o->disk_rot = 1000000;
    assert_int_equal(read_at(&f, 0, text, 8), FIRN_OK);
    assert_int_not_equal(memcmp(text, "abbdefgh", 8), 0);
    o->disk_rot = 0;
    o->disk_read_error = 1000000;
    assert_int_equal(read_at(&f, 0, text, 8), FIRN_CORRUPT);
    o->disk_read_error = 0;
    /* A sync that failed: a later good one does not bring back what it should have saved. */
    assert_int_equal(write_at(&f, 0, "ABCDEFGH", 8), FIRN_OK);
    o->disk_write_error = 1000000;
    assert_int_equal(write_at(&f, 0, "--------", 8), FIRN_UNCERTAIN);
    assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_UNCERTAIN);
    o->disk_write_error = 0;
    assert_int_equal(write_at(&f, 7, "!", 1), FIRN_OK);
    assert_int_equal(run(&f, FIRN_DISK_SYNC), FIRN_OK);
    reboot(&f, true);
    struct firn_slice body;
    assert_true(firn_fake_disk_get(f.n, "a", &body) && body.len == 8);
    assert_true(body.data[7] == '!' && body.data[0] >= 'a' && body.data[0] <= 'z');
    firn_fake_world_free(f.w);
}

/* Slow, and of a frozen, crashed and killed node. */
static void test_lives(void **state)
{
    (void)state;
    struct fix f;
    open_world(&f, 5, (struct firn_fake_faults){.disk_slow = 1000000});
    assert_int_equal(open_file(&f, "a", true), FIRN_OK);
    assert_true(firn_fake_now_ns(f.w) > 200 * 1000 && firn_fake_strikes(f.w, "disk-slow") == 1);
    firn_fake_options(f.w)->faults.disk_slow = 0;
    f.done = 0;
    f.r.op = FIRN_DISK_APPEND;
    f.r.body = firn_slice_str("x");
    firn_disk_submit(firn_fake_disk(f.n), &f.r);
    firn_fake_node_freeze(f.n);
    firn_fake_run_for(f.w, FIRN_SEC);
    assert_true(f.done == 0 && holds(&f, "a", "x"));
    firn_fake_node_thaw(f.n);
    firn_fake_run_for(f.w, FIRN_SEC);
    assert_int_equal(f.done, 1);
    struct firn_fake_node *ghost = f.n;
    firn_fake_node_crash(ghost);
    assert_int_equal(run(&f, FIRN_DISK_APPEND), FIRN_UNCERTAIN);
    assert_int_equal(run(&f, FIRN_DISK_CLOSE), FIRN_OK);
    f.n = firn_fake_node_restart(ghost, false);
    assert_true(holds(&f, "a", "x"));
    assert_int_equal(open_file(&f, "a", true), FIRN_OK);
    f.r.op = FIRN_DISK_APPEND;
    f.done = 0;
    firn_disk_submit(firn_fake_disk(f.n), &f.r);
    firn_fake_node_kill(f.n);
    firn_fake_run_for(f.w, FIRN_SEC);
    assert_true(f.done == 0 && holds(&f, "a", "x"));
    firn_fake_world_free(f.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),          cmocka_unit_test(test_power_failure),
        cmocka_unit_test(test_torn),           cmocka_unit_test(test_full),
        cmocka_unit_test(test_rot_and_errors), cmocka_unit_test(test_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
