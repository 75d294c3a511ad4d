/* firn-writer: the one writer of a database. */
#include "main/main_run.h"
#include "writer/writer_core.h"

static void stop(struct firn_main *m)
{
    firn_writer_stop(m->core);
}

static bool ready(struct firn_main *m, struct firn_buf *out)
{
    return firn_writer_ready(m->core, out);
}

static void serving(void *arg, uint16_t port)
{
    firn_main_serving(arg, port);
}

static enum firn_status begin(struct firn_main *m);

/* Fenced where standbys are wanted: go on as one. */
static void stand_by(void *arg)
{
    struct firn_main *m = arg;
    firn_writer_free(m->core);
    m->core = NULL;
    m->settings.standby = true;
    if (begin(m) != FIRN_OK) {
        firn_main_complain(m, "out of memory");
        firn_main_quit(m, FIRN_EXIT_FAILED);
    }
}

static struct firn_defer stand_by_defer = {.fn = stand_by};

static void ended(void *arg, enum firn_writer_end how, const struct firn_err *err)
{
    struct firn_main *m = arg;
    if (how == FIRN_WRITER_FENCED && m->settings.heartbeat_ns && !m->stopping) {
        stand_by_defer.arg = m;
        firn_defer(m->env, &stand_by_defer);
        return;
    }
    static const int status[] = {
        [FIRN_WRITER_STOPPED] = 0,
        [FIRN_WRITER_FENCED] = FIRN_EXIT_FENCED,
        [FIRN_WRITER_FAILED] = FIRN_EXIT_FAILED,
    };
    if (how != FIRN_WRITER_STOPPED)
        firn_main_complain(m, err->text);
    bool went_back = how == FIRN_WRITER_FAILED && firn_writer_went_back(m->core);
    firn_main_quit(m, went_back ? FIRN_EXIT_WENT_BACK : status[how]);
}

static enum firn_status begin(struct firn_main *m)
{
    struct firn_writer_user u = {
        .serving = serving, .ended = ended, .host_info = firn_main_info, .arg = m};
    struct firn_writer *w = NULL;
    enum firn_status s = firn_writer_create(m->env, m->store, &m->settings, &m->obs, &u, &w);
    if (s != FIRN_OK)
        return s;
    m->core = w;
    firn_writer_start(w);
    return FIRN_OK;
}

int main(int argc, char **argv)
{
    struct firn_main m = {
        .role = FIRN_CONF_WRITER, .program = "firn-writer", .stop = stop, .ready = ready};
    int status = firn_main_init(&m, argc, argv);
    if (status >= 0)
        return status;
    if (begin(&m) != FIRN_OK) {
        firn_main_complain(&m, "out of memory");
        firn_main_deinit(&m);
        return FIRN_EXIT_FAILED;
    }
    status = firn_main_run(&m);
    firn_writer_free(m.core);
    firn_main_deinit(&m);
    return status;
}
