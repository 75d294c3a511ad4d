/* A node's pin over a fake store: what may lie between its PUT and the check, every kind of 412 of
 * a renewal, requests that land late, owners that die. */
#include "fakes/fake_env.h"
#include "unit/manifest_by_hand.h"

#include "format/pin.h"
#include "manifest/commit.h"
#include "manifest/pins.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TTL (60 * FIRN_SEC)

/* What becomes of the requests for the pin, one after the other; CLEAN when they are used up. */
struct script {
    enum firn_fake_fate fate[8];
    unsigned n, at;
    uint64_t late_ns;
};

struct holder {
    struct firn_pin_hold hold;
    unsigned told;
};

static struct firn_fake_world *world;
static struct firn_fake_node *fake;
static const struct firn_env *env;
static struct firn_store *store;
static struct firn_manifest_node *node;
static struct firn_pins *pins;
static struct script puts_, gets_, looks_; /* of the pin; of the manifest */
static unsigned pin_puts, manifest_gets;
static bool flag;

static void follow(struct script *s, struct firn_fake_plan *plan)
{
    plan->fate = s->at < s->n ? s->fate[s->at] : FIRN_FAKE_CLEAN;
    plan->late_ns = s->late_ns;
    s->at++;
}

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    (void)arg;
    (void)n;
    if (strncmp(req->key, "pins/", 5) == 0) {
        pin_puts += req->op == FIRN_OS_PUT;
        follow(req->op == FIRN_OS_PUT ? &puts_ : &gets_, plan);
    } else if (strcmp(req->key, "manifest") == 0 && req->op == FIRN_OS_GET) {
        manifest_gets++;
        follow(&looks_, plan);
    }
}

static void script(struct script *s, unsigned n, const enum firn_fake_fate *fate)
{
    *s = (struct script){.n = n};
    for (unsigned i = 0; i < n; i++)
        s->fate[i] = fate[i];
}

#define SCRIPT(s, ...)                                                                             \
    do {                                                                                           \
        enum firn_fake_fate fate_[] = {__VA_ARGS__};                                               \
        script(s, sizeof fate_ / sizeof *fate_, fate_);                                            \
    } while (0)

static void set_flag(void *arg)
{
    (void)arg;
    flag = true;
}

static bool flag_is_set(void *arg)
{
    (void)arg;
    return flag;
}

static void created(struct firn_manifest_create *c)
{
    assert_int_equal(c->status, FIRN_OK);
    flag = true;
}

static int open_world(void **state)
{
    (void)state;
    Firn__Settings settings;
    Firn__Dialect dialect;
    world = firn_fake_world_new(&(struct firn_fake_options){.seed = 11});
    fake = firn_fake_node_add(world, NULL);
    env = firn_fake_env(fake);
    assert_int_equal(firn_store_create(env, NULL, &store), FIRN_OK);
    assert_int_equal(firn_manifest_node_create(env, store, NULL, &node), FIRN_OK);
    firn_manifest_settings_default(&settings);
    firn__dialect__init(&dialect);
    struct firn_manifest_create c = {.settings = &settings, .dialect = &dialect, .done = created};
    flag = false;
    firn_manifest_create(node, &c);
    assert_true(firn_fake_run_until(world, flag_is_set, NULL, 100 * FIRN_SEC));
    struct firn_pins_options o = {.db = firn_manifest_newest(node)->db, .format = 1, .ttl_ns = TTL};
    assert_int_equal(firn_pins_create(env, store, node, &o, &pins), FIRN_OK);
    puts_ = gets_ = looks_ = (struct script){.n = 0};
    firn_fake_on_request(world, on_request, NULL);
    pin_puts = manifest_gets = 0;
    return 0;
}

static bool all_quiet(void *arg)
{
    (void)arg;
    return flag && firn_store_idle(store);
}

static int close_world(void **state)
{
    (void)state;
    flag = false;
    firn_pins_stop(pins);
    firn_manifest_node_stop(node, set_flag, NULL);
    assert_true(firn_fake_run_until(world, all_quiet, NULL, 100 * FIRN_SEC));
    firn_pins_free(pins);
    firn_manifest_node_free(node);
    firn_store_free(store);
    firn_fake_world_free(world);
    return 0;
}

/* Somebody else commits: the same manifest with the next version. At once. */
static uint64_t bump(void)
{
    return manifest_change(world, NULL, NULL);
}

static uint64_t version_now(void)
{
    Firn__Manifest *m = manifest_there(world);
    uint64_t v = m->version;
    firn_pb_manifest_free(m);
    return v;
}

/* The one pin there is. */
static struct firn_pin pin_there(void)
{
    struct firn_slice body;
    struct firn_pin p;
    assert_int_equal(firn_fake_count(world, "pins/"), 1);
    assert_true(firn_fake_get(world, firn_fake_next(world, "pins/", NULL), &body));
    assert_int_equal(firn_pin_decode(body, &firn_manifest_newest(node)->db, &p, NULL), FIRN_OK);
    return p;
}

static bool pin_is(const struct firn_id *nonce)
{
    struct firn_pin p = pin_there();
    return firn_id_eq(&p.nonce, nonce);
}

static void changed(struct firn_pin_hold *h)
{
    struct holder *u = h->arg;
    u->told++;
}

static bool is_settled(void *arg)
{
    return ((struct holder *)arg)->hold.state != FIRN_PIN_WAITING;
}

static void hold(struct holder *u)
{
    *u = (struct holder){.hold = {.changed = changed, .arg = u}};
    firn_pins_hold(pins, &u->hold);
}

static void held(struct holder *u)
{
    hold(u);
    assert_true(firn_fake_run_until(world, is_settled, u, 10 * TTL));
    assert_int_equal(u->hold.state, FIRN_PIN_HELD);
}

/* ---- */

static void one_object_for_all(void **state)
{
    (void)state;
    struct holder a, b, c;
    held(&a);
    assert_int_equal(a.told, 1);
    assert_int_equal(a.hold.version, version_now());
    assert_int_equal(pin_there().version, version_now());
    hold(&b); /* the pin is alive: at once, without a request */
    assert_int_equal(b.hold.state, FIRN_PIN_HELD);
    assert_int_equal(b.told, 0);
    struct firn_id before = pin_there().nonce;
    uint64_t old = a.hold.version, v = bump();
    hold(&c);
    firn_pins_use(&c.hold, v);
    firn_fake_run_for(world, TTL / 3);
    assert_false(pin_is(&before));
    assert_int_equal(pin_there().version, old);
    /* The oldest go: the version named rises with the next renewal, for those to come, too. */
    firn_pins_release(&a.hold);
    firn_pins_release(&b.hold);
    firn_fake_run_for(world, TTL / 3);
    assert_int_equal(pin_there().version, v);
    hold(&a);
    assert_int_equal(a.hold.version, v);
    firn_pins_release(&a.hold);
    assert_int_equal(pin_puts, 3);
    assert_int_equal(manifest_gets, 1);
    /* Nobody is left: it names nothing, and is not renewed. */
    firn_pins_release(&c.hold);
    firn_fake_run_for(world, TTL / 3);
    assert_true(pin_there().version == FIRN_PIN_NOTHING);
    firn_fake_run_for(world, 3 * TTL);
    assert_int_equal(pin_puts, 4);
    firn_fake_delete(world, firn_fake_next(world, "pins/", NULL));
    held(&a); /* a new object */
    assert_int_equal(a.hold.version, version_now());
    firn_pins_release(&a.hold);
}

static unsigned effects;
static void count_effects(void *arg, unsigned n, enum firn_os_op op, const char *name,
                          struct firn_slice body, enum firn_status status)
{
    (void)arg;
    (void)n;
    (void)body;
    (void)status;
    if (op == FIRN_OS_PUT && strncmp(name, "pins/", 5) == 0)
        effects++;
}

static bool pin_landed(void *arg)
{
    (void)arg;
    return effects > 0;
}

/* What was current when the pin was sent need not be when it is durable: what may be used is what
 * the read behind it showed. */
static void version_moves_in_between(void **state)
{
    (void)state;
    struct holder a;
    effects = 0;
    firn_fake_on_effect(world, count_effects, NULL);
    uint64_t old = version_now();
    hold(&a);
    assert_true(firn_fake_run_until(world, pin_landed, NULL, TTL));
    uint64_t v = bump();
    assert_true(firn_fake_run_until(world, is_settled, &a, TTL));
    assert_int_equal(a.hold.state, FIRN_PIN_HELD);
    assert_int_equal(a.hold.version, v);
    assert_int_equal(firn_pins_manifest(pins)->version, v);
    assert_int_equal(pin_there().version, old); /* spares more, until it is renewed */
    firn_fake_run_for(world, TTL / 3);
    assert_int_equal(pin_there().version, v);
    firn_pins_release(&a.hold);
}

/* The owner dies between PUT and check, or later: what is left is an object that nobody renews. */
static void owner_dies(void **state)
{
    (void)state;
    struct holder a;
    effects = 0;
    firn_fake_on_effect(world, count_effects, NULL);
    hold(&a);
    assert_true(firn_fake_run_until(world, pin_landed, NULL, TTL));
    assert_int_equal(a.hold.state, FIRN_PIN_WAITING);
    firn_fake_node_cut(fake, true);
    struct firn_id before = pin_there().nonce;
    firn_fake_run_for(world, 3 * TTL);
    assert_true(pin_is(&before));
    assert_int_not_equal(a.hold.state, FIRN_PIN_HELD);
    firn_fake_node_cut(fake, false);
    firn_pins_release(&a.hold);
}

static void making_fails(void **state)
{
    (void)state;
    struct holder a, b;
    SCRIPT(&puts_, FIRN_FAKE_DENIED);
    hold(&a);
    hold(&b);
    assert_true(firn_fake_run_until(world, is_settled, &a, TTL));
    assert_int_equal(a.hold.state, FIRN_PIN_LOST);
    assert_int_equal(b.hold.state, FIRN_PIN_LOST);
    assert_int_equal(a.hold.status, FIRN_DENIED);
    assert_non_null(strstr(a.hold.err.text, "pins/"));
    /* The next who asks begins anew; a PUT that lands late is another object, and no harm. */
    SCRIPT(&puts_, FIRN_FAKE_LATE, FIRN_FAKE_DROP, FIRN_FAKE_DROP, FIRN_FAKE_DROP, FIRN_FAKE_DROP,
           FIRN_FAKE_DROP, FIRN_FAKE_DROP, FIRN_FAKE_DROP);
    puts_.late_ns = 2 * TTL;
    hold(&a);
    firn_fake_node_cut(fake, true);
    assert_true(firn_fake_run_until(world, is_settled, &a, TTL));
    assert_int_equal(a.hold.state, FIRN_PIN_LOST);
    firn_fake_node_cut(fake, false);
    puts_.n = 0;
    held(&b);
    firn_pins_release(&a.hold);
    firn_pins_release(&b.hold);
}

/* Durable, but the manifest cannot be read: no hold, and the pin is made to name nothing. */
static void check_fails(void **state)
{
    (void)state;
    struct holder a;
    SCRIPT(&looks_, FIRN_FAKE_DENIED);
    hold(&a);
    assert_true(firn_fake_run_until(world, is_settled, &a, TTL));
    assert_int_equal(a.hold.state, FIRN_PIN_LOST);
    assert_int_equal(a.hold.status, FIRN_DENIED);
    firn_fake_run_for(world, FIRN_SEC);
    assert_true(pin_there().version == FIRN_PIN_NOTHING);
}

/* ---- renewals */

/* Whatever the reply says, our own bytes there mean renewed. */
static void own_bytes_are_renewed(void **state)
{
    (void)state;
    const enum firn_fake_fate fates[] = {
        FIRN_FAKE_TWICE_SECOND, FIRN_FAKE_RESET_DONE, FIRN_FAKE_LOSE_REPLY,
        FIRN_FAKE_500_DONE,     FIRN_FAKE_409,        FIRN_FAKE_503,
        FIRN_FAKE_DROP,         FIRN_FAKE_REFUSED,    FIRN_FAKE_500};
    struct holder a;
    held(&a);
    for (size_t i = 0; i < sizeof fates / sizeof *fates; i++) {
        struct firn_id before = pin_there().nonce;
        script(&puts_, 1, &fates[i]);
        firn_fake_run_for(world, TTL / 2);
        assert_int_equal(a.hold.state, FIRN_PIN_HELD);
        assert_false(pin_is(&before));
    }
    assert_int_equal(firn_pins_stats_of(pins)->lost, 0);
    firn_pins_release(&a.hold);
}

static void somebody_elses_bytes_end_it(void **state)
{
    (void)state;
    struct holder a, b;
    held(&a);
    hold(&b);
    struct firn_pin other = {
        .db = firn_manifest_newest(node)->db, .version = 1, .format = 1, .nonce = {{9}}};
    uint8_t body[FIRN_PIN_BYTES];
    firn_pin_encode(&other, body);
    firn_fake_put(world, firn_fake_next(world, "pins/", NULL), body, sizeof body);
    firn_fake_run_for(world, TTL / 2);
    assert_int_equal(a.hold.state, FIRN_PIN_LOST);
    assert_int_equal(a.hold.status, FIRN_CONFLICT);
    assert_int_equal(b.hold.state, FIRN_PIN_LOST);
    assert_int_equal(b.told, 1);
    /* Not even what is no pin at all. */
    firn_fake_delete(world, firn_fake_next(world, "pins/", NULL));
    held(&a);
    firn_fake_put(world, firn_fake_next(world, "pins/", NULL), "x", 1);
    firn_fake_run_for(world, TTL / 2);
    assert_int_equal(a.hold.state, FIRN_PIN_LOST);
    firn_pins_release(&b.hold);
}

static void collected_ends_it(void **state)
{
    (void)state;
    struct holder a;
    held(&a);
    firn_fake_delete(world, firn_fake_next(world, "pins/", NULL));
    firn_fake_run_for(world, TTL / 2);
    assert_int_equal(a.hold.state, FIRN_PIN_LOST);
    assert_int_equal(a.hold.status, FIRN_ABSENT);
    assert_int_equal(firn_fake_count(world, "pins/"), 0);
    held(&a); /* and a new one may be had */
    firn_pins_release(&a.hold);
}

/* The store is away for longer than the ttl, and nobody collected the pin: it lives. */
static void store_comes_back(void **state)
{
    (void)state;
    struct holder a;
    held(&a);
    struct firn_id before = pin_there().nonce;
    firn_fake_node_cut(fake, true);
    firn_fake_run_for(world, 2 * TTL);
    assert_int_equal(a.hold.state, FIRN_PIN_HELD);
    assert_true(pin_is(&before));
    firn_fake_node_cut(fake, false);
    firn_fake_run_for(world, TTL / 2);
    assert_int_equal(a.hold.state, FIRN_PIN_HELD);
    assert_false(pin_is(&before));
    firn_pins_release(&a.hold);
}

/* A renewal that lands after its caller gave it up: seen by the look of the next try. */
static void renewal_lands_late(void **state)
{
    (void)state;
    struct holder a;
    held(&a);
    struct firn_id before = pin_there().nonce;
    SCRIPT(&puts_, FIRN_FAKE_LATE, FIRN_FAKE_DROP, FIRN_FAKE_DROP, FIRN_FAKE_DROP);
    puts_.late_ns = 3 * FIRN_SEC;
    firn_fake_run_for(world, TTL / 2 + TTL / 4);
    assert_int_equal(a.hold.state, FIRN_PIN_HELD);
    assert_false(pin_is(&before));
    assert_int_equal(firn_pins_stats_of(pins)->lost, 0);
    firn_pins_release(&a.hold);
}

/* Random faults for a long time: the hold is never lost, and the pin changes in every ttl. */
static void under_faults(void **state)
{
    (void)state;
    struct holder a;
    held(&a);
    firn_fake_on_request(world, NULL, NULL);
    struct firn_fake_faults *f = &firn_fake_options(world)->faults;
    f->lost_before = f->lost_after = f->twice = f->err_500 = f->late = 100000;
    f->short_read = 50000;
    firn_fake_options(world)->late_max_ns = 30 * FIRN_SEC;
    for (int i = 0; i < 200; i++) {
        struct firn_id before = pin_there().nonce;
        firn_fake_run_for(world, TTL);
        assert_int_equal(a.hold.state, FIRN_PIN_HELD);
        assert_false(pin_is(&before));
    }
    *f = (struct firn_fake_faults){0};
    firn_pins_release(&a.hold);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_object_for_all),
        TEST(version_moves_in_between),
        TEST(owner_dies),
        TEST(making_fails),
        TEST(check_fails),
        TEST(own_bytes_are_renewed),
        TEST(somebody_elses_bytes_end_it),
        TEST(collected_ends_it),
        TEST(store_comes_back),
        TEST(renewal_lands_late),
        TEST(under_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
