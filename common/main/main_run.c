#include "main/main_priv.h"

#include "base/mem.h"
#include "io_file/conf_file.h"
#include "io_file/io_file.h"
#include "io_s3/io_s3.h"

#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Descriptors beside the clients': the store's connections, listeners, files. */
#define NOFILE_RESERVE 1024
/* What a program may take beyond shutdown-timeout. */
#define OVERDUE_NS (2 * FIRN_SEC)
/* What the allocator may keep: blocks up to so much, and so much in all, but no more of `memory`.
 */
#define MMAP_FROM_BYTES ((uint64_t)32 << 20)
#define MMAP_FROM_SHARE 128
#define TRIM_FROM_BYTES ((uint64_t)256 << 20)
#define TRIM_FROM_SHARE 16
/* With less, threads share one arena: what workers make and the loop frees else stays with each. */
#define ARENAS_FROM_BYTES ((uint64_t)1 << 30)

extern char **environ;

void firn_main_complain(const struct firn_main *m, const char *text)
{
    (void)fprintf(stderr, "%s: %s\n", m->program, text);
}

/* --- the log */

static void log_line(void *arg, enum firn_log_level level, const char *line, size_t len)
{
    (void)arg;
    (void)level;
    (void)fprintf(stderr, "%.*s\n", (int)len, line);
}

static uint64_t log_time(void *arg)
{
    struct timespec t;
    (void)arg;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void log_open(struct firn_main *m)
{
    m->obs.log.sink = log_line;
    m->obs.log.wall_ms = log_time;
    m->obs.log.level = (enum firn_log_level)m->settings.log_level;
    m->obs.log.json = m->settings.log_format == 1;
}

/* --- settings */

static int print_and_exit(enum firn_status s, struct firn_buf *text)
{
    if (s == FIRN_OK)
        (void)fwrite(text->data, 1, text->len, stdout);
    firn_buf_clear(text);
    return s == FIRN_OK ? 0 : FIRN_EXIT_FAILED;
}

static void source_of(struct firn_main *m, struct firn_conf_source *src)
{
    *src = (struct firn_conf_source){
        .argc = m->argc,
        .argv = m->argv,
        .envp = environ,
        .read_file = firn_conf_file_read,
    };
}

static int load_settings(struct firn_main *m)
{
    struct firn_conf_source src;
    struct firn_err err = {0};
    source_of(m, &src);
    enum firn_status s = firn_conf_load(m->role, &src, &m->settings, &err);
    if (s != FIRN_OK) {
        (void)firn_fail(&err, s, "loading settings failed: %s", firn_status_name(s));
        firn_main_complain(m, err.text);
        return FIRN_EXIT_USAGE;
    }
    struct firn_buf text;
    firn_buf_init(&text, (size_t)1 << 20);
    if (m->settings.want_help) {
        s = firn_conf_help(m->role, m->program, &text);
        if (s == FIRN_OK && m->usage)
            s = firn_buf_printf(&text, "\n");
        if (s == FIRN_OK && m->usage)
            s = m->usage(&text);
        return print_and_exit(s, &text);
    }
    if (m->settings.want_version)
        return print_and_exit(firn_buf_printf(&text, "%s %s\n", m->program, FIRN_VERSION), &text);
    if (m->settings.memory_bytes == 0)
        m->settings.memory_bytes = firn_main__memory();
    int argi = m->settings.argi;
    return m->words ? m->words(m, m->argc - argi, m->argv + argi) : -1;
}

static void setting_changed(void *arg, const char *name, bool applied)
{
    struct firn_main *m = arg;
    firn_log_event(&m->obs.log, FIRN_LOG_INFO, "setting changed", "name=%s applied=%s", name,
                   applied ? "yes" : "at the next start");
}

static void reload_settings(struct firn_main *m)
{
    struct firn_conf_source src;
    struct firn_settings fresh;
    struct firn_err err = {0};
    memset(&fresh, 0, sizeof fresh);
    source_of(m, &src);
    enum firn_status s = firn_conf_load(m->role, &src, &fresh, &err);
    if (s == FIRN_OK)
        s = firn_conf_reload(&m->settings, &fresh, m->role, setting_changed, m);
    firn_settings_deinit(&fresh);
    if (s != FIRN_OK)
        firn_log_event(&m->obs.log, FIRN_LOG_ERROR, "settings not reloaded", "why=%s", err.text);
    m->obs.log.level = (enum firn_log_level)m->settings.log_level;
}

/* --- signals */

/* Something under way does not end (a store that never answers): whatever it is, nothing
 * acknowledged depends on this process any more. */
static void overdue(void *arg)
{
    struct firn_main *m = arg;
    firn_main_complain(m, "did not end within shutdown-timeout; leaving");
    _exit(FIRN_EXIT_FAILED);
}

static void on_signal(void *arg, int signo)
{
    struct firn_main *m = arg;
    if (signo == SIGHUP) {
        reload_settings(m);
        return;
    }
    if (m->stopping)
        return;
    m->stopping = true;
    firn_main__notify("STOPPING=1");
    firn_log_event(&m->obs.log, FIRN_LOG_INFO, "stopping", "signal=%d", signo);
    m->overdue.fn = overdue;
    m->overdue.arg = m;
    firn_timer_start(m->env, &m->overdue, m->settings.shutdown_timeout_ns + OVERDUE_NS);
    m->stop(m);
}

/* --- the store */

static enum firn_status open_file_store(struct firn_main *m, struct firn_err *err)
{
    enum firn_status s =
        firn_file_create(m->settings.store, firn_uv_poster(m->uv), NULL, &m->file, err);
    if (s == FIRN_OK)
        m->objstore = firn_file_store(m->file);
    return s;
}

static enum firn_status open_s3_store(struct firn_main *m, struct firn_err *err)
{
    const struct firn_settings *s = &m->settings;
    struct firn_s3_options o = {.addressing = (enum firn_s3_addressing)s->addressing};
    if (strlen(s->endpoint) >= sizeof o.endpoint)
        return firn_fail(err, FIRN_INVALID, "endpoint: longer than %zu bytes",
                         sizeof o.endpoint - 1);
    (void)snprintf(o.endpoint, sizeof o.endpoint, "%s", s->endpoint);
    (void)snprintf(o.region, sizeof o.region, "%s", s->region);
    enum firn_status st = firn_s3_url_parse(s->store, &o, err);
    return st == FIRN_OK ? firn_s3_create(firn_uv_loop(m->uv), &o, &m->objstore, err) : st;
}

/* Per kind of request, once when it has failed for a while and once when that is over: what the
 * node does about it, it says where it does it. */
static void store_told(void *arg, enum firn_os_op op, const struct firn_store_health *h)
{
    struct firn_main *m = arg;
    const char *what = firn_os_op_name(op);
    uint64_t ms = (firn_boot_ns(m->env) - h->failing_since_ns) / FIRN_MS;
    if (h->told)
        firn_log_event(&m->obs.log, FIRN_LOG_WARN, "store failing",
                       "op=%s status=%s for=%" PRIu64 "ms why=%s", what,
                       firn_status_name(h->status), ms, h->err.text);
    else
        firn_log_event(&m->obs.log, FIRN_LOG_INFO, "store answers again",
                       "op=%s after=%" PRIu64 "ms", what, ms);
}

static enum firn_status open_store(struct firn_main *m, struct firn_err *err)
{
    enum firn_status s;
    if (strncmp(m->settings.store, "file://", 7) == 0)
        s = open_file_store(m, err);
    else if (strncmp(m->settings.store, "s3://", 5) == 0)
        s = open_s3_store(m, err);
    else
        return firn_fail(err, FIRN_INVALID,
                         "store \"%s\": it must be s3://bucket/prefix or file:///directory",
                         m->settings.store);
    if (s != FIRN_OK)
        return s;
    m->env->store = m->objstore;
    if (&firn_main_wrap != NULL) {
        m->env->store = firn_main_wrap.wrap(m->env, m->objstore, err);
        if (!m->env->store)
            return FIRN_INVALID;
    }
    struct firn_store_options o = {
        .attempt_base_ns = m->settings.attempt_timeout_ns,
        .attempt_bytes_per_sec = m->settings.attempt_bytes_per_sec,
        .hedge_gets = m->env->store->is_remote,
    };
    s = firn_store_create(m->env, &o, &m->store);
    if (s == FIRN_OK && m->role != FIRN_CONF_CTL)
        firn_store_watch(m->store, store_told, m);
    return s;
}

/* --- life */

static enum firn_status open_all(struct firn_main *m, struct firn_err *err)
{
    uint64_t want = (m->role & (FIRN_CONF_WRITER | FIRN_CONF_READER) ? m->settings.maxclients : 0) +
                    NOFILE_RESERVE;
    uint64_t nofile = firn_uv_nofile(want);
    enum firn_status s = firn_uv_create(NULL, &m->uv, err);
    if (s != FIRN_OK)
        return s;
    m->env = firn_uv_env(m->uv);
    if (nofile < want)
        firn_log_event(&m->obs.log, FIRN_LOG_WARN, "few file descriptors",
                       "limit=%" PRIu64 " wanted=%" PRIu64, nofile, want);
    if (m->role == FIRN_CONF_CTL)
        return open_store(m, err);
    s = firn_main__node_id(m, err);
    if (s == FIRN_OK)
        s = firn_uv_signals(m->uv, on_signal, m, err);
    if (s == FIRN_OK)
        s = open_store(m, err);
    if (s == FIRN_OK)
        s = firn_main__http_open(m, err);
    return s;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Fresh pages cost microseconds each, so memory that was used once is kept for the next memtable or
 * batch instead of going back to the kernel at every free. The budget does not count what is kept,
 * so it is little where `memory` is. */
static void keep_memory(uint64_t memory)
{
    (void)mallopt(M_MMAP_THRESHOLD, (int)least_of(memory / MMAP_FROM_SHARE, MMAP_FROM_BYTES));
    (void)mallopt(M_TRIM_THRESHOLD, (int)least_of(memory / TRIM_FROM_SHARE, TRIM_FROM_BYTES));
    if (memory < ARENAS_FROM_BYTES)
        (void)mallopt(M_ARENA_MAX, 1);
}

int firn_main_init(struct firn_main *m, int argc, char **argv)
{
    m->argc = argc;
    m->argv = argv;
    firn_obs_init(&m->obs);
    firn_list_init(&m->metrics.link); /* deinit may come before it is added */
    int status = load_settings(m);
    if (status >= 0) {
        firn_settings_deinit(&m->settings);
        return status;
    }
    keep_memory(m->settings.memory_bytes);
    log_open(m);
    struct firn_err err = {0};
    enum firn_status s = open_all(m, &err);
    if (s != FIRN_OK) {
        (void)firn_fail(&err, s, "starting failed: %s", firn_status_name(s));
        firn_main_complain(m, err.text);
        firn_main_deinit(m);
        return s == FIRN_INVALID ? FIRN_EXIT_USAGE : FIRN_EXIT_FAILED;
    }
    return -1;
}

int firn_main_run(struct firn_main *m)
{
    firn_uv_run(m->uv);
    return m->exit_status;
}

void firn_main_quit(struct firn_main *m, int status)
{
    m->exit_status = status;
    firn_uv_stop(m->uv);
}

void firn_main_deinit(struct firn_main *m)
{
    firn_metrics_remove(&m->metrics);
    firn_http_free(m->http);
    firn_store_free(m->store);
    if (&firn_main_wrap != NULL && m->env && m->env->store)
        firn_main_wrap.unwrap(m->env->store);
    if (m->file)
        firn_file_free(m->file);
    else
        firn_s3_free(m->objstore);
    firn_uv_free(m->uv);
    firn_settings_deinit(&m->settings);
}

void firn_main_serving(struct firn_main *m, uint16_t port)
{
    firn_log_event(&m->obs.log, FIRN_LOG_INFO, "serving",
                   "program=%s port=%u http_port=%u store=%s node=%s", m->program, (unsigned)port,
                   (unsigned)m->http_port, m->objstore->url, m->settings.node_id);
    firn_main__notify("READY=1");
}
