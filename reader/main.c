/* firn-reader: a replica that serves reads. */
#include "main/main_run.h"
#include "reader/reader_core.h"

static void stop(struct firn_main *m)
{
    firn_reader_stop(m->core);
}

static bool ready(struct firn_main *m, struct firn_buf *out)
{
    return firn_reader_ready(m->core, out);
}

static void serving(void *arg, uint16_t port)
{
    firn_main_serving(arg, port);
}

static void ended(void *arg, bool failed, const struct firn_err *err)
{
    struct firn_main *m = arg;
    if (failed)
        firn_main_complain(m, err->text);
    int status = failed ? FIRN_EXIT_FAILED : 0;
    if (failed && firn_reader_went_back(m->core))
        status = FIRN_EXIT_WENT_BACK;
    firn_main_quit(m, status);
}

int main(int argc, char **argv)
{
    struct firn_main m = {
        .role = FIRN_CONF_READER, .program = "firn-reader", .stop = stop, .ready = ready};
    int status = firn_main_init(&m, argc, argv);
    if (status >= 0)
        return status;
    struct firn_reader_user u = {
        .serving = serving, .ended = ended, .host_info = firn_main_info, .arg = &m};
    struct firn_reader *r = NULL;
    if (firn_reader_create(m.env, m.store, &m.settings, &m.obs, &u, &r) != FIRN_OK) {
        firn_main_complain(&m, "out of memory");
        firn_main_deinit(&m);
        return FIRN_EXIT_FAILED;
    }
    m.core = r;
    firn_reader_start(r);
    status = firn_main_run(&m);
    firn_reader_free(r);
    firn_main_deinit(&m);
    return status;
}
