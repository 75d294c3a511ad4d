#include "io_file/io_file_priv.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLY_MAX ((uint64_t)256 << 20)
#define HEAD_ETAG_MAX                                                                              \
    ((uint64_t)16 << 20) /* HEAD of a larger object gives no ETag: it would read it all */
#define IO_MAX ((size_t)1 << 30)

/* ---- reading */

/* Open the object; -1 with the request's status set. *size is its length. */
static int open_object(struct firn_file *f, struct firn_os_req *req, uint64_t *size)
{
    int fd = openat(f->root, req->key, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        (void)firn_file__fail(req, false, "open", errno);
        return -1;
    }
    struct stat st;
    int e = fstat(fd, &st) == 0 ? 0 : errno;
    if (!e && S_ISREG(st.st_mode)) {
        *size = (uint64_t)st.st_size;
        return fd;
    }
    (void)close(fd);
    (void)firn_file__fail(req, false, "open", e ? e : ENOENT); /* a directory is no object */
    return -1;
}

enum firn_status firn_file__read(int fd, struct firn_os_req *req, struct firn_buf *out,
                                 uint64_t offset, uint64_t length)
{
    if (length <= out->max - out->len && firn_buf_reserve(out, (size_t)length) != FIRN_OK)
        return req->status = firn_fail(&req->err, FIRN_LIMIT, "no memory for %llu bytes of %s",
                                       (unsigned long long)length, req->key);
    if (length > out->max - out->len)
        return req->status = firn_fail(&req->err, FIRN_LIMIT, "%s has %llu bytes, %zu are allowed",
                                       req->key, (unsigned long long)length, out->max);
    while (length) {
        size_t want = length < IO_MAX ? (size_t)length : IO_MAX;
        ssize_t n = pread(fd, out->data + out->len, want, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return firn_file__fail(req, false, "read", errno);
        if (n == 0) /* objects never change: somebody has cut the file */
            return req->status =
                       firn_fail(&req->err, FIRN_CORRUPT,
                                 "%s ends early: it was changed by another program", req->key);
        out->len += (size_t)n;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return FIRN_OK;
}

static void read_range(int fd, struct firn_os_req *req)
{
    if (req->offset >= req->size) {
        req->status =
            firn_fail(&req->err, FIRN_INVALID, "range from %llu is beyond the %llu bytes of %s",
                      (unsigned long long)req->offset, (unsigned long long)req->size, req->key);
        return;
    }
    uint64_t left = req->size - req->offset;
    req->status =
        firn_file__read(fd, req, &req->reply, req->offset, req->length < left ? req->length : left);
}

static void read_whole(int fd, struct firn_os_req *req)
{
    bool head = req->op == FIRN_OS_HEAD;
    if (head && req->size > HEAD_ETAG_MAX)
        return;
    req->status = firn_file__read(fd, req, &req->reply, 0, req->size);
    if (req->status != FIRN_OK)
        return;
    firn_file__etag(req->reply.data, req->reply.len, req->reply_etag);
    if (req->cond == FIRN_OS_IF_NONE_MATCH && strcmp(req->etag, req->reply_etag) == 0) {
        req->status = FIRN_UNCHANGED;
        firn_buf_clear(&req->reply);
    }
    if (head)
        firn_buf_clear(&req->reply);
}

void firn_file__get(struct firn_file *f, struct firn_os_req *req)
{
    uint64_t size;
    int fd = open_object(f, req, &size);
    if (fd < 0)
        return;
    req->size = size;
    firn_buf_init(&req->reply,
                  req->reply_max && req->op == FIRN_OS_GET ? req->reply_max : REPLY_MAX);
    if (req->op == FIRN_OS_GET && req->length)
        read_range(fd, req);
    else
        read_whole(fd, req);
    if (req->status != FIRN_OK)
        firn_buf_clear(&req->reply);
    (void)close(fd);
}

/* ---- writing */

int firn_file__temp(struct firn_file *f, char name[FILE_TEMP_NAME])
{
    (void)pthread_mutex_lock(&f->lock);
    uint64_t n = f->temp_seq++;
    (void)pthread_mutex_unlock(&f->lock);
    /* temp_seq begins at random: process ids repeat, and may be equal in two containers. */
    (void)snprintf(name, FILE_TEMP_NAME, "put-%ld-%016llx", (long)getpid(), (unsigned long long)n);
    return openat(f->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int firn_file__write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len) {
        ssize_t n = write(fd, p, len < IO_MAX ? len : IO_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

/* The body in a temporary file, on disk. False: the request's status is set, nothing is left. */
static bool write_temp(struct firn_file *f, struct firn_os_req *req, char name[FILE_TEMP_NAME])
{
    int fd = firn_file__temp(f, name);
    int e = fd < 0 ? errno : firn_file__write_all(fd, req->body.data, req->body.len);
    if (!e && fsync(fd) != 0)
        e = errno;
    if (fd >= 0) {
        (void)close(fd);
        if (e)
            (void)unlinkat(f->tmp, name, 0);
    }
    if (e)
        (void)firn_file__fail(req, true, "write", e);
    return !e;
}

/* Give the temporary file its name if nobody has it. 0, EEXIST or another errno. */
static int place_new(struct firn_file *f, const char *temp, const char *key)
{
    if (renameat2(f->tmp, temp, f->root, key, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* The file system does not know that flag; a hard link never replaces either. */
    int e = linkat(f->tmp, temp, f->root, key, 0) == 0 ? 0 : errno;
    if (!e)
        (void)unlinkat(f->tmp, temp, 0);
    return e;
}

static int place_over(struct firn_file *f, const char *temp, const char *key)
{
    return renameat(f->tmp, temp, f->root, key) == 0 ? 0 : errno;
}

/* Place the temporary file, and again once its directory was made anew. */
static int place(struct firn_file *f, const char *temp, const char *key,
                 int (*how)(struct firn_file *f, const char *temp, const char *key))
{
    int e = firn_file__make_dirs(f, key);
    if (!e)
        e = how(f, temp, key);
    if (e != ENOENT)
        return e;
    firn_file__forget_dirs(f, key);
    e = firn_file__make_dirs(f, key);
    return e ? e : how(f, temp, key);
}

/* The name has been decided: see that it stays so. */
static void settle(struct firn_file *f, struct firn_os_req *req, enum firn_status status)
{
    char dir[FILE_PATH_MAX];
    firn_file__dir_of(req->key, dir);
    int e = firn_file__sync_dir(f, dir);
    if (!e) {
        req->status = status;
        return;
    }
    (void)firn_file__fail(req, true, "sync the directory of", e);
    req->status = FIRN_UNCERTAIN; /* visible, but perhaps not for ever */
}

static void put_if_absent(struct firn_file *f, struct firn_os_req *req, const char *temp)
{
    int e = place(f, temp, req->key, place_new);
    if (e)
        (void)unlinkat(f->tmp, temp, 0);
    if (e == 0 || e == EEXIST)
        /* The loser makes the winner's name durable, too: what it does next may rest on it. */
        settle(f, req, e ? FIRN_CONFLICT : FIRN_OK);
    else
        (void)firn_file__fail(req, true, "create", e);
}

static void replace_locked(struct firn_file *f, struct firn_os_req *req, const char *temp)
{
    int e = place(f, temp, req->key, place_over);
    if (!e) {
        settle(f, req, FIRN_OK);
        return;
    }
    (void)unlinkat(f->tmp, temp, 0);
    (void)firn_file__fail(req, true, "replace", e);
}

static bool lock(struct firn_file *f, struct firn_os_req *req)
{
    int e = firn_file__lock_name(f, req->key);
    if (e)
        (void)firn_file__fail(req, true, "lock", e);
    return !e;
}

void firn_file__replace(struct firn_file *f, struct firn_os_req *req, const char *temp)
{
    if (!lock(f, req)) {
        (void)unlinkat(f->tmp, temp, 0);
        return;
    }
    replace_locked(f, req, temp);
    firn_file__unlock_name(f, req->key);
}

/* With the name locked: does the object carry the ETag? Else the status is set: CONFLICT, ABSENT or
 * trouble. */
static bool matches(struct firn_file *f, struct firn_os_req *req)
{
    struct firn_os_req now;
    firn_os_req_init(&now);
    now.op = FIRN_OS_GET;
    now.key = req->key;
    firn_file__get(f, &now);
    bool same = now.status == FIRN_OK && strcmp(now.reply_etag, req->etag) == 0;
    if (!same) {
        req->status = now.status == FIRN_OK ? FIRN_CONFLICT : now.status;
        req->err = now.err;
    }
    firn_os_req_clear(&now);
    return same;
}

static void put_if_match(struct firn_file *f, struct firn_os_req *req, const char *temp)
{
    bool locked = lock(f, req);
    if (locked && matches(f, req))
        replace_locked(f, req, temp);
    else
        (void)unlinkat(f->tmp, temp, 0);
    if (locked)
        firn_file__unlock_name(f, req->key);
}

void firn_file__put(struct firn_file *f, struct firn_os_req *req)
{
    char temp[FILE_TEMP_NAME];
    if (!write_temp(f, req, temp))
        return;
    if (req->cond == FIRN_OS_IF_ABSENT)
        put_if_absent(f, req, temp);
    else if (req->cond == FIRN_OS_IF_MATCH)
        put_if_match(f, req, temp);
    else
        firn_file__replace(f, req, temp);
    if (req->status == FIRN_OK)
        firn_file__etag(req->body.data, req->body.len, req->reply_etag);
}

/* ---- deleting */

/* 0 also when it was not there. Under the lock, or a swap between compare and rename could be
 * undone. */
static int remove_object(struct firn_file *f, const char *key)
{
    int e = firn_file__lock_name(f, key);
    if (e)
        return e;
    if (unlinkat(f->root, key, 0) != 0 && errno != ENOENT && errno != ENOTDIR && errno != EISDIR)
        e = errno;
    firn_file__unlock_name(f, key);
    return e;
}

void firn_file__delete(struct firn_file *f, struct firn_os_req *req)
{
    int e = remove_object(f, req->key);
    if (e)
        (void)firn_file__fail(req, true, "delete", e);
}

void firn_file__delete_many(struct firn_file *f, struct firn_os_req *req)
{
    for (size_t i = 0; i < req->nkeys; i++) {
        if (!firn_file__key_ok(req->keys[i]) || remove_object(f, req->keys[i]) != 0)
            req->nfailed++;
    }
}
