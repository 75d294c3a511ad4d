/* The recorder: commands and replies as they lie on the wire. */
#include "testing.h"

#include "sim/history.h"

static const struct hist_who who = {.session = 1};

static const struct hist_op *record(struct hist *h, const char *command, const char *reply)
{
    uint32_t op = hist_begin(h, &who, 10);
    assert_true(hist_wire(h, op, command, strlen(command)));
    for (size_t part = 0; part < strlen(reply); part++)
        assert_int_equal(hist_answer(h, op, reply, part, 20), 0);
    assert_int_equal(hist_answer(h, op, reply, strlen(reply), 20), strlen(reply));
    return &h->op[op];
}

static void assert_value(const struct hist *h, uint32_t id, const char *want)
{
    assert_true(firn_slice_eq(hist_name_of(&h->values, id), firn_slice_str(want)));
}

static void single_commands(void **state)
{
    (void)state;
    struct hist h;
    hist_init(&h);
    const struct hist_op *op = record(&h, "MGET a b\r\n", "*2\r\n$1\r\nx\r\n$-1\r\n");
    assert_int_equal(op->outcome, HIST_OK);
    assert_int_equal(op->items, 2);
    assert_value(&h, h.item[op->item].value, "x");
    assert_int_equal(h.item[op->item + 1].kind, HIST_NIL);
    assert_false(hist_writes(&h, op));

    op = record(&h, "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$2\r\nPX\r\n$2\r\n50\r\n", "+OK\r\n");
    const struct hist_action *a = &h.action[op->action];
    assert_int_equal(a->verb, HIST_SET);
    assert_int_equal(a->ttl, HIST_TTL_IN);
    assert_int_equal(a->n, 50);
    assert_value(&h, h.arg[a->arg + 1], "");
    assert_true(hist_writes(&h, op));

    op = record(&h, "KV.RANGE a z LIMIT 1\r\n", "*2\r\n$1\r\nc\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    a = &h.action[op->action];
    assert_true(firn_slice_eq(hist_name_of(&h.keys, h.arg[a->arg + 1]), firn_slice_str("c")));
    assert_int_equal(op->items, 2);
    hist_clear(&h);
}

static void outcomes(void **state)
{
    (void)state;
    struct hist h;
    hist_init(&h);
    assert_int_equal(record(&h, "INCR i\r\n", "-KVUNKNOWN wait\r\n")->outcome, HIST_UNKNOWN);
    assert_int_equal(record(&h, "INCR i\r\n", "-KVBUSY\r\n")->outcome, HIST_REFUSED);
    uint32_t op = hist_begin(&h, &who, 30);
    assert_true(hist_wire(&h, op, "DEL a\r\n", 7));
    assert_int_equal(h.op[op].outcome, HIST_UNKNOWN);
    assert_true(h.op[op].replied_ns == HIST_NEVER);
    /* sent again: refused before, not known now; and a refusal then says nothing of the first */
    static const char once[] = "KV.BATCH ID r 1 2 INCR i\r\n", busy[] = "-KVBUSY\r\n";
    op = hist_begin(&h, &who, 40);
    assert_true(hist_wire(&h, op, once, strlen(once)));
    (void)hist_answer(&h, op, busy, strlen(busy), 50);
    assert_int_equal(h.op[op].outcome, HIST_REFUSED);
    hist_again(&h, op);
    assert_int_equal(h.op[op].outcome, HIST_UNKNOWN);
    hist_again(&h, op);
    (void)hist_answer(&h, op, busy, strlen(busy), 60);
    assert_int_equal(h.op[op].outcome, HIST_UNKNOWN);
    op = hist_begin(&h, &who, 40);
    assert_false(hist_wire(&h, op, "SCAN 0\r\n", 8));
    assert_int_equal(h.op[op].form, HIST_OTHER);
    hist_clear(&h);
}

static void several_at_once(void **state)
{
    (void)state;
    struct hist h;
    hist_init(&h);
    uint32_t op = hist_begin(&h, &who, 10);
    hist_exec(&h, op);
    assert_true(hist_wire(&h, op, "GET a\r\n", 7));
    assert_int_equal(hist_answer(&h, op, "*1\r\n$-1\r\n", 9, 20), 9);
    assert_int_equal(h.op[op].outcome, HIST_OK);
    op = hist_begin(&h, &who, 10);
    hist_exec(&h, op);
    assert_true(hist_wire(&h, op, "GET a\r\n", 7));
    assert_int_equal(hist_answer(&h, op, "*-1\r\n", 5, 20), 5);
    assert_int_equal(h.op[op].outcome, HIST_REFUSED);

    const struct hist_op *o =
        record(&h, "KV.TXN 1 VALUE a = 1 THEN 2 3 SET a 2 2 GET b ELSE 1 2 INCR c\r\n",
               "*3\r\n:1\r\n$1\r\nt\r\n*2\r\n+OK\r\n$-1\r\n");
    assert_int_equal(o->compares, 1);
    assert_int_equal(o->thens, 2);
    assert_int_equal(o->elses, 1);
    assert_true(o->held);
    assert_int_equal(o->items, 2);
    hist_clear(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_commands),
        cmocka_unit_test(outcomes),
        cmocka_unit_test(several_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
