#include "io_file/io_file_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define THREADS_DEFAULT 16
#define THREADS_MAX 256

/* ---- queues */

static void queue_push(struct file_queue *q, struct firn_os_req *req)
{
    req->priv = NULL;
    if (q->tail)
        q->tail->priv = req;
    else
        q->head = req;
    q->tail = req;
}

static struct firn_os_req *queue_pop(struct file_queue *q)
{
    struct firn_os_req *req = q->head;
    if (!req)
        return NULL;
    q->head = req->priv;
    if (!q->head)
        q->tail = NULL;
    req->priv = NULL;
    return req;
}

/* Take req out from anywhere; false when it is not there. O(length). */
static bool queue_remove(struct file_queue *q, struct firn_os_req *req)
{
    struct firn_os_req *before = NULL;
    for (struct firn_os_req *r = q->head; r && r != req; r = r->priv)
        before = r;
    if (before ? before->priv != req : q->head != req)
        return false;
    if (before)
        before->priv = req->priv;
    else
        q->head = req->priv;
    if (q->tail == req)
        q->tail = before;
    req->priv = NULL;
    return true;
}

/* ---- requests on worker threads */

static bool names_ok(struct firn_os_req *req)
{
    if (req->op == FIRN_OS_DELETE_MANY)
        return true; /* each for itself */
    bool ok =
        req->op == FIRN_OS_LIST ? firn_file__prefix_ok(req->key) : firn_file__key_ok(req->key);
    if (!ok)
        req->status =
            firn_fail(&req->err, FIRN_INVALID, "'%.200s' is not a name for an object", req->key);
    return ok;
}

static void perform(struct firn_file *f, struct firn_os_req *req)
{
    static void (*const act[FIRN_OS_OPS])(struct firn_file *, struct firn_os_req *) = {
        [FIRN_OS_GET] = firn_file__get,
        [FIRN_OS_HEAD] = firn_file__get,
        [FIRN_OS_PUT] = firn_file__put,
        [FIRN_OS_DELETE] = firn_file__delete,
        [FIRN_OS_DELETE_MANY] = firn_file__delete_many,
        [FIRN_OS_LIST] = firn_file__list,
        [FIRN_OS_MP_CREATE] = firn_file__mp_create,
        [FIRN_OS_MP_PART] = firn_file__mp_part,
        [FIRN_OS_MP_COMPLETE] = firn_file__mp_complete,
        [FIRN_OS_MP_ABORT] = firn_file__mp_abort,
    };
    firn_os_req_clear(req);
    if (names_ok(req))
        act[req->op](f, req);
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) == 0)
        req->date_ms = (int64_t)now.tv_sec * 1000; /* whole seconds, as a Date header has it */
}

/* With the lock held: the request has ended; tell the loop. */
static void end_request(struct firn_file *f, struct firn_os_req *req)
{
    queue_push(&f->ended, req);
    if (f->posted)
        return;
    f->posted = true;
    f->poster->post(f->poster->ctx, &f->post);
}

static void *worker(void *arg)
{
    struct firn_file *f = arg;
    (void)pthread_mutex_lock(&f->lock);
    for (;;) {
        struct firn_os_req *req = queue_pop(&f->todo);
        if (!req) {
            if (f->stop)
                break;
            (void)pthread_cond_wait(&f->more, &f->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&f->lock);
        perform(f, req);
        (void)pthread_mutex_lock(&f->lock);
        end_request(f, req);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the loop's side */

static void on_ended(void *arg)
{
    struct firn_file *f = arg;
    (void)pthread_mutex_lock(&f->lock);
    struct file_queue ended = f->ended;
    f->ended = (struct file_queue){0};
    f->posted = false;
    (void)pthread_mutex_unlock(&f->lock);
    struct firn_os_req *req;
    while ((req = queue_pop(&ended)) != NULL)
        req->done(req);
}

static void store_submit(void *ctx, struct firn_os_req *req)
{
    struct firn_file *f = ctx;
    FIRN_ASSERT(req->op < FIRN_OS_OPS && req->done);
    (void)pthread_mutex_lock(&f->lock);
    queue_push(&f->todo, req);
    (void)pthread_cond_signal(&f->more);
    (void)pthread_mutex_unlock(&f->lock);
}

/* One that waits ends now; one that runs ends when it ends. */
static void store_cancel(void *ctx, struct firn_os_req *req)
{
    struct firn_file *f = ctx;
    (void)pthread_mutex_lock(&f->lock);
    if (queue_remove(&f->todo, req)) {
        firn_os_req_clear(req);
        req->status = firn_fail(&req->err, FIRN_TRANSIENT, "cancelled");
        end_request(f, req);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

static void store_set_dialect(void *ctx, const struct firn_os_dialect *d)
{
    (void)ctx;
    (void)d; /* there is but one way to talk to a directory */
}

static const struct firn_objstore_vt store_vt = {
    .submit = store_submit,
    .cancel = store_cancel,
    .set_dialect = store_set_dialect,
};

/* ---- life */

static enum firn_status open_dirs(struct firn_file *f, const char *dir, bool any_fs,
                                  struct firn_err *err)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return firn_fail(err, errno == ENOENT ? FIRN_ABSENT : FIRN_DENIED,
                         "cannot make the directory %s: %s", dir, strerror(errno));
    f->root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->root < 0)
        return firn_fail(err, errno == EMFILE ? FIRN_LIMIT : FIRN_DENIED,
                         "cannot open the directory %s: %s", dir, strerror(errno));
    if (!any_fs) {
        enum firn_status s = firn_file__check_fs(f->root, dir, err);
        if (s != FIRN_OK)
            return s;
    }
    if (mkdirat(f->root, FILE_TMP, 0700) != 0 && errno != EEXIST)
        return firn_fail(err, errno == ENOSPC ? FIRN_LIMIT : FIRN_DENIED,
                         "cannot make the directory %s/" FILE_TMP ": %s", dir, strerror(errno));
    f->tmp = openat(f->root, FILE_TMP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->tmp < 0)
        return firn_fail(err, FIRN_DENIED, "cannot open the directory %s/" FILE_TMP ": %s", dir,
                         strerror(errno));
    return FIRN_OK;
}

static enum firn_status start_threads(struct firn_file *f, unsigned want, struct firn_err *err)
{
    f->thread = firn_calloc(want, sizeof *f->thread);
    if (!f->thread)
        return firn_fail(err, FIRN_LIMIT, "out of memory for threads");
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop thread's */
    while (f->threads < want && pthread_create(&f->thread[f->threads], NULL, worker, f) == 0)
        f->threads++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (f->threads == 0)
        return firn_fail(err, FIRN_LIMIT,
                         "cannot start a thread for file calls: see ulimit -u and ulimit -v");
    return FIRN_OK;
}

static struct firn_file *file_new(const char *url, const struct firn_poster *poster)
{
    struct firn_file *f = firn_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->store = (struct firn_objstore){.vt = &store_vt, .ctx = f};
    (void)snprintf(f->store.url, sizeof f->store.url, "%s", url);
    f->poster = poster;
    f->post = (struct firn_post){.fn = on_ended, .arg = f};
    f->root = f->tmp = -1;
    firn_list_init(&f->syncs);
    /* None of these fails with default attributes on Linux. */
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_cond_init(&f->more, NULL);
    for (int i = 0; i < FILE_LOCKS; i++) {
        (void)pthread_mutex_init(&f->name_lock[i].mutex, NULL);
        f->name_lock[i].fd = -1;
    }
    return f;
}

enum firn_status firn_file_create(const char *url, const struct firn_poster *poster,
                                  const struct firn_file_options *o, struct firn_file **out,
                                  struct firn_err *err)
{
    char dir[1024];
    enum firn_status s = firn_file_url_parse(url, dir, sizeof dir, err);
    if (s != FIRN_OK)
        return s;
    struct firn_file *f = file_new(url, poster);
    if (!f)
        return firn_fail(err, FIRN_LIMIT, "out of memory for the store at %s", url);
    unsigned threads = o && o->threads ? o->threads : THREADS_DEFAULT;
    s = open_dirs(f, dir, o && o->allow_network_fs, err);
    if (s == FIRN_OK && getrandom(&f->temp_seq, sizeof f->temp_seq, 0) < 0)
        s = firn_fail(err, FIRN_LIMIT, "no random bytes: %s", strerror(errno));
    if (s == FIRN_OK) {
        firn_file__sweep(f);
        s = start_threads(f, threads < THREADS_MAX ? threads : THREADS_MAX, err);
    }
    if (s != FIRN_OK) {
        firn_file_free(f);
        return s;
    }
    *out = f;
    return FIRN_OK;
}

void firn_file_free(struct firn_file *f)
{
    if (!f)
        return;
    (void)pthread_mutex_lock(&f->lock);
    FIRN_ASSERT(!f->todo.head && !f->ended.head && !f->posted);
    f->stop = true;
    (void)pthread_cond_broadcast(&f->more);
    (void)pthread_mutex_unlock(&f->lock);
    for (unsigned i = 0; i < f->threads; i++)
        (void)pthread_join(f->thread[i], NULL);
    for (int i = 0; i < FILE_LOCKS; i++) {
        if (f->name_lock[i].fd >= 0)
            (void)close(f->name_lock[i].fd);
        (void)pthread_mutex_destroy(&f->name_lock[i].mutex);
    }
    if (f->tmp >= 0)
        (void)close(f->tmp);
    if (f->root >= 0)
        (void)close(f->root);
    (void)pthread_cond_destroy(&f->more);
    (void)pthread_mutex_destroy(&f->lock);
    firn_free(f->thread);
    firn_free(f);
}

struct firn_objstore *firn_file_store(struct firn_file *f)
{
    return &f->store;
}
