/* The reader's core over a fake store whose database was made by hand. */
#include "testing.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "manifest/edit.h"
#include "manifest/intents.h"
#include "reader/reader_core.h"
#include "unit/log_by_hand.h"
#include "unit/manifest_by_hand.h"
#include "unit/resp_fake_net.h"

#define WAIT_NS (60 * FIRN_SEC)

struct fix {
    struct firn_fake_world *w;
    struct fake net;
    struct firn_store *store;
    struct firn_settings settings;
    struct firn_obs obs;
    struct firn_reader *core;
    struct firn_sock *client;
    struct firn_id db;
    bool flag, serving, over;
    bool rejects; /* GETs of the manifest: 400 */
    unsigned manifest_gets;
};

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    struct fix *f = arg;
    (void)n;
    plan->fate = FIRN_FAKE_CLEAN;
    if (req->op != FIRN_OS_GET || strcmp(req->key, "manifest") != 0)
        return;
    f->manifest_gets++;
    if (f->rejects)
        plan->fate = FIRN_FAKE_REJECTED;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

static void wait_for(struct fix *f, bool *flag)
{
    assert_true(firn_fake_run_until(f->w, is_set, flag, WAIT_NS));
}

/* ---- a database, and a writer's claim of it */

static void created(struct firn_manifest_create *c)
{
    struct fix *f = c->arg;
    assert_int_equal(c->status, FIRN_OK);
    f->db = c->manifest->db;
    f->flag = true;
}

static void stopped(void *arg)
{
    *(bool *)arg = true;
}

static void claim(Firn__Manifest *m, const void *arg)
{
    struct firn_claim c = {
        .role = FIRN_ROLE_WRITER, .process_nonce = firn_pb_id(&m->nonce), .node_id = "w"};
    (void)arg;
    SAMPLE_OK(firn_edit_claim(m, &c, NULL));
}

static void make_database(struct fix *f)
{
    const struct firn_env *env = firn_fake_env(firn_fake_node_add(f->w, NULL));
    struct firn_store *store;
    struct firn_manifest_node *mnode;
    Firn__Settings settings;
    Firn__Dialect dialect;
    bool end = false;
    assert_int_equal(firn_store_create(env, NULL, &store), FIRN_OK);
    assert_int_equal(firn_manifest_node_create(env, store, NULL, &mnode), FIRN_OK);
    firn_manifest_settings_default(&settings);
    firn__dialect__init(&dialect);
    struct firn_manifest_create c = {
        .settings = &settings, .dialect = &dialect, .done = created, .arg = f};
    firn_manifest_create(mnode, &c);
    wait_for(f, &f->flag);
    firn_manifest_node_stop(mnode, stopped, &end);
    wait_for(f, &end);
    firn_manifest_node_free(mnode);
    firn_store_free(store);
    (void)manifest_change(f->w, claim, NULL);
}

/* ---- the reader */

static void serving(void *arg, uint16_t port)
{
    (void)port;
    ((struct fix *)arg)->serving = true;
}

static void ended(void *arg, bool failed, const struct firn_err *err)
{
    (void)failed;
    (void)err;
    ((struct fix *)arg)->over = true;
}

static void open_reader(struct fix *f)
{
    memset(f, 0, sizeof *f);
    f->w = firn_fake_world_new(&(struct firn_fake_options){.seed = 7});
    firn_fake_on_request(f->w, on_request, f);
    make_database(f);
    f->net.w = f->w;
    f->net.node = firn_fake_node_add(f->w, NULL);
    f->net.env = *firn_fake_env(f->net.node);
    f->net.net = (struct firn_net){&fake_net_vt, &f->net};
    f->net.env.net = &f->net.net;
    assert_int_equal(firn_store_create(&f->net.env, NULL, &f->store), FIRN_OK);
    assert_int_equal(firn_settings_init(&f->settings), FIRN_OK);
    firn_free(f->settings.node_id);
    f->settings.node_id = firn_strdup("reader");
    assert_non_null(f->settings.node_id);
    firn_obs_init(&f->obs);
    struct firn_reader_user u = {.serving = serving, .ended = ended, .arg = f};
    assert_int_equal(firn_reader_create(&f->net.env, f->store, &f->settings, &f->obs, &u, &f->core),
                     FIRN_OK);
    firn_reader_start(f->core);
    wait_for(f, &f->serving);
    f->client = fake_connect(&f->net);
}

static void close_reader(struct fix *f)
{
    if (!f->over)
        firn_reader_stop(f->core);
    wait_for(f, &f->over);
    firn_reader_free(f->core);
    firn_store_free(f->store);
    firn_settings_deinit(&f->settings);
    fake_sock_free(f->client);
    firn_fake_world_free(f->w);
}

static void ask(struct fix *f, const char *text, const char *want)
{
    fake_deliver(f->client, text, strlen(text));
    firn_fake_run_for(f->w, FIRN_SEC);
    assert_string_equal(fake_got(f->client), want);
}

/* A seal makes it read the manifest, which the store does not take: it keeps its view and goes on.
 */
static void a_refused_manifest_does_not_end_it(void **state)
{
    struct fix f;
    (void)state;
    open_reader(&f);
    seal_put(f.w, &f.db, (struct firn_place){1, 0});
    unsigned before = f.manifest_gets;
    f.rejects = true;
    ask(&f, "GET k\r\n", "$-1\r\n");
    firn_fake_run_for(f.w, 10 * FIRN_SEC);
    assert_true(f.manifest_gets > before && !f.over);
    f.rejects = false;
    ask(&f, "GET k\r\n", "$-1\r\n");
    close_reader(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_manifest_does_not_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
