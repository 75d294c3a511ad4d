#include "io_file/conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum firn_status fail_errno(struct firn_err *err, int e)
{
    enum firn_status s = e == ENOENT || e == ENOTDIR ? FIRN_ABSENT
                         : e == EACCES || e == EPERM ? FIRN_DENIED
                                                     : FIRN_INVALID;
    return firn_fail(err, s, "%s", strerror(e));
}

static enum firn_status read_all(int fd, struct firn_buf *out, struct firn_err *err)
{
    for (;;) {
        enum firn_status s = firn_buf_reserve(out, 1);
        uint8_t over;
        bool full = s != FIRN_OK;
        ssize_t n = full ? read(fd, &over, 1) : read(fd, out->data + out->len, out->cap - out->len);
        if (n == 0)
            return FIRN_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, errno);
        if (full)
            return firn_fail(err, FIRN_LIMIT, "longer than %zu bytes", out->max);
        out->len += (size_t)n;
    }
}

enum firn_status firn_conf_file_read(void *arg, const char *path, struct firn_buf *out,
                                     bool *exposed, struct firn_err *err)
{
    (void)arg;
    /* O_NONBLOCK: opening a FIFO must not wait for somebody to write */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_errno(err, errno);
    struct stat st;
    enum firn_status s = FIRN_OK;
    size_t len = out->len;
    if (fstat(fd, &st) != 0)
        s = fail_errno(err, errno);
    else if (!S_ISREG(st.st_mode))
        s = firn_fail(err, FIRN_INVALID, "not a regular file");
    else
        s = read_all(fd, out, err);
    (void)close(fd);
    if (s != FIRN_OK) {
        out->len = len;
        return s;
    }
    *exposed = (st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0);
    return FIRN_OK;
}
