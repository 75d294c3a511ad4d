#include "io_file/io_file_priv.h"

#include "base/hash.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define COMPONENT_MAX 255

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode into dir[cap]; false when it does not fit or holds a bad escape or a NUL. */
static bool decode(const char *s, char *dir, size_t cap)
{
    size_t n = 0;
    for (; *s; s++) {
        int c = (unsigned char)*s;
        if (c == '%') {
            int hi = hex_digit(s[1]), lo = hi < 0 ? -1 : hex_digit(s[2]);
            if (lo < 0)
                return false;
            c = hi * 16 + lo;
            s += 2;
        }
        if (c == 0 || n + 1 >= cap)
            return false;
        dir[n++] = (char)c;
    }
    dir[n] = '\0';
    return true;
}

enum firn_status firn_file_url_parse(const char *url, char *dir, size_t cap, struct firn_err *err)
{
    static const char scheme[] = "file://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return firn_fail(err, FIRN_INVALID, "'%s' is not a file:///path URL", url);
    const char *path = url + sizeof scheme - 1;
    if (path[0] != '/')
        return firn_fail(err, FIRN_INVALID,
                         "'%s' names no absolute path: write file:///path (three slashes)", url);
    if (!decode(path, dir, cap))
        return firn_fail(err, FIRN_INVALID, "'%s' is too long or has a bad %% escape", url);
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        dir[--n] = '\0';
    if (n == 1)
        return firn_fail(err, FIRN_INVALID, "'%s' is the root directory: name one below it", url);
    if (strstr(dir, "/../") || strcmp(dir + n - 3, "/..") == 0)
        return firn_fail(err, FIRN_INVALID, "'%s' must not go through '..'", url);
    return FIRN_OK;
}

/* Check components up to the end; the last one may be cut anywhere when `prefix`. */
static bool components_ok(const char *s, bool prefix)
{
    size_t len = 0, total = 0;
    for (;; s++, total++) {
        if (*s == '\0')
            return total <= FIRN_OS_KEY_MAX && (prefix || len > 0);
        if (*s == '/') {
            if (len == 0)
                return false;
            len = 0;
            continue;
        }
        if (*s <= ' ' || *s > '~' || *s == '\\' || (*s == '.' && len == 0))
            return false;
        if (++len > COMPONENT_MAX)
            return false;
    }
}

bool firn_file__key_ok(const char *key)
{
    return components_ok(key, false);
}

bool firn_file__prefix_ok(const char *prefix)
{
    return components_ok(prefix, true);
}

static enum firn_status status_of(int e, bool write)
{
    switch (e) {
    case ENOENT: /* a write never finds ABSENT: that would say something about the object */
        return write ? FIRN_TRANSIENT : FIRN_ABSENT;
    case ENOTDIR:
        return write ? FIRN_INVALID : FIRN_ABSENT;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return FIRN_LIMIT;
    case EACCES:
    case EPERM:
    case EROFS:
        return FIRN_DENIED;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EINTR:
    case ENOLCK:
        return FIRN_TRANSIENT;
    case EIO:
        return write ? FIRN_UNCERTAIN : FIRN_CORRUPT;
    default:
        return write ? FIRN_UNCERTAIN : FIRN_INVALID;
    }
}

static const char *advice(int e)
{
    switch (e) {
    case ENOSPC:
    case EDQUOT:
        return ": make room on the disk";
    case EACCES:
    case EPERM:
    case EROFS:
        return ": the directory must belong to the user that runs Firn";
    case EMFILE:
        return ": raise the limit on open files (ulimit -n)";
    case EIO:
        return ": the disk is failing";
    case ENOTDIR:
        return ": a name above it is an object";
    case EXDEV:
        return ": no other file system may be mounted below the directory";
    default:
        return "";
    }
}

enum firn_status firn_file__fail(struct firn_os_req *req, bool write, const char *what, int e)
{
    enum firn_status s = status_of(e, write);
    req->status = s;
    if (s != FIRN_ABSENT)
        (void)firn_fail(&req->err, s, "cannot %s %s: %s%s", what, req->key ? req->key : "objects",
                        strerror(e), advice(e));
    return s;
}

enum firn_status firn_file__check_fs(int fd, const char *dir, struct firn_err *err)
{
    static const struct {
        unsigned long magic; /* statfs(2), linux/magic.h */
        const char *name;
    } refused[] = {
        {0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42, "CIFS"},
        {0xfe534d42, "SMB"},    {0x01021997, "9p"},     {0x65735546, "FUSE"},
        {0x00c36400, "Ceph"},   {0x5346414f, "AFS"},    {0x6b414653, "AFS"},
        {0x73757245, "Coda"},   {0x7461636f, "OCFS2"},  {0x01161970, "GFS2"},
        {0x0bd00bd0, "Lustre"}, {0x786f4256, "vboxsf"}, {0x4d44, "FAT"},
        {0x2011bab0, "exFAT"},
    };
    struct statfs s;
    if (fstatfs(fd, &s) != 0)
        return firn_fail(err, FIRN_DENIED, "cannot examine the file system of %s: %s", dir,
                         strerror(errno));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if ((unsigned long)s.f_type == refused[i].magic)
            return firn_fail(
                err, FIRN_INVALID,
                "%s lies on %s, whose locks and renames Firn cannot rely on: use a local "
                "file system (ext4, xfs, btrfs, zfs) or an S3 store",
                dir, refused[i].name);
    }
    return FIRN_OK;
}

void firn_file__etag(const void *data, size_t len, char out[FIRN_OS_ETAG_MAX])
{
    (void)snprintf(out, FIRN_OS_ETAG_MAX, "\"%016llx%016llx\"",
                   (unsigned long long)firn_xxh3(data, len),
                   (unsigned long long)firn_xxh3_seed(data, len, 1));
}
