#include "io_file/io_file_priv.h"

#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- directories made durable */

/* A directory that somebody is waiting for. Lives as long as someone does. */
struct sync {
    struct firn_list link; /* f->syncs */
    unsigned refs;
    bool running;
    uint64_t begun, ended; /* fsyncs of this directory, counted */
    uint64_t failed;       /* the last one that failed; 0 = none */
    int failed_errno;
    pthread_cond_t turn;
    char dir[FILE_PATH_MAX];
};

static int fsync_dir(struct firn_file *f, const char *dir)
{
    int fd = openat(f->root, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int e = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return e;
}

/* With the lock held: the entry for dir, counted once more; NULL when memory is short. */
static struct sync *sync_of(struct firn_file *f, const char *dir)
{
    FIRN_LIST_EACH(l, nx, &f->syncs)
    {
        struct sync *s = FIRN_CONTAINER(l, struct sync, link);
        if (strcmp(s->dir, dir) == 0) {
            s->refs++;
            return s;
        }
    }
    struct sync *s = firn_calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    (void)pthread_cond_init(&s->turn, NULL);
    (void)snprintf(s->dir, sizeof s->dir, "%s", dir);
    firn_list_push(&f->syncs, &s->link);
    return s;
}

static void sync_release(struct sync *s)
{
    if (--s->refs)
        return;
    firn_list_remove(&s->link);
    (void)pthread_cond_destroy(&s->turn);
    firn_free(s);
}

int firn_file__sync_dir(struct firn_file *f, const char *dir)
{
    (void)pthread_mutex_lock(&f->lock);
    struct sync *s = sync_of(f, dir);
    if (!s) {
        (void)pthread_mutex_unlock(&f->lock);
        return fsync_dir(f, dir);
    }
    /* An fsync that has begun may have missed our entry: we need one that begins from now on. */
    uint64_t mine = s->begun + 1;
    while (s->ended < mine) {
        if (s->running) {
            (void)pthread_cond_wait(&s->turn, &f->lock);
            continue;
        }
        s->running = true;
        uint64_t n = ++s->begun;
        (void)pthread_mutex_unlock(&f->lock);
        int e = fsync_dir(f, dir);
        (void)pthread_mutex_lock(&f->lock);
        s->running = false;
        s->ended = n;
        if (e) {
            s->failed = n;
            s->failed_errno = e;
        }
        (void)pthread_cond_broadcast(&s->turn);
    }
    /* A later failure than ours counts, too: after one, nobody knows what the disk holds. */
    int e = s->failed >= mine ? s->failed_errno : 0;
    sync_release(s);
    (void)pthread_mutex_unlock(&f->lock);
    return e;
}

/* ---- directories above a name */

void firn_file__dir_of(const char *key, char *dir)
{
    const char *slash = strrchr(key, '/');
    size_t n = slash ? (size_t)(slash - key) : 0;
    memcpy(dir, key, n);
    dir[n] = '\0';
}

static uint64_t dir_hash(const char *dir)
{
    uint64_t h = firn_xxh3(dir, strlen(dir));
    return h ? h : 1;
}

static bool is_known(struct firn_file *f, uint64_t h)
{
    (void)pthread_mutex_lock(&f->lock);
    bool known = f->known[h % FILE_KNOWN] == h;
    (void)pthread_mutex_unlock(&f->lock);
    return known;
}

static void set_known(struct firn_file *f, uint64_t h, uint64_t value)
{
    (void)pthread_mutex_lock(&f->lock);
    f->known[h % FILE_KNOWN] = value;
    (void)pthread_mutex_unlock(&f->lock);
}

int firn_file__make_dirs(struct firn_file *f, const char *key)
{
    char dir[FILE_PATH_MAX], above[FILE_PATH_MAX];
    firn_file__dir_of(key, dir);
    uint64_t h = dir_hash(dir);
    if (!dir[0] || is_known(f, h))
        return 0;
    /* Even one that is there may have been made a moment ago by a process that has not synced it.
     */
    for (char *at = dir; at;) {
        char *slash = strchr(at, '/');
        if (slash)
            *slash = '\0';
        if (mkdirat(f->root, dir, 0700) != 0 && errno != EEXIST)
            return errno;
        firn_file__dir_of(dir, above);
        int e = firn_file__sync_dir(f, above);
        if (e)
            return e;
        if (slash)
            *slash = '/';
        at = slash ? slash + 1 : NULL;
    }
    set_known(f, h, h);
    return 0;
}

void firn_file__forget_dirs(struct firn_file *f, const char *key)
{
    char dir[FILE_PATH_MAX];
    firn_file__dir_of(key, dir);
    set_known(f, dir_hash(dir), 0);
}

/* ---- locks of names */

static struct file_lock *lock_of(struct firn_file *f, const char *key, unsigned *index)
{
    *index = (unsigned)(firn_xxh3(key, strlen(key)) % FILE_LOCKS);
    return &f->name_lock[*index];
}

int firn_file__lock_name(struct firn_file *f, const char *key)
{
    unsigned i;
    struct file_lock *l = lock_of(f, key, &i);
    (void)pthread_mutex_lock(&l->mutex);
    int e = 0;
    if (l->fd < 0) {
        char name[32];
        (void)snprintf(name, sizeof name, "lock-%02u", i);
        l->fd = openat(f->tmp, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (l->fd < 0)
            e = errno;
    }
    while (!e && flock(l->fd, LOCK_EX) != 0) {
        if (errno != EINTR)
            e = errno;
    }
    if (e)
        (void)pthread_mutex_unlock(&l->mutex);
    return e;
}

void firn_file__unlock_name(struct firn_file *f, const char *key)
{
    unsigned i;
    struct file_lock *l = lock_of(f, key, &i);
    (void)flock(l->fd, LOCK_UN);
    (void)pthread_mutex_unlock(&l->mutex);
}
