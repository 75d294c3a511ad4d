/* firnctl: look at a database, and check it. */
#include "ctl/ctl.h"
#include "io_file/io_file.h"
#include "main/main_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct firn_ctl_args args;

/* A reader of our output that went away (head, less) is no error of ours. */
static void out(void *arg, struct firn_slice text)
{
    struct firn_main *m = arg;
    if (fwrite(text.data, 1, text.len, stdout) == text.len)
        return;
    if (errno != EPIPE)
        firn_main_complain(m, strerror(errno));
    _Exit(FIRN_EXIT_FAILED);
}

static void say(void *arg, const char *line)
{
    (void)fflush(stdout);
    firn_main_complain(arg, line);
}

static void ended(void *arg, int status)
{
    firn_main_quit(arg, status);
}

/* Looking must not make a directory where there is none. */
static int check_directory(const struct firn_main *m)
{
    char dir[1024];
    struct firn_err err = {0};
    struct stat st;
    if (strncmp(m->settings.store, "file://", 7) != 0)
        return -1;
    if (firn_file_url_parse(m->settings.store, dir, sizeof dir, &err) != FIRN_OK) {
        firn_main_complain(m, err.text);
        return FIRN_EXIT_USAGE;
    }
    if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        return -1;
    (void)firn_fail(&err, FIRN_ABSENT, "there is no database at %s: %s: %s", m->settings.store, dir,
                    errno ? strerror(errno) : "no directory");
    firn_main_complain(m, err.text);
    return FIRN_EXIT_FAILED;
}

static int look_at_words(struct firn_main *m, int argc, char **argv)
{
    struct firn_err err = {0};
    if (firn_ctl_parse(argc, argv, &args, &err) != FIRN_OK) {
        firn_main_complain(m, err.text);
        return FIRN_EXIT_USAGE;
    }
    errno = 0;
    return check_directory(m);
}

int main(int argc, char **argv)
{
    struct firn_main m = {
        .role = FIRN_CONF_CTL,
        .program = "firnctl",
        .words = look_at_words,
        .usage = firn_ctl_usage,
    };
    (void)signal(SIGPIPE, SIG_IGN);
    int status = firn_main_init(&m, argc, argv);
    if (status >= 0)
        return status;
    struct firn_ctl_user u = {.out = out, .say = say, .ended = ended, .arg = &m};
    struct firn_ctl *c = NULL;
    if (firn_ctl_create(m.env, m.store, &m.settings, &args, &u, &c) != FIRN_OK) {
        firn_main_complain(&m, "out of memory");
        firn_main_deinit(&m);
        return FIRN_EXIT_FAILED;
    }
    m.core = c;
    firn_ctl_start(c);
    status = firn_main_run(&m);
    firn_ctl_free(c);
    firn_main_deinit(&m);
    if (fflush(stdout) != 0 && errno != EPIPE) {
        firn_main_complain(&m, strerror(errno));
        return FIRN_EXIT_FAILED;
    }
    return status;
}
