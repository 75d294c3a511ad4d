/* Multipart uploads: a folder of parts among the temporary files, put together at the end. */
#include "io_file/io_file_priv.h"

#include "base/hash.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ID_LEN 36 /* "mp-" 16 hex random "-" 16 hex of the key's hash */
#define PARTS_MAX 10000
#define PART_NAME 64
#define STALE_SECONDS 3600

static void id_tail(const char *key, char out[18])
{
    (void)snprintf(out, 18, "-%016llx", (unsigned long long)firn_xxh3(key, strlen(key)));
}

/* An id is ours and belongs to the key: it becomes part of a path. Else ABSENT. */
static bool id_ok(struct firn_os_req *req)
{
    char tail[18];
    const char *id = req->upload_id;
    id_tail(req->key, tail);
    bool ok = strlen(id) == ID_LEN && strncmp(id, "mp-", 3) == 0 && strcmp(id + 19, tail) == 0;
    ok = ok && strspn(id + 3, "0123456789abcdef") == 16;
    if (!ok)
        req->status = FIRN_ABSENT;
    return ok;
}

void firn_file__mp_create(struct firn_file *f, struct firn_os_req *req)
{
    char tail[18];
    uint64_t r = 0;
    if (getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r) {
        (void)firn_file__fail(req, true, "start a multipart upload of", EAGAIN);
        return;
    }
    id_tail(req->key, tail);
    (void)snprintf(req->upload_id_out, sizeof req->upload_id_out, "mp-%016llx%s",
                   (unsigned long long)r, tail);
    if (mkdirat(f->tmp, req->upload_id_out, 0700) != 0)
        (void)firn_file__fail(req, true, "start a multipart upload of", errno);
}

static void part_name(const char *id, uint32_t number, char out[PART_NAME])
{
    (void)snprintf(out, PART_NAME, "%s/%05u", id, number);
}

void firn_file__mp_part(struct firn_file *f, struct firn_os_req *req)
{
    char temp[FILE_TEMP_NAME], name[PART_NAME];
    if (!id_ok(req))
        return;
    if (req->part_number < 1 || req->part_number > PARTS_MAX) {
        req->status = firn_fail(&req->err, FIRN_INVALID, "part number %u is not in 1..%d",
                                req->part_number, PARTS_MAX);
        return;
    }
    part_name(req->upload_id, req->part_number, name);
    int fd = firn_file__temp(f, temp);
    int e = fd < 0 ? errno : firn_file__write_all(fd, req->body.data, req->body.len);
    if (fd >= 0)
        (void)close(fd);
    /* Parts need no fsync: an upload does not outlive a power cut, only the finished object does.
     */
    if (!e && renameat(f->tmp, temp, f->tmp, name) != 0)
        e = errno;
    if (e) {
        if (fd >= 0)
            (void)unlinkat(f->tmp, temp, 0);
        (void)firn_file__fail(req, true, "write a part of", e);
        if (e == ENOENT)
            req->status = FIRN_ABSENT; /* no such upload */
        return;
    }
    firn_file__etag(req->body.data, req->body.len, req->reply_etag);
}

/* Append part `number` to fd if it is the one that was named. False: the status is set. */
static bool append_part(struct firn_file *f, struct firn_os_req *req, uint32_t number, int fd)
{
    char name[PART_NAME], etag[FIRN_OS_ETAG_MAX];
    struct stat st;
    part_name(req->upload_id, number, name);
    int part = openat(f->tmp, name, O_RDONLY | O_CLOEXEC);
    int e = part < 0 || fstat(part, &st) != 0 ? errno : 0;
    struct firn_buf b;
    firn_buf_init(&b, SIZE_MAX / 2);
    enum firn_status s = e ? firn_file__fail(req, true, "read a part of", e)
                           : firn_file__read(part, req, &b, 0, (uint64_t)st.st_size);
    if (e == ENOENT)
        s = req->status = FIRN_INVALID; /* a part that was never sent */
    if (part >= 0)
        (void)close(part);
    if (s == FIRN_OK) {
        firn_file__etag(b.data, b.len, etag);
        if (strcmp(etag, req->part_etags[number - 1]) != 0)
            s = req->status = firn_fail(&req->err, FIRN_INVALID,
                                        "part %u of %s is not the one named", number, req->key);
    }
    if (s == FIRN_OK) {
        e = firn_file__write_all(fd, b.data, b.len);
        if (e)
            s = firn_file__fail(req, true, "write", e);
    }
    firn_buf_clear(&b);
    return s == FIRN_OK;
}

static void remove_upload(struct firn_file *f, const char *id)
{
    int fd = openat(f->tmp, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.')
            (void)unlinkat(fd, e->d_name, 0);
    }
    (void)closedir(d);
    (void)unlinkat(f->tmp, id, AT_REMOVEDIR);
}

static bool upload_there(struct firn_file *f, struct firn_os_req *req)
{
    struct stat st;
    if (fstatat(f->tmp, req->upload_id, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    (void)firn_file__fail(req, false, "find the multipart upload of", errno);
    return false;
}

void firn_file__mp_complete(struct firn_file *f, struct firn_os_req *req)
{
    char temp[FILE_TEMP_NAME];
    if (!id_ok(req) || !upload_there(f, req))
        return;
    int fd = firn_file__temp(f, temp);
    if (fd < 0) {
        (void)firn_file__fail(req, true, "write", errno);
        return;
    }
    bool ok = true;
    for (uint32_t i = 1; ok && i <= req->nparts; i++)
        ok = append_part(f, req, i, fd);
    if (ok && fsync(fd) != 0) {
        (void)firn_file__fail(req, true, "write", errno);
        ok = false;
    }
    (void)close(fd);
    if (!ok) {
        (void)unlinkat(f->tmp, temp, 0);
        return;
    }
    firn_file__replace(f, req, temp);
    if (req->status == FIRN_OK)
        remove_upload(f, req->upload_id);
}

void firn_file__mp_abort(struct firn_file *f, struct firn_os_req *req)
{
    if (id_ok(req) && upload_there(f, req))
        remove_upload(f, req->upload_id);
}

void firn_file__sweep(struct firn_file *f)
{
    int fd = openat(f->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    time_t now = time(NULL);
    struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        struct stat st;
        bool put = strncmp(e->d_name, "put-", 4) == 0, upload = strncmp(e->d_name, "mp-", 3) == 0;
        if ((!put && !upload) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            now - st.st_mtime < STALE_SECONDS)
            continue;
        if (put)
            (void)unlinkat(fd, e->d_name, 0);
        else
            remove_upload(f, e->d_name);
    }
    (void)closedir(d);
}
