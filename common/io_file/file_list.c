/* LIST: a walk over the directories that can hold names of the page, in name order. */
#include "io_file/io_file_priv.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* At this many names the largest are dropped again, so that a page of a million names fits in
 * memory. */
#define NAMES_MAX 16384

struct walk {
    struct firn_file *f;
    struct firn_os_req *req;
    const char *prefix, *after;
    char **name; /* owned; names of the page and some more */
    size_t names, name_cap;
    char **dir; /* owned; directories still to be read */
    size_t dirs, dir_cap;
    bool dropped; /* there are names behind those kept */
};

static enum firn_status no_memory(struct walk *w)
{
    return w->req->status =
               firn_fail(&w->req->err, FIRN_LIMIT, "out of memory for a list of %s", w->prefix);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Keep the page and one name more. */
static void cut(struct walk *w)
{
    if (w->names)
        qsort(w->name, w->names, sizeof *w->name, by_name);
    while (w->names > FIRN_OS_LIST_MAX + 1) {
        firn_free(w->name[--w->names]);
        w->dropped = true;
    }
}

static enum firn_status push(char ***list, size_t *count, size_t *cap, const char *s)
{
    if (*count == *cap) {
        size_t n = *cap ? *cap * 2 : 64;
        char **p = firn_realloc(*list, n * sizeof **list);
        if (!p)
            return FIRN_LIMIT;
        *list = p;
        *cap = n;
    }
    char *copy = firn_strdup(s);
    if (!copy)
        return FIRN_LIMIT;
    (*list)[(*count)++] = copy;
    return FIRN_OK;
}

/* Could a name below dir (with its slash) be wanted? */
static bool dir_wanted(const struct walk *w, const char *dir)
{
    size_t n = strlen(dir), p = strlen(w->prefix);
    if (strncmp(dir, w->prefix, n < p ? n : p) != 0)
        return false;
    return !w->after || strncmp(dir, w->after, n) == 0 || strcmp(dir, w->after) > 0;
}

static bool name_wanted(const struct walk *w, const char *name)
{
    return strncmp(name, w->prefix, strlen(w->prefix)) == 0 &&
           (!w->after || strcmp(name, w->after) > 0);
}

/* *failed is left alone, or the errno of why it cannot be told. */
static bool is_dir(int fd, const struct dirent *d, int *failed)
{
    if (d->d_type != DT_UNKNOWN)
        return d->d_type == DT_DIR;
    struct stat st;
    *failed = fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
    return *failed == 0 && S_ISDIR(st.st_mode);
}

static enum firn_status visit(struct walk *w, int fd, const char *dir, const struct dirent *d)
{
    char path[FILE_PATH_MAX + 260];
    if (d->d_name[0] == '.')
        return FIRN_OK;
    int failed = 0;
    bool folder = is_dir(fd, d, &failed);
    if (failed && failed != ENOENT)
        return firn_file__fail(w->req, false, "list", failed);
    int n = snprintf(path, sizeof path, "%s%s%s", dir, d->d_name, folder ? "/" : "");
    if (n < 0 || (size_t)n > FIRN_OS_KEY_MAX)
        return FIRN_OK; /* not one of ours */
    if (folder && dir_wanted(w, path))
        return push(&w->dir, &w->dirs, &w->dir_cap, path) == FIRN_OK ? FIRN_OK : no_memory(w);
    if (folder || !name_wanted(w, path) || !firn_file__key_ok(path))
        return FIRN_OK;
    if (push(&w->name, &w->names, &w->name_cap, path) != FIRN_OK)
        return no_memory(w);
    if (w->names >= NAMES_MAX)
        cut(w);
    return FIRN_OK;
}

/* Read one directory: dir is "" or ends in a slash. */
static enum firn_status read_dir(struct walk *w, const char *dir)
{
    int fd = openat(w->f->root, dir[0] ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return FIRN_OK;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        int e = errno;
        if (fd >= 0)
            (void)close(fd);
        return firn_file__fail(w->req, false, "list", e);
    }
    enum firn_status s = FIRN_OK;
    struct dirent *entry = NULL;
    while (s == FIRN_OK) {
        errno = 0;
        entry = readdir(d);
        if (!entry)
            break;
        s = visit(w, fd, dir, entry);
    }
    if (s == FIRN_OK && errno != 0)
        s = firn_file__fail(w->req, false, "list", errno);
    (void)closedir(d);
    return s;
}

/* The page: names with their sizes; what was deleted meanwhile is left out. */
static void fill_page(struct walk *w)
{
    struct firn_os_page *page = &w->req->page;
    cut(w);
    bool more = w->dropped || w->names > FIRN_OS_LIST_MAX;
    size_t n = w->names < FIRN_OS_LIST_MAX ? w->names : FIRN_OS_LIST_MAX;
    page->entry = firn_calloc(n, sizeof *page->entry);
    if (!page->entry) {
        (void)no_memory(w);
        return;
    }
    if (more) {
        page->next = firn_strdup(w->name[n - 1]);
        if (!page->next) {
            (void)no_memory(w);
            return;
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        if (fstatat(w->f->root, w->name[i], &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT || errno == ENOTDIR)
                continue;
            /* A page that leaves out what is there is worse than none. */
            (void)firn_file__fail(w->req, false, "list", errno);
            return;
        }
        if (!S_ISREG(st.st_mode))
            continue;
        page->entry[page->count].key = w->name[i];
        page->entry[page->count++].size = (uint64_t)st.st_size;
        w->name[i] = NULL; /* the page's now */
    }
}

void firn_file__list(struct firn_file *f, struct firn_os_req *req)
{
    struct walk w = {.f = f, .req = req, .prefix = req->key, .after = req->start_after};
    if (req->cursor && (!w.after || strcmp(req->cursor, w.after) > 0))
        w.after = req->cursor;
    /* Begin at the directory the prefix names. */
    char dir[FILE_PATH_MAX];
    firn_file__dir_of(req->key, dir);
    size_t n = strlen(dir);
    if (n) { /* FILE_PATH_MAX leaves room */
        dir[n] = '/';
        dir[n + 1] = '\0';
    }
    enum firn_status s = push(&w.dir, &w.dirs, &w.dir_cap, dir);
    if (s != FIRN_OK)
        (void)no_memory(&w);
    while (s == FIRN_OK && w.dirs) {
        char *next = w.dir[--w.dirs];
        s = read_dir(&w, next);
        firn_free(next);
    }
    if (s == FIRN_OK)
        fill_page(&w);
    for (size_t i = 0; i < w.names; i++)
        firn_free(w.name[i]);
    for (size_t i = 0; i < w.dirs; i++)
        firn_free(w.dir[i]);
    firn_free(w.name);
    firn_free(w.dir);
}
