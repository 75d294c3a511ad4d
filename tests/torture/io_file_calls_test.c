/* The store in a directory while the n-th file call fails: EIO, ENOSPC, EINTR, or reads and writes
 * that do half. A write that says OK is there afterwards, one that says neither OK nor UNCERTAIN is
 * not, a read shows what may be there or fails and says why; and the next process finds it so. The
 * calls are taken by the linker (--wrap, see CMakeLists.txt). */
#include "testing.h"

#include "env/env.h"
#include "io_file/io_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the calls */

enum how { HALF = -1 }; /* otherwise an errno */

static _Atomic uint64_t calls, strike_at; /* 0: never */
static int strike_how;

/* Does this call fail? errno says how; false also for HALF of a call that has no half. */
static bool strikes(bool has_half, bool *half)
{
    uint64_t at = strike_at;
    if (at == 0 || ++calls != at)
        return false;
    *half = strike_how == HALF && has_half;
    if (strike_how == HALF)
        return false;
    errno = strike_how;
    return true;
}

#define WRAP(type, name, params, args)                                                             \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        bool half = false;                                                                         \
        return strikes(false, &half) ? -1 : __real_##name args;                                    \
    }
#define WRAP_BYTES(name, params, args)                                                             \
    ssize_t __real_##name params;                                                                  \
    ssize_t __wrap_##name params;                                                                  \
    ssize_t __wrap_##name params                                                                   \
    {                                                                                              \
        bool half = false;                                                                         \
        if (strikes(true, &half))                                                                  \
            return -1;                                                                             \
        n = half && n > 1 ? n / 2 : n;                                                             \
        return __real_##name args;                                                                 \
    }
WRAP_BYTES(write, (int fd, const void *p, size_t n), (fd, p, n))
WRAP_BYTES(read, (int fd, void *p, size_t n), (fd, p, n))
WRAP_BYTES(pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, openat, (int fd, const char *p, int flags, mode_t mode), (fd, p, flags, mode))
WRAP(int, renameat, (int a, const char *p, int b, const char *q), (a, p, b, q))
WRAP(int, renameat2, (int a, const char *p, int b, const char *q, unsigned f), (a, p, b, q, f))
WRAP(int, linkat, (int a, const char *p, int b, const char *q, int f), (a, p, b, q, f))
WRAP(int, unlinkat, (int fd, const char *p, int flags), (fd, p, flags))
WRAP(int, mkdirat, (int fd, const char *p, mode_t mode), (fd, p, mode))
WRAP(int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(int, fstatat, (int fd, const char *p, struct stat *st, int f), (fd, p, st, f))

/* ---- a loop of one request */

struct loop {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct firn_post *post;
    struct firn_poster poster;
};

static void post(void *ctx, struct firn_post *p)
{
    struct loop *l = ctx;
    (void)pthread_mutex_lock(&l->lock);
    p->link.next = NULL;
    struct firn_post *before = l->post;
    assert_null(before); /* one request at a time */
    l->post = p;
    (void)pthread_cond_signal(&l->more);
    (void)pthread_mutex_unlock(&l->lock);
}

struct fix {
    char dir[64], url[80];
    struct loop loop;
    struct firn_file *file;
    struct firn_objstore *store;
};

static void open_store(struct fix *f)
{
    struct firn_err err = {""};
    struct firn_file_options o = {.threads = 1, .allow_network_fs = true};
    if (firn_file_create(f->url, &f->loop.poster, &o, &f->file, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    f->store = firn_file_store(f->file);
}

static void on_done(struct firn_os_req *r)
{
    *(bool *)r->arg = true;
}

static enum firn_status call(struct fix *f, struct firn_os_req *r)
{
    bool done = false;
    r->done = on_done;
    r->arg = &done;
    firn_os_submit(f->store, r);
    while (!done) {
        (void)pthread_mutex_lock(&f->loop.lock);
        while (!f->loop.post)
            (void)pthread_cond_wait(&f->loop.more, &f->loop.lock);
        struct firn_post *p = f->loop.post;
        f->loop.post = NULL;
        (void)pthread_mutex_unlock(&f->loop.lock);
        p->fn(p->arg);
    }
    if (r->status != FIRN_OK && r->status != FIRN_ABSENT && r->status != FIRN_CONFLICT)
        assert_true(r->err.text[0]); /* says why */
    return r->status;
}

/* ---- what objects may hold: version numbers, 0 = absent */

struct object {
    const char *key;
    size_t bytes;
    unsigned may[2], n;
    char etag[FIRN_OS_ETAG_MAX];
};

static void fill(uint8_t *p, size_t n, unsigned version)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(version * 37 + i * 11 + i / 251);
}

static void became(struct object *o, unsigned version, enum firn_status s)
{
    if (s == FIRN_OK) {
        o->may[0] = version;
        o->n = 1;
    } else if (s == FIRN_UNCERTAIN) {
        assert_int_equal(o->n, 1); /* one call fails in a flow */
        o->may[o->n++] = version;
    }
}

static void put(struct fix *f, struct object *o, unsigned version, enum firn_os_cond cond)
{
    struct firn_os_req r;
    uint8_t *body = malloc(o->bytes);
    assert_non_null(body);
    fill(body, o->bytes, version);
    firn_os_req_init(&r);
    r.op = FIRN_OS_PUT;
    r.key = o->key;
    r.cond = cond;
    r.etag = cond == FIRN_OS_IF_MATCH ? o->etag : NULL;
    r.body = firn_slice_of(body, o->bytes);
    enum firn_status s = call(f, &r);
    became(o, version, s);
    if (s == FIRN_OK)
        (void)snprintf(o->etag, sizeof o->etag, "%s", r.reply_etag);
    firn_os_req_clear(&r);
    free(body);
}

static void get(struct fix *f, struct object *o, bool must)
{
    struct firn_os_req r;
    firn_os_req_init(&r);
    r.op = FIRN_OS_GET;
    r.key = o->key;
    enum firn_status s = call(f, &r);
    bool ok = s != FIRN_OK && s != FIRN_ABSENT && !must;
    for (unsigned i = 0; i < o->n && !ok; i++) {
        uint8_t *body = malloc(o->bytes);
        assert_non_null(body);
        fill(body, o->bytes, o->may[i]);
        ok = o->may[i] == 0 ? s == FIRN_ABSENT
                            : s == FIRN_OK && firn_slice_eq(firn_slice_of(body, o->bytes),
                                                            firn_buf_slice(&r.reply));
        free(body);
    }
    if (!ok)
        fail_msg("call %llu, %d: GET %s: %s, %zu bytes, expected version %u",
                 (unsigned long long)strike_at, strike_how, o->key, firn_status_name(s),
                 r.reply.len, o->may[o->n - 1]);
    firn_os_req_clear(&r);
}

static void drop(struct fix *f, struct object *o)
{
    struct firn_os_req r;
    firn_os_req_init(&r);
    r.op = FIRN_OS_DELETE;
    r.key = o->key;
    became(o, 0, call(f, &r));
    firn_os_req_clear(&r);
}

/* A name that is listed is one that may be there, one that must be is listed. */
static void list(struct fix *f, struct object *o, size_t n)
{
    struct firn_os_req r;
    firn_os_req_init(&r);
    r.op = FIRN_OS_LIST;
    r.key = "";
    if (call(f, &r) == FIRN_OK && !r.page.next)
        for (size_t i = 0; i < n; i++) {
            bool there = false;
            for (size_t k = 0; k < r.page.count; k++)
                there |= strcmp(r.page.entry[k].key, o[i].key) == 0;
            bool absent = o[i].may[0] == 0 || o[i].may[o[i].n - 1] == 0;
            bool present = o[i].may[0] != 0 || o[i].may[o[i].n - 1] != 0;
            if (!(there ? present : absent))
                fail_msg("call %llu, %d: LIST %s %s", (unsigned long long)strike_at, strike_how,
                         there ? "shows" : "does not show", o[i].key);
        }
    firn_os_req_clear(&r);
}

/* ---- a flow */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* How many calls it made. */
static uint64_t flow(uint64_t n, int how)
{
    struct fix f = {.dir = "/tmp/firn-file-torture-XXXXXX"};
    struct object o[] = {{"manifest", 700, {0}, 1, ""},
                         {"wal/1/2", 300000, {0}, 1, ""},
                         {"sst/a", 5000, {0}, 1, ""}};
    assert_non_null(mkdtemp(f.dir));
    (void)snprintf(f.url, sizeof f.url, "file://%s", f.dir);
    (void)pthread_mutex_init(&f.loop.lock, NULL);
    (void)pthread_cond_init(&f.loop.more, NULL);
    f.loop.poster = (struct firn_poster){post, &f.loop};
    open_store(&f);
    calls = 0;
    strike_how = how;
    strike_at = n;
    put(&f, &o[0], 1, FIRN_OS_IF_ABSENT);
    put(&f, &o[1], 2, FIRN_OS_IF_ABSENT);
    put(&f, &o[2], 3, FIRN_OS_ALWAYS);
    get(&f, &o[0], false);
    if (o[0].etag[0])
        put(&f, &o[0], 4, FIRN_OS_IF_MATCH);
    get(&f, &o[1], false);
    list(&f, o, 3);
    put(&f, &o[2], 5, FIRN_OS_ALWAYS);
    drop(&f, &o[1]);
    get(&f, &o[2], false);
    strike_at = 0;
    uint64_t made = calls;
    firn_file_free(f.file);
    open_store(&f);
    for (size_t i = 0; i < 3; i++)
        get(&f, &o[i], true);
    list(&f, o, 3);
    put(&f, &o[1], 6, FIRN_OS_ALWAYS);
    get(&f, &o[1], true);
    firn_file_free(f.file);
    (void)nftw(f.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return made;
}

static void every_call(int how)
{
    uint64_t n = 1;
    while (flow(n, how) >= n)
        n++;
    print_message("%llu calls\n", (unsigned long long)n - 1);
    assert_true(n > 20);
}

static void input_output_error(void **state)
{
    (void)state;
    every_call(EIO);
}

static void disk_full(void **state)
{
    (void)state;
    every_call(ENOSPC);
}

static void interrupted(void **state)
{
    (void)state;
    every_call(EINTR);
}

static void half_done(void **state)
{
    (void)state;
    every_call(HALF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_output_error),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(half_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
