#include "sometimes_file.h"

#include "base/sometimes.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define POINTS_MAX 1024
#define NAME_MAX_BYTES 160

struct point {
    char name[NAME_MAX_BYTES];
    unsigned long long count;
};

struct points {
    struct point point[POINTS_MAX];
    size_t n;
};

/* What this process has saved already, by name. */
static struct points saved;

static struct point *find(struct points *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->point[i].name, name) == 0)
            return &p->point[i];
    if (p->n == POINTS_MAX || strlen(name) >= NAME_MAX_BYTES) {
        (void)fprintf(stderr, "sometimes: more points, or longer names, than there is room for\n");
        abort();
    }
    struct point *new = &p->point[p->n++];
    (void)snprintf(new->name, sizeof new->name, "%s", name);
    return new;
}

static void add(void *arg, const struct firn_sometimes *s, uint64_t count)
{
    struct point *before = find(&saved, s->name);
    find(arg, s->name)->count += count - before->count;
    before->count = count;
}

static void read_points(FILE *f, struct points *p)
{
    char line[NAME_MAX_BYTES + 32];
    while (fgets(line, sizeof line, f)) {
        char *name;
        unsigned long long count = strtoull(line, &name, 10);
        line[strcspn(line, "\n")] = '\0';
        if (*name == '\t')
            find(p, name + 1)->count += count;
    }
}

void firn_sometimes_save(const char *path)
{
    static struct points all;
    all.n = 0;
    memset(all.point, 0, sizeof all.point);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    FILE *f = fd >= 0 && flock(fd, LOCK_EX) == 0 ? fdopen(fd, "r+") : NULL;
    if (!f) {
        perror(path);
        exit(1);
    }
    read_points(f, &all);
    firn_sometimes_each(add, &all);
    bool ok = fseek(f, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0;
    for (size_t i = 0; ok && i < all.n; i++)
        ok = fprintf(f, "%llu\t%s\n", all.point[i].count, all.point[i].name) > 0;
    if (!ok || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

__attribute__((destructor)) static void save_at_exit(void)
{
    const char *path = getenv("FIRN_SOMETIMES");
    if (path && *path)
        firn_sometimes_save(path);
}
