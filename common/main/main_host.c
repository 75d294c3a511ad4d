#include "main/main_priv.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NODE_ID_FILE "node-id"

/* --- memory */

/* The nth number (from 0) of a one-line file; 0 when there is none ("max"). */
static uint64_t number_in(const char *path, unsigned nth)
{
    char line[256];
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    const char *at = fgets(line, sizeof line, f);
    (void)fclose(f);
    for (; at && nth > 0; nth--) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

uint64_t firn_main__memory(void)
{
    uint64_t limit = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    static const char *const cgroup[] = {"/sys/fs/cgroup/memory.max",                    /* v2 */
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"}; /* v1 */
    for (size_t i = 0; i < sizeof cgroup / sizeof cgroup[0]; i++) {
        uint64_t n = number_in(cgroup[i], 0);
        if (n && n < limit)
            limit = n;
    }
    return limit / 2;
}

/* --- the node's name */

/* mkdir -p, mode 0700 for what is made. */
static enum firn_status make_dir(const char *dir, struct firn_err *err)
{
    char path[4096];
    size_t n = strlen(dir);
    if (n == 0 || n >= sizeof path)
        return firn_fail(err, FIRN_INVALID, "dir: a path of 1 to %zu bytes is needed",
                         sizeof path - 1);
    memcpy(path, dir, n + 1);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return firn_fail(err, FIRN_INVALID, "dir %s: %s", dir, strerror(errno));
    return FIRN_OK;
}

static bool read_id(const char *path, char out[65])
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    int got = fscanf(f, "%64[A-Za-z0-9._-]", out);
    (void)fclose(f);
    return got == 1;
}

static enum firn_status write_id(const char *path, const char *id, struct firn_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(id);
    bool ok = fd >= 0 && write(fd, id, n) == (ssize_t)n && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        (void)close(fd);
    if (fd >= 0 && !ok)
        (void)unlink(path); /* half a name would be taken for one at the next start */
    return ok ? FIRN_OK : firn_fail(err, FIRN_INVALID, "%s: %s", path, strerror(e));
}

enum firn_status firn_main__node_id(struct firn_main *m, struct firn_err *err)
{
    struct firn_settings *s = &m->settings;
    char path[4200], id[65];
    if (s->dir[0]) {
        enum firn_status st = make_dir(s->dir, err);
        if (st != FIRN_OK)
            return st;
    }
    if (s->node_id[0])
        return FIRN_OK;
    (void)snprintf(path, sizeof path, "%s/" NODE_ID_FILE, s->dir);
    if (!s->dir[0] || !read_id(path, id)) {
        (void)snprintf(id, sizeof id, "%s-%016llx", m->program,
                       (unsigned long long)firn_random_u64(m->env));
        enum firn_status st = s->dir[0] ? write_id(path, id, err) : FIRN_OK;
        if (st != FIRN_OK)
            return st;
    }
    char *copy = firn_strdup(id);
    if (!copy)
        return FIRN_LIMIT;
    firn_free(s->node_id);
    s->node_id = copy;
    return FIRN_OK;
}

/* --- the service manager */

void firn_main__notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof a.sun_path)
        return;
    size_t n = strlen(path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@')
        a.sun_path[0] = '\0'; /* an abstract socket */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&a,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    (void)close(fd);
}

/* --- the process */

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static unsigned count_entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned n = 0;
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the one that reads */
}

/* Resident bytes of this process: the second number of statm is in pages (proc(5)). */
static uint64_t resident_bytes(void)
{
    return number_in("/proc/self/statm", 1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void firn_main_info(void *arg, const char *section, struct firn_buf *out)
{
    struct rusage u;
    (void)arg;
    if (strcmp(section, "memory") == 0) {
        (void)!firn_buf_printf(out, "used_memory_rss:%llu\r\n",
                               (unsigned long long)resident_bytes());
    } else if (strcmp(section, "server") == 0) {
        (void)!firn_buf_printf(out, "process_id:%ld\r\n", (long)getpid());
    } else if (strcmp(section, "cpu") == 0 && getrusage(RUSAGE_SELF, &u) == 0) {
        (void)!firn_buf_printf(out, "used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\n",
                               seconds(&u.ru_stime), seconds(&u.ru_utime));
    }
}

void firn_main__process_metrics(struct firn_metrics_out *out)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) == 0)
        firn_metrics_counter_f(out, "process_cpu_seconds_total", "CPU time used.",
                               seconds(&u.ru_utime) + seconds(&u.ru_stime), NULL);
    firn_metrics_gauge(out, "process_resident_memory_bytes", "Resident memory.",
                       (double)resident_bytes(), NULL);
    firn_metrics_gauge(out, "process_open_fds", "Open file descriptors.",
                       count_entries("/proc/self/fd"), NULL);
}
