/* firn-compactor: merges tables and collects garbage. */
#include "compactor/compactor_core.h"
#include "main/main_run.h"

static void stop(struct firn_main *m)
{
    firn_compactor_stop(m->core);
}

static bool ready(struct firn_main *m, struct firn_buf *out)
{
    return firn_compactor_ready(m->core, out);
}

static void working(void *arg)
{
    struct firn_main *m = arg;
    firn_main_serving(m, m->http_port);
}

static void ended(void *arg, enum firn_compactor_end how, const struct firn_err *err)
{
    struct firn_main *m = arg;
    static const int status[] = {
        [FIRN_COMPACTOR_STOPPED] = 0,
        [FIRN_COMPACTOR_FENCED] = FIRN_EXIT_FENCED,
        [FIRN_COMPACTOR_FAILED] = FIRN_EXIT_FAILED,
    };
    if (how != FIRN_COMPACTOR_STOPPED)
        firn_main_complain(m, err->text);
    bool went_back = how == FIRN_COMPACTOR_FAILED && firn_compactor_went_back(m->core);
    firn_main_quit(m, went_back ? FIRN_EXIT_WENT_BACK : status[how]);
}

int main(int argc, char **argv)
{
    struct firn_main m = {
        .role = FIRN_CONF_COMPACTOR, .program = "firn-compactor", .stop = stop, .ready = ready};
    int status = firn_main_init(&m, argc, argv);
    if (status >= 0)
        return status;
    struct firn_compactor_user u = {.working = working, .ended = ended, .arg = &m};
    struct firn_compactor *c = NULL;
    if (firn_compactor_create(m.env, m.store, &m.settings, &m.obs, &u, &c) != FIRN_OK) {
        firn_main_complain(&m, "out of memory");
        firn_main_deinit(&m);
        return FIRN_EXIT_FAILED;
    }
    m.core = c;
    firn_compactor_start(c);
    status = firn_main_run(&m);
    firn_compactor_free(c);
    firn_main_deinit(&m);
    return status;
}
