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

static void ended(void *arg, enum firn_writer_end how, const struct firn_err *err)
{
    struct firn_main *m = arg;
    static const int status[] = {
        [FIRN_WRITER_STOPPED] = 0,
        [FIRN_WRITER_FENCED] = FIRN_EXIT_FENCED,
        [FIRN_WRITER_FAILED] = FIRN_EXIT_FAILED,
    };
    if (how != FIRN_WRITER_STOPPED)
        firn_main_complain(m, err->text);
    firn_main_quit(m, status[how]);
}

int main(int argc, char **argv)
{
    struct firn_main m = {
        .role = FIRN_CONF_WRITER, .program = "firn-writer", .stop = stop, .ready = ready};
    int status = firn_main_init(&m, argc, argv);
    if (status >= 0)
        return status;
    struct firn_writer_user u = {
        .serving = serving, .ended = ended, .host_info = firn_main_info, .arg = &m};
    struct firn_writer *w = NULL;
    if (firn_writer_create(m.env, m.store, &m.settings, &m.obs, &u, &w) != FIRN_OK) {
        firn_main_complain(&m, "out of memory");
        firn_main_deinit(&m);
        return FIRN_EXIT_FAILED;
    }
    m.core = w;
    firn_writer_start(w);
    status = firn_main_run(&m);
    firn_writer_free(w);
    firn_main_deinit(&m);
    return status;
}
