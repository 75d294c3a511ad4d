/* The store in a directory: the port's semantics, races between processes, crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"
#include "env/env.h"
#include "io_file/io_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- a loop of the smallest kind */

struct pump {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct firn_list posts;
    struct firn_poster poster;
};

static void pump_post(void *ctx, struct firn_post *p)
{
    struct pump *u = ctx;
    (void)pthread_mutex_lock(&u->lock);
    firn_list_push(&u->posts, &p->link);
    (void)pthread_cond_signal(&u->more);
    (void)pthread_mutex_unlock(&u->lock);
}

static void pump_turn(struct pump *u)
{
    (void)pthread_mutex_lock(&u->lock);
    while (firn_list_empty(&u->posts))
        (void)pthread_cond_wait(&u->more, &u->lock);
    struct firn_post *p = FIRN_CONTAINER(firn_list_pop(&u->posts), struct firn_post, link);
    (void)pthread_mutex_unlock(&u->lock);
    p->fn(p->arg);
}

struct fix {
    char dir[64], url[80];
    struct pump pump;
    struct firn_file *file;
    struct firn_objstore *store;
};

/* The children of races open the same directory anew. */
static void fix_attach(struct fix *f)
{
    (void)pthread_mutex_init(&f->pump.lock, NULL);
    (void)pthread_cond_init(&f->pump.more, NULL);
    firn_list_init(&f->pump.posts);
    f->pump.poster = (struct firn_poster){pump_post, &f->pump};
    struct firn_err err = {{0}};
    struct firn_file_options o = {.threads = 4, .allow_network_fs = true};
    if (firn_file_create(f->url, &f->pump.poster, &o, &f->file, &err) != FIRN_OK)
        abort();
    f->store = firn_file_store(f->file);
}

static void fix_name(struct fix *f)
{
    memset(f, 0, sizeof *f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/firn-file-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->url, sizeof f->url, "file://%s", f->dir);
}

static void fix_open(struct fix *f)
{
    fix_name(f);
    fix_attach(f);
}

static void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        char path[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path) != 0)
            remove_tree(path);
    }
    if (d)
        (void)closedir(d);
    (void)rmdir(dir);
}

static void fix_close(struct fix *f)
{
    firn_file_free(f->file);
    remove_tree(f->dir);
}

struct call {
    struct firn_os_req req;
    int done;
};

static void on_done(struct firn_os_req *req)
{
    ((struct call *)req->arg)->done++;
}

static void start(struct fix *f, struct call *c, enum firn_os_op op, const char *key)
{
    c->done = 0;
    c->req.op = op;
    c->req.key = key;
    c->req.timeout_ns = FIRN_SEC;
    c->req.done = on_done;
    c->req.arg = c;
    firn_os_submit(f->store, &c->req);
}

static enum firn_status run(struct fix *f, struct call *c, enum firn_os_op op, const char *key)
{
    start(f, c, op, key);
    while (!c->done)
        pump_turn(&f->pump);
    return c->req.status;
}

static enum firn_status put_bytes(struct fix *f, enum firn_os_cond cond, const char *key,
                                  const char *etag, const void *data, size_t len)
{
    struct call c = {.req = {.cond = cond, .etag = etag, .body = firn_slice_of(data, len)}};
    enum firn_status s = run(f, &c, FIRN_OS_PUT, key);
    firn_os_req_clear(&c.req);
    return s;
}

static enum firn_status put(struct fix *f, enum firn_os_cond cond, const char *key,
                            const char *etag, const char *body)
{
    return put_bytes(f, cond, key, etag, body, strlen(body));
}

/* ---- URLs and names */

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *dir;
    } t[] = {
        {"file:///srv/firn", "/srv/firn"},
        {"file:///srv/firn//", "/srv/firn"},
        {"file:///a%20b/%C3%A4", "/a b/ä"},
        {"file://srv/firn", NULL},
        {"file:///", NULL},
        {"file://", NULL},
        {"s3://bucket/x", NULL},
        {"/srv/firn", NULL},
        {"file:///a/../b", NULL},
        {"file:///a/..", NULL},
        {"file:///a%2", NULL},
        {"file:///a%00b", NULL},
        {"file:///a%zz", NULL},
        {"file:///0123456789012345678901234567890123", NULL},
    };
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        char dir[32] = "";
        struct firn_err err = {{0}};
        enum firn_status s = firn_file_url_parse(t[i].url, dir, sizeof dir, &err);
        assert_int_equal(s, t[i].dir ? FIRN_OK : FIRN_INVALID);
        if (t[i].dir)
            assert_string_equal(dir, t[i].dir);
        else
            assert_non_null(strstr(err.text, t[i].url));
    }
    struct firn_file *f;
    struct firn_poster none = {0};
    struct firn_err err = {{0}};
    assert_int_equal(firn_file_create("file:///no/such/parent", &none, NULL, &f, &err),
                     FIRN_ABSENT);
    assert_non_null(strstr(err.text, "/no/such/parent"));
    err.text[0] = '\0';
    assert_int_not_equal(firn_file_create("file:///proc/1/firn", &none, NULL, &f, &err), FIRN_OK);
}

static void test_odd_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "/a",     "a/",   "a//b",  "..",
                                      "../x", "a/../b", "./a",  ".a",    ".firn-tmp/x",
                                      "a\\b", "a b",    "a\nb", "a\x7f", "a\xc3"};
    struct fix f;
    fix_open(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(put(&f, FIRN_OS_ALWAYS, bad[i], NULL, "x"), FIRN_INVALID);
        struct call c = {0};
        assert_int_equal(run(&f, &c, FIRN_OS_GET, bad[i]), FIRN_INVALID);
        assert_true(c.req.err.text[0]);
    }
    char longest[600];
    memset(longest, 'x', sizeof longest);
    longest[256] = '\0';
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, longest, NULL, "x"), FIRN_INVALID);
    longest[255] = '\0';
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, longest, NULL, "x"), FIRN_OK);
    /* A name above another one. */
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, "a/b", NULL, "x"), FIRN_OK);
    assert_int_equal(put(&f, FIRN_OS_IF_ABSENT, "a/b/c", NULL, "x"), FIRN_INVALID);
    struct call c = {0};
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "a"), FIRN_ABSENT);
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "a/b/c"), FIRN_ABSENT);
    assert_int_equal(run(&f, &c, FIRN_OS_DELETE, "a/b/c"), FIRN_OK);
    fix_close(&f);
}

/* ---- objects */

static void test_conditions(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    assert_int_equal(put(&f, FIRN_OS_IF_ABSENT, "wal/1/2", NULL, "one"), FIRN_OK);
    assert_int_equal(put(&f, FIRN_OS_IF_ABSENT, "wal/1/2", NULL, "two"), FIRN_CONFLICT);
    assert_int_equal(put(&f, FIRN_OS_IF_MATCH, "manifest", "\"x\"", "v1"), FIRN_ABSENT);
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, "manifest", NULL, "v1"), FIRN_OK);
    struct call g = {0};
    assert_int_equal(run(&f, &g, FIRN_OS_HEAD, "manifest"), FIRN_OK);
    assert_int_equal(g.req.size, 2);
    char etag[FIRN_OS_ETAG_MAX];
    (void)snprintf(etag, sizeof etag, "%s", g.req.reply_etag);
    assert_true(etag[0] == '"');
    g.req.cond = FIRN_OS_IF_NONE_MATCH;
    g.req.etag = etag;
    assert_int_equal(run(&f, &g, FIRN_OS_GET, "manifest"), FIRN_UNCHANGED);
    assert_int_equal(put(&f, FIRN_OS_IF_MATCH, "manifest", etag, "v2"), FIRN_OK);
    assert_int_equal(put(&f, FIRN_OS_IF_MATCH, "manifest", etag, "v3"), FIRN_CONFLICT);
    assert_int_equal(run(&f, &g, FIRN_OS_GET, "manifest"), FIRN_OK);
    assert_memory_equal(g.req.reply.data, "v2", 2);
    assert_true(g.req.date_ms % 1000 == 0);
    assert_true(llabs(g.req.date_ms / 1000 - (long long)time(NULL)) <= 2);
    firn_os_req_clear(&g.req);
    struct call d = {0};
    assert_int_equal(run(&f, &d, FIRN_OS_DELETE, "wal/1/2"), FIRN_OK);
    assert_int_equal(run(&f, &d, FIRN_OS_DELETE, "wal/1/2"), FIRN_OK);
    assert_int_equal(run(&f, &d, FIRN_OS_GET, "wal/1/2"), FIRN_ABSENT);
    assert_int_equal(put(&f, FIRN_OS_IF_ABSENT, "wal/1/2", NULL, ""), FIRN_OK);
    assert_int_equal(run(&f, &d, FIRN_OS_GET, "wal/1/2"), FIRN_OK);
    assert_int_equal(d.req.reply.len, 0);
    firn_os_req_clear(&d.req);
    fix_close(&f);
}

static void test_ranges(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, "t", NULL, "0123456789"), FIRN_OK);
    struct call c = {.req = {.offset = 3, .length = 4}};
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "t"), FIRN_OK);
    assert_true(firn_slice_eq(firn_buf_slice(&c.req.reply), firn_slice_str("3456")));
    assert_int_equal(c.req.size, 10);
    firn_os_req_clear(&c.req);
    c.req.length = 100;
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "t"), FIRN_OK);
    assert_true(firn_slice_eq(firn_buf_slice(&c.req.reply), firn_slice_str("3456789")));
    firn_os_req_clear(&c.req);
    c.req.reply_max = 3;
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "t"), FIRN_LIMIT);
    c.req.offset = 10;
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "t"), FIRN_INVALID);
    firn_os_req_clear(&c.req);
    fix_close(&f);
}

/* Pages in any order, each name once. */
static size_t list_all(struct fix *f, const char *prefix, const char *after)
{
    struct call c = {.req = {.start_after = after}};
    char cursor[600];
    size_t n = 0;
    do {
        assert_int_equal(run(f, &c, FIRN_OS_LIST, prefix), FIRN_OK);
        for (size_t i = 0; i < c.req.page.count; i++) {
            assert_int_equal(strncmp(c.req.page.entry[i].key, prefix, strlen(prefix)), 0);
            assert_int_equal(c.req.page.entry[i].size, 1);
        }
        assert_true(c.req.page.count <= FIRN_OS_LIST_MAX);
        n += c.req.page.count;
        bool more = c.req.page.next != NULL;
        if (more)
            (void)snprintf(cursor, sizeof cursor, "%s", c.req.page.next);
        firn_os_req_clear(&c.req);
        c.req.cursor = more ? cursor : NULL;
    } while (c.req.cursor);
    return n;
}

static void test_list(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    assert_int_equal(list_all(&f, "wal/", NULL), 0);
    char path[256];
    for (int e = 0; e < 2; e++) {
        (void)snprintf(path, sizeof path, "e%d/first", e);
        assert_int_equal(put(&f, FIRN_OS_ALWAYS, path, NULL, "x"), FIRN_OK);
        for (int i = 0; i < 2300; i++) { /* made by hand: thousands of fsyncs would take long */
            (void)snprintf(path, sizeof path, "%s/e%d/%06d", f.dir, e, i);
            int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            assert_true(fd >= 0 && write(fd, "x", 1) == 1);
            (void)close(fd);
        }
    }
    assert_int_equal(list_all(&f, "", NULL), 4602);
    assert_int_equal(list_all(&f, "e", NULL), 4602);
    assert_int_equal(list_all(&f, "e1", NULL), 2301);
    assert_int_equal(list_all(&f, "e1/", NULL), 2301);
    assert_int_equal(list_all(&f, "e1/0000", NULL), 100);
    assert_int_equal(list_all(&f, "e1/0000", "e1/000097"), 2);
    assert_int_equal(list_all(&f, "", "e1/002298"), 2);
    assert_int_equal(list_all(&f, "e2/", NULL), 0);
    struct call c = {0};
    assert_int_equal(run(&f, &c, FIRN_OS_LIST, "../"), FIRN_INVALID);
    const char *const keys[] = {"e0/000001", "e0/000002", "missing", "../x"};
    c.req.keys = keys;
    c.req.nkeys = 4;
    assert_int_equal(run(&f, &c, FIRN_OS_DELETE_MANY, NULL), FIRN_OK);
    assert_int_equal(c.req.nfailed, 1);
    assert_int_equal(list_all(&f, "e0", NULL), 2299);
    fix_close(&f);
}

static void test_multipart(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    struct call c = {0};
    assert_int_equal(run(&f, &c, FIRN_OS_MP_CREATE, "sst/1"), FIRN_OK);
    char id[256], etag[3][FIRN_OS_ETAG_MAX];
    (void)snprintf(id, sizeof id, "%s", c.req.upload_id_out);
    for (int i = 2; i >= 0; i--) {
        struct call p = {.req = {.upload_id = id, .part_number = (uint32_t)i + 1}};
        p.req.body = firn_slice_of(&"abc"[i], 1);
        assert_int_equal(run(&f, &p, FIRN_OS_MP_PART, "sst/1"), FIRN_OK);
        (void)snprintf(etag[i], sizeof etag[i], "%s", p.req.reply_etag);
        assert_int_equal(run(&f, &p, FIRN_OS_MP_PART, "sst/2"), FIRN_ABSENT); /* another's upload */
    }
    const char *etags[3] = {etag[0], etag[2], etag[1]};
    struct call m = {.req = {.upload_id = id, .part_etags = etags, .nparts = 3}};
    assert_int_equal(run(&f, &m, FIRN_OS_MP_COMPLETE, "sst/1"), FIRN_INVALID);
    etags[1] = etag[1];
    etags[2] = etag[2];
    assert_int_equal(run(&f, &m, FIRN_OS_MP_COMPLETE, "sst/1"), FIRN_OK);
    assert_int_equal(run(&f, &m, FIRN_OS_MP_COMPLETE, "sst/1"), FIRN_ABSENT);
    struct call g = {0};
    assert_int_equal(run(&f, &g, FIRN_OS_GET, "sst/1"), FIRN_OK);
    assert_true(firn_slice_eq(firn_buf_slice(&g.req.reply), firn_slice_str("abc")));
    firn_os_req_clear(&g.req);
    assert_int_equal(run(&f, &c, FIRN_OS_MP_CREATE, "sst/3"), FIRN_OK);
    (void)snprintf(id, sizeof id, "%s", c.req.upload_id_out);
    struct call a = {.req = {.upload_id = id}};
    assert_int_equal(run(&f, &a, FIRN_OS_MP_ABORT, "sst/3"), FIRN_OK);
    assert_int_equal(run(&f, &a, FIRN_OS_MP_ABORT, "sst/3"), FIRN_ABSENT);
    a.req.upload_id = "mp-../../../../../../../../../../..x";
    assert_int_equal(run(&f, &a, FIRN_OS_MP_ABORT, "sst/3"), FIRN_ABSENT);
    fix_close(&f);
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    enum { N = 300 };
    static struct call c[N];
    static char key[N][32];
    memset(c, 0, sizeof c);
    for (int i = 0; i < N; i++) {
        (void)snprintf(key[i], sizeof key[i], "wal/db/%d/%06d", i % 2, i / 4 * 4);
        c[i].req.cond = FIRN_OS_IF_ABSENT;
        c[i].req.body = firn_slice_str(key[i]); /* borrowed until done */
        start(&f, &c[i], FIRN_OS_PUT, key[i]);
    }
    for (int i = 250; i < N; i++)
        firn_os_cancel(f.store, &c[i].req);
    int ok = 0, conflict = 0, cancelled = 0;
    for (int i = 0; i < N; i++) {
        while (!c[i].done)
            pump_turn(&f.pump);
        ok += c[i].req.status == FIRN_OK;
        conflict += c[i].req.status == FIRN_CONFLICT;
        cancelled += c[i].req.status == FIRN_TRANSIENT;
        assert_int_equal(c[i].done, 1);
    }
    assert_int_equal(ok + conflict + cancelled, N);
    assert_true(cancelled <= 50);
    struct call l = {0};
    assert_int_equal(run(&f, &l, FIRN_OS_LIST, "wal/"), FIRN_OK);
    assert_int_equal(l.req.page.count, ok);
    firn_os_req_clear(&l.req);
    fix_close(&f);
}

/* ---- trouble */

static void test_errors(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    /* No room: a limit on file sizes is the portable way to have it. */
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static const char big[5000];
    enum firn_status s = put_bytes(&f, FIRN_OS_IF_ABSENT, "k", NULL, big, sizeof big);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, old);
    assert_int_equal(s, FIRN_LIMIT);
    struct call c = {0};
    assert_int_equal(run(&f, &c, FIRN_OS_GET, "k"), FIRN_ABSENT);
    if (getuid() != 0) { /* root is never denied */
        assert_int_equal(put(&f, FIRN_OS_ALWAYS, "d/x", NULL, "x"), FIRN_OK);
        char path[128];
        (void)snprintf(path, sizeof path, "%s/d", f.dir);
        assert_int_equal(chmod(path, 0500), 0);
        struct call p = {.req = {.cond = FIRN_OS_IF_ABSENT, .body = firn_slice_str("x")}};
        assert_int_equal(run(&f, &p, FIRN_OS_PUT, "d/y"), FIRN_DENIED);
        assert_non_null(strstr(p.req.err.text, "d/y"));
        assert_int_equal(chmod(path, 0700), 0);
    }
    /* The directory of the object vanishes and comes again. */
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, "p/q/1", NULL, "x"), FIRN_OK);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/p", f.dir);
    remove_tree(path);
    assert_int_equal(put(&f, FIRN_OS_IF_ABSENT, "p/q/1", NULL, "x"), FIRN_OK);
    fix_close(&f);
}

static void test_sweep(void **state)
{
    (void)state;
    struct fix f;
    fix_open(&f);
    struct call c = {0};
    assert_int_equal(run(&f, &c, FIRN_OS_MP_CREATE, "sst/1"), FIRN_OK);
    firn_file_free(f.file);
    char stale[128], fresh[128], upload[512];
    (void)snprintf(stale, sizeof stale, "%s/.firn-tmp/put-1-2", f.dir);
    (void)snprintf(fresh, sizeof fresh, "%s/.firn-tmp/put-1-3", f.dir);
    (void)snprintf(upload, sizeof upload, "%s/.firn-tmp/%s", f.dir, c.req.upload_id_out);
    (void)close(open(stale, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    (void)close(open(fresh, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    struct timespec old[2] = {{.tv_sec = time(NULL) - 4000}, {.tv_sec = time(NULL) - 4000}};
    assert_int_equal(utimensat(AT_FDCWD, stale, old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, upload, old, 0), 0);
    fix_attach(&f);
    assert_int_not_equal(access(stale, F_OK), 0);
    assert_int_not_equal(access(upload, F_OK), 0);
    assert_int_equal(access(fresh, F_OK), 0);
    fix_close(&f);
}

/* ---- several processes */

#define PROCESSES 4
#define SLOTS 60

static pid_t spawn(struct fix *f, int number, void (*work)(struct fix *f, int number))
{
    pid_t pid = fork();
    if (pid == 0) {
        fix_attach(f);
        work(f, number);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void wait_all(const pid_t *pid)
{
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* Each process tells what it won by an object of its own. */
static void race_absent(struct fix *f, int number)
{
    char won[SLOTS], key[32], me[32];
    (void)snprintf(me, sizeof me, "process %d", number);
    for (int i = 0; i < SLOTS; i++) {
        (void)snprintf(key, sizeof key, "wal/%04d", i);
        enum firn_status s = put(f, FIRN_OS_IF_ABSENT, key, NULL, me);
        if (s != FIRN_OK && s != FIRN_CONFLICT)
            _exit(1);
        won[i] = s == FIRN_OK;
    }
    (void)snprintf(key, sizeof key, "won/%d", number);
    if (put_bytes(f, FIRN_OS_ALWAYS, key, NULL, won, sizeof won) != FIRN_OK)
        _exit(1);
}

static void test_race_if_absent(void **state)
{
    (void)state;
    struct fix f;
    pid_t pid[PROCESSES];
    fix_name(&f);
    for (int i = 0; i < PROCESSES; i++)
        pid[i] = spawn(&f, i, race_absent);
    wait_all(pid);
    fix_attach(&f);
    int winners[SLOTS] = {0};
    for (int p = 0; p < PROCESSES; p++) {
        char key[32], me[32];
        (void)snprintf(key, sizeof key, "won/%d", p);
        (void)snprintf(me, sizeof me, "process %d", p);
        struct call c = {0};
        assert_int_equal(run(&f, &c, FIRN_OS_GET, key), FIRN_OK);
        for (int i = 0; i < SLOTS; i++) {
            if (!c.req.reply.data[i])
                continue;
            winners[i]++;
            struct call g = {0};
            (void)snprintf(key, sizeof key, "wal/%04d", i);
            assert_int_equal(run(&f, &g, FIRN_OS_GET, key), FIRN_OK);
            assert_true(firn_slice_eq(firn_buf_slice(&g.req.reply), firn_slice_str(me)));
            firn_os_req_clear(&g.req);
        }
        firn_os_req_clear(&c.req);
    }
    for (int i = 0; i < SLOTS; i++)
        assert_int_equal(winners[i], 1);
    fix_close(&f);
}

#define ADDS 40

static void race_match(struct fix *f, int number)
{
    (void)number;
    for (int n = 0; n < ADDS;) {
        struct call g = {0};
        if (run(f, &g, FIRN_OS_GET, "counter") != FIRN_OK)
            _exit(1);
        char body[64];
        (void)snprintf(body, sizeof body, "%.*s", (int)g.req.reply.len,
                       (const char *)g.req.reply.data);
        (void)snprintf(body, sizeof body, "%d", (int)strtol(body, NULL, 10) + 1);
        enum firn_status s = put(f, FIRN_OS_IF_MATCH, "counter", g.req.reply_etag, body);
        firn_os_req_clear(&g.req);
        if (s == FIRN_OK)
            n++;
        else if (s != FIRN_CONFLICT)
            _exit(1);
    }
}

static void test_race_if_match(void **state)
{
    (void)state;
    struct fix f;
    pid_t pid[PROCESSES];
    fix_open(&f);
    assert_int_equal(put(&f, FIRN_OS_IF_ABSENT, "counter", NULL, "0"), FIRN_OK);
    firn_file_free(f.file);
    for (int i = 0; i < PROCESSES; i++)
        pid[i] = spawn(&f, i, race_match);
    wait_all(pid);
    fix_attach(&f);
    struct call g = {0};
    assert_int_equal(run(&f, &g, FIRN_OS_GET, "counter"), FIRN_OK);
    char want[16];
    (void)snprintf(want, sizeof want, "%d", PROCESSES * ADDS);
    assert_true(firn_slice_eq(firn_buf_slice(&g.req.reply), firn_slice_str(want)));
    firn_os_req_clear(&g.req);
    fix_close(&f);
}

/* Bodies whose first eight bytes are the hash of the rest: a torn one shows. */
#define BODY ((size_t)200000)

static void crash_loop(struct fix *f, int number)
{
    static uint8_t body[BODY];
    for (unsigned i = 0;; i++) {
        memset(body + 8, (int)(i + (unsigned)number), BODY - 8);
        uint64_t h = firn_xxh3(body + 8, BODY - 8);
        memcpy(body, &h, 8);
        char key[32];
        (void)snprintf(key, sizeof key, "new/%d-%06u", number, i);
        (void)put_bytes(f, FIRN_OS_IF_ABSENT, key, NULL, body, BODY);
        (void)put_bytes(f, FIRN_OS_ALWAYS, "same", NULL, body, BODY);
    }
}

static void check_whole(struct fix *f, const char *key)
{
    struct call c = {0};
    assert_int_equal(run(f, &c, FIRN_OS_GET, key), FIRN_OK);
    assert_int_equal(c.req.reply.len, BODY);
    uint64_t h;
    memcpy(&h, c.req.reply.data, 8);
    assert_true(h == firn_xxh3(c.req.reply.data + 8, BODY - 8));
    firn_os_req_clear(&c.req);
}

static void test_crash(void **state)
{
    (void)state;
    struct fix f;
    fix_name(&f);
    for (int round = 0; round < 8; round++) {
        pid_t a = spawn(&f, 2 * round, crash_loop), b = spawn(&f, 2 * round + 1, crash_loop);
        usleep(30000 + (useconds_t)round * 7000); /* any moment will do */
        (void)kill(a, SIGKILL);
        (void)kill(b, SIGKILL);
        (void)waitpid(a, NULL, 0);
        (void)waitpid(b, NULL, 0);
    }
    fix_attach(&f);
    struct call l = {0};
    assert_int_equal(run(&f, &l, FIRN_OS_LIST, ""), FIRN_OK);
    assert_true(l.req.page.count > 0);
    for (size_t i = 0; i < l.req.page.count; i++)
        check_whole(&f, l.req.page.entry[i].key);
    firn_os_req_clear(&l.req);
    /* Locks of the dead are free. */
    assert_int_equal(put(&f, FIRN_OS_ALWAYS, "same", NULL, "x"), FIRN_OK);
    fix_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),          cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_conditions),    cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_list),          cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_many_at_once),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_sweep),         cmocka_unit_test(test_race_if_absent),
        cmocka_unit_test(test_race_if_match), cmocka_unit_test(test_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
