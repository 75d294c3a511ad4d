/* firnctl while the n-th allocation fails, or the n-th request to the store goes wrong: it ends,
 * with what it was asked for or a word of what failed, and says damage only of what is damaged. */
#include "unit/ctl_fixture.h"

static struct fx f;

static uint64_t strike_at, requests;
static enum firn_fake_fate strike_fate;

static void on_request(void *arg, struct firn_fake_node *n, const struct firn_os_req *req,
                       struct firn_fake_plan *plan)
{
    (void)arg;
    (void)n;
    (void)req;
    plan->fate = ++requests == strike_at ? strike_fate : FIRN_FAKE_CLEAN;
}

/* Its exit status; -1: it could not be made. */
static int run(const char *verb, const char *word)
{
    char *argv[] = {(char *)(uintptr_t)verb, (char *)(uintptr_t)word};
    struct firn_ctl_args a;
    struct firn_ctl *c = NULL;
    struct firn_ctl_user u = {.out = fx_out, .say = fx_say, .ended = fx_ended, .arg = &f};
    f.out.len = f.said.len = 0;
    f.ended = false;
    assert_int_equal(firn_ctl_parse(word ? 2 : 1, argv, &a, NULL), FIRN_OK);
    if (firn_ctl_create(f.env, f.store, &f.settings, &a, &u, &c) != FIRN_OK)
        return -1;
    firn_ctl_start(c);
    assert_true(firn_fake_run_until(f.w, fx_has_ended, &f, 3600 * FIRN_SEC));
    firn_ctl_free(c);
    return f.exit_status;
}

static void every_verb(void (*torture)(const char *verb, const char *word))
{
    static const char *const verbs[][2] = {
        {"verify", NULL}, {"manifest", "show"}, {"log", "ls"}, {"log", "dump"}};
    fx_open(&f);
    firn_fake_on_request(f.w, on_request, NULL);
    /* What it writes is the test's own memory. */
    assert_int_equal(firn_buf_reserve(&f.out, 1 << 22), FIRN_OK);
    assert_int_equal(firn_buf_reserve(&f.said, 1 << 16), FIRN_OK);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        torture(verbs[i][0], verbs[i][1]);
    strike_at = 0;
    fx_close(&f);
}

static void no_memory(const char *verb, const char *word)
{
    uint64_t n = 1, made;
    for (;; n++) {
        (void)firn_mem_fail_at(n, 0);
        int status = run(verb, word);
        made = firn_mem_fail_at(0, 0);
        assert_true(status <= 0 || f.said.len || f.out.len);
        if (made < n) {
            assert_int_equal(status, 0);
            break;
        }
    }
    print_message("%s: %llu allocations\n", verb, (unsigned long long)n - 1);
}

static void bad_store(const char *verb, const char *word)
{
    static const enum firn_fake_fate fates[] = {
        FIRN_FAKE_DROP,    FIRN_FAKE_LOSE_REPLY, FIRN_FAKE_RESET,
        FIRN_FAKE_REFUSED, FIRN_FAKE_500,        FIRN_FAKE_503,
        FIRN_FAKE_DENIED,  FIRN_FAKE_SHORT_READ, FIRN_FAKE_BIT_FLIP};
    for (size_t i = 0; i < sizeof fates / sizeof *fates; i++) {
        strike_fate = fates[i];
        for (strike_at = 1;; strike_at++) {
            requests = 0;
            int status = run(verb, word);
            assert_true(status == 0 || f.said.len || f.out.len);
            /* What passes by itself is tried again. */
            if (fates[i] != FIRN_FAKE_DENIED && fates[i] != FIRN_FAKE_BIT_FLIP)
                assert_int_equal(status, 0);
            if (requests < strike_at)
                break;
        }
    }
}

static void without_memory(void **state)
{
    (void)state;
    every_verb(no_memory);
}

static void over_a_bad_store(void **state)
{
    (void)state;
    every_verb(bad_store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory),
        cmocka_unit_test(over_a_bad_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
