#include "io_uv/io_uv_priv.h"

#include "base/assert.h"
#include "base/mem.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_MAX 8

/* With the lock held: see that the loop looks into the mailbox. */
static void notify(struct uv_pool *p)
{
    if (p->notified)
        return;
    p->notified = true;
    (void)uv_async_send(&p->mail); /* fails only for a handle that is no async */
}

static void *worker(void *arg)
{
    struct uv_pool *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    for (;;) {
        struct firn_list *l = firn_list_pop(&p->queue);
        if (!l) {
            if (p->stop)
                break;
            (void)pthread_cond_wait(&p->more, &p->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&p->lock);
        struct firn_job *job = FIRN_CONTAINER(l, struct firn_job, link);
        job->run(job);
        (void)pthread_mutex_lock(&p->lock);
        firn_list_push(&p->ran, &job->link);
        notify(p);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void on_mail(uv_async_t *h)
{
    struct firn_uv *u = h->data;
    struct uv_pool *p = &u->pool;
    struct firn_list ran, posts, *l;
    firn_list_init(&ran);
    firn_list_init(&posts);
    (void)pthread_mutex_lock(&p->lock);
    p->notified = false;
    firn_list_splice(&ran, &p->ran);
    firn_list_splice(&posts, &p->posts);
    (void)pthread_mutex_unlock(&p->lock);
    while ((l = firn_list_pop(&posts)) != NULL) {
        struct firn_post *post = FIRN_CONTAINER(l, struct firn_post, link);
        post->fn(post->arg);
    }
    while ((l = firn_list_pop(&ran)) != NULL) {
        struct firn_job *job = FIRN_CONTAINER(l, struct firn_job, link);
        job->done(job);
    }
}

void firn_uv__exec(void *ctx, struct firn_job *job)
{
    struct uv_pool *p = &((struct firn_uv *)ctx)->pool;
    (void)pthread_mutex_lock(&p->lock);
    firn_list_push(&p->queue, &job->link);
    (void)pthread_cond_signal(&p->more);
    (void)pthread_mutex_unlock(&p->lock);
}

void firn_uv__post(void *ctx, struct firn_post *post)
{
    struct uv_pool *p = &((struct firn_uv *)ctx)->pool;
    (void)pthread_mutex_lock(&p->lock);
    firn_list_push(&p->posts, &post->link);
    notify(p);
    (void)pthread_mutex_unlock(&p->lock);
}

/* Workers take no signals: those belong to the loop thread. */
static void start_threads(struct uv_pool *p, unsigned want)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->threads < want && pthread_create(&p->thread[p->threads], NULL, worker, p) == 0)
        p->threads++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum firn_status firn_uv__pool_start(struct firn_uv *u, struct firn_err *err)
{
    struct uv_pool *p = &u->pool;
    unsigned want = u->options.workers;
    if (want == 0) {
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);
        want = cpus < 1 ? 1 : cpus > WORKERS_MAX ? WORKERS_MAX : (unsigned)cpus;
    }
    p->thread = firn_calloc(want, sizeof *p->thread);
    if (!p->thread)
        return firn_fail(err, FIRN_LIMIT, "out of memory for worker threads");
    int r = uv_async_init(&u->loop, &p->mail, on_mail);
    if (r != 0) {
        firn_free(p->thread);
        return firn_fail(err, FIRN_LIMIT, "cannot make an event loop: %s", uv_strerror(r));
    }
    p->mail.data = u;
    (void)pthread_mutex_init(&p->lock, NULL); /* cannot fail with default attributes on Linux */
    (void)pthread_cond_init(&p->more, NULL);
    firn_list_init(&p->queue);
    firn_list_init(&p->ran);
    firn_list_init(&p->posts);
    start_threads(p, want);
    if (p->threads == 0) {
        firn_uv__pool_stop(u);
        return firn_fail(err, FIRN_LIMIT, "cannot start a worker thread: see ulimit -u");
    }
    return FIRN_OK;
}

void firn_uv__pool_stop(struct firn_uv *u)
{
    struct uv_pool *p = &u->pool;
    (void)pthread_mutex_lock(&p->lock);
    p->stop = true;
    (void)pthread_cond_broadcast(&p->more);
    (void)pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        (void)pthread_join(p->thread[i], NULL);
    FIRN_ASSERT(firn_list_empty(&p->ran)); /* the contract: no job is under way */
    firn_free(p->thread);
    uv_close((uv_handle_t *)&p->mail, NULL);
    (void)pthread_cond_destroy(&p->more);
    (void)pthread_mutex_destroy(&p->lock);
}
