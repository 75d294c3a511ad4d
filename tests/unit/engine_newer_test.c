/* Commands that redis-server 7.0 does not know (DELEX, DELIFEQ, DIGEST, INCREX), so that
 * tests/oracle cannot compare them; and what it cannot see of the bit commands and LCS: records and
 * limits. */
#include "engine_one_client.h"

static void expect_record(enum firn_record_kind kind, enum firn_event event)
{
    assert_int_equal(f.nlast, 1);
    assert_int_equal(f.last[0].kind, kind);
    assert_int_equal(f.last[0].event, event);
}

/* The call writes nothing. */
#define NO_RECORD(line, want)                                                                      \
    do {                                                                                           \
        unsigned before_ = f.applies;                                                              \
        CALL(c, line, want);                                                                       \
        assert_int_equal(f.applies, before_);                                                      \
    } while (0)

static void digests(void **state)
{
    (void)state;
    CALL(c, "SET k abc", "+OK\r\n");
    CALL(c, "DIGEST k", "$16\r\n78af5f94892f3950\r\n");
    CALL(c, "DIGEST none", "$-1\r\n");
    CALL(c, "SET e ''", "+OK\r\n");
    CALL(c, "DIGEST e", "$16\r\n2d06800538d394c2\r\n");
    NO_RECORD("SET k v IFDEQ 78af5f94892f395",
              "-ERR digest must be exactly 16 hexadecimal characters\r\n");
    NO_RECORD("SET k v IFDNE 78af5f94892f395x",
              "-ERR digest must be exactly 16 hexadecimal characters\r\n");
    NO_RECORD("SET none v IFDEQ short", "$-1\r\n"); /* no value to compare it with */
    CALL(c, "SET k v IFDEQ 78AF5F94892F3950", "+OK\r\n");
}

static void delete_if(void **state)
{
    (void)state;
    NO_RECORD("DELEX none", ":0\r\n");
    NO_RECORD("DELEX none IFNE v",
              ":0\r\n"); /* other than SET … IFNE: there is nothing to delete */
    CALL(c, "SET k abc", "+OK\r\n");
    NO_RECORD("DELEX k IFEQ abd", ":0\r\n");
    NO_RECORD("DELEX k IFNE abc", ":0\r\n");
    NO_RECORD("DELEX k IFDEQ 0000000000000000", ":0\r\n");
    NO_RECORD("DELEX k IFDNE 78af5f94892f3950", ":0\r\n");
    NO_RECORD("DELEX k IFDEQ 0", "-ERR digest must be exactly 16 hexadecimal characters\r\n");
    NO_RECORD("DELEX k NX v", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE\r\n");
    NO_RECORD("DELEX k IFEQ", "-ERR wrong number of arguments for 'delex' command\r\n");
    CALL(c, "DELEX k ifeq abc", ":1\r\n");
    expect_record(FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    CALL(c, "SET k abc", "+OK\r\n");
    CALL(c, "DELEX k IFDEQ 78af5f94892f3950", ":1\r\n");
    CALL(c, "SET k abc", "+OK\r\n");
    CALL(c, "DELEX k IFNE x", ":1\r\n");
    CALL(c, "SET k abc", "+OK\r\n");
    CALL(c, "DELEX k", ":1\r\n");
    CALL(c, "SET k abc", "+OK\r\n");
    NO_RECORD("DELIFEQ k abd", ":0\r\n");
    NO_RECORD("DELIFEQ none abd", ":0\r\n");
    CALL(c, "DELIFEQ k abc", ":1\r\n");
    expect_record(FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    CALL(c, "EXISTS k", ":0\r\n");
}

static void increx_integers(void **state)
{
    (void)state;
    CALL(c, "INCREX k", "*2\r\n:1\r\n:1\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_INCRBY);
    CALL(c, "INCREX k BYINT -11", "*2\r\n:-10\r\n:-11\r\n");
    NO_RECORD("INCREX k BYINT 100 UBOUND 80", "*2\r\n:-10\r\n:0\r\n");
    CALL(c, "INCREX k UBOUND 80 SATURATE BYINT 100", "*2\r\n:80\r\n:90\r\n");
    CALL(c, "GET k", "$2\r\n80\r\n");
    CALL(c, "INCREX k BYINT 5 UBOUND 30 SATURATE", "*2\r\n:30\r\n:-50\r\n"); /* was outside */
    CALL(c, "INCREX k BYINT -5 LBOUND 28 SATURATE", "*2\r\n:28\r\n:-2\r\n");
    CALL(c, "INCREX k BYINT -5 LBOUND 50 SATURATE", "*2\r\n:50\r\n:22\r\n");
    CALL(c, "INCREX k BYINT -5 LBOUND 45", "*2\r\n:45\r\n:-5\r\n");
    CALL(c, "SET k 9223372036854775800", "+OK\r\n");
    NO_RECORD("INCREX k BYINT 8", "*2\r\n:9223372036854775800\r\n:0\r\n");
    NO_RECORD("INCREX k BYINT 1 SATURATE UBOUND -9223372036854775808",
              "-ERR applied increment would overflow\r\n");
    CALL(c, "INCREX k BYINT 8 SATURATE", "*2\r\n:9223372036854775807\r\n:7\r\n");
    NO_RECORD("INCREX none UBOUND 0", "*2\r\n:0\r\n:0\r\n");
    CALL(c, "INCREX none UBOUND 0 SATURATE", "*2\r\n:0\r\n:0\r\n");
    CALL(c, "EXISTS none", ":1\r\n");
    NO_RECORD("INCREX none NX", "*2\r\n:0\r\n:0\r\n");
    NO_RECORD("INCREX gone XX", "*2\r\n:0\r\n:0\r\n");
    CALL(c, "INCREX gone NX", "*2\r\n:1\r\n:1\r\n");
    CALL(c, "INCREX gone XX", "*2\r\n:2\r\n:1\r\n");
}

static void increx_floats(void **state)
{
    (void)state;
    CALL(c, "INCREX k BYFLOAT 2.5", "*2\r\n$3\r\n2.5\r\n$3\r\n2.5\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_INCRBYFLOAT);
    CALL(c, "INCREX k BYFLOAT 100 UBOUND 42.5 SATURATE", "*2\r\n$4\r\n42.5\r\n$2\r\n40\r\n");
    NO_RECORD("INCREX k BYFLOAT 1 UBOUND 42.5", "*2\r\n$4\r\n42.5\r\n$1\r\n0\r\n");
    NO_RECORD("INCREX k BYFLOAT inf", "-ERR BYFLOAT increment cannot be Infinity\r\n");
    NO_RECORD("INCREX k BYFLOAT 1 LBOUND inf UBOUND inf", "*2\r\n$4\r\n42.5\r\n$1\r\n0\r\n");
    NO_RECORD("INCREX k BYFLOAT 1 LBOUND inf UBOUND inf SATURATE",
              "-ERR applied increment would be Infinity\r\n");
    NO_RECORD("INCREX k BYFLOAT 1 LBOUND inf", "-ERR LBOUND can't be greater than UBOUND\r\n");
    NO_RECORD("INCREX k BYINT 1", "-ERR value is not an integer or out of range\r\n");
    CALL(c, "SET k inf", "+OK\r\n");
    NO_RECORD("INCREX k BYFLOAT 1", "-ERR value cannot be Infinity\r\n");
    CALL(c, "SET k 1e4932", "+OK\r\n");
    client_send(c, "INCREX k BYFLOAT 1e4932");
    EXPECT_START(c, "*2\r\n$4933\r\n1"); /* would be infinite: declined */
    client_send(c, "HELLO 3");
    EXPECT_START(c, "%7\r\n");
    CALL(c, "INCREX f BYFLOAT 0.5 XX", "*2\r\n,0\r\n,0\r\n");
    CALL(c, "INCREX f BYFLOAT -0.5", "*2\r\n,-0.5\r\n,-0.5\r\n");
}

static void increx_times(void **state)
{
    (void)state;
    CALL(c, "INCREX k EX 100", "*2\r\n:1\r\n:1\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_INCRBY_EXPIRE);
    CALL(c, "TTL k", ":100\r\n");
    CALL(c, "INCREX k", "*2\r\n:2\r\n:1\r\n"); /* keeps it */
    CALL(c, "TTL k", ":100\r\n");
    CALL(c, "INCREX k PX 5000 ENX", "*2\r\n:3\r\n:1\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_INCRBY);
    CALL(c, "TTL k", ":100\r\n");
    CALL(c, "INCREX k EXAT 1 ENX", "*2\r\n:4\r\n:1\r\n");
    NO_RECORD("INCREX k UBOUND 4 EX 7", "*2\r\n:4\r\n:0\r\n");
    CALL(c, "TTL k", ":100\r\n");
    CALL(c, "INCREX k BYFLOAT 1 PERSIST", "*2\r\n$1\r\n5\r\n$1\r\n1\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_INCRBYFLOAT_PERSIST);
    CALL(c, "TTL k", ":-1\r\n");
    CALL(c, "INCREX k PERSIST", "*2\r\n:6\r\n:1\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_INCRBY);
    CALL(c, "INCREX k PX 5000 ENX", "*2\r\n:7\r\n:1\r\n");
    CALL(c, "TTL k", ":5\r\n");
    CALL(c, "INCREX k EXAT 1", "*2\r\n:8\r\n:1\r\n");
    expect_record(FIRN_RECORD_DEL, FIRN_EVENT_DEL);
    NO_RECORD("INCREX k PXAT 1", "*2\r\n:1\r\n:1\r\n"); /* never was */
    CALL(c, "EXISTS k", ":0\r\n");
}

static void increx_mistakes(void **state)
{
    (void)state;
    static const char *const syntax[] = {
        "INCREX k FOO",
        "INCREX k BYINT",
        "INCREX k BYINT 1 BYINT 2",
        "INCREX k BYINT 1 BYFLOAT 2",
        "INCREX k EX 1 PX 1",
        "INCREX k EX 1 EX 1",
        "INCREX k EX 1 PERSIST",
        "INCREX k PERSIST ENX",
        "INCREX k ENX ENX EX 1",
        "INCREX k SATURATE SATURATE",
        "INCREX k LBOUND 1 LBOUND 1",
        "INCREX k NX XX",
        "INCREX k KEEPTTL",
        "INCREX k IFEQ 1",
    };
    for (size_t i = 0; i < sizeof syntax / sizeof *syntax; i++)
        NO_RECORD(syntax[i], "-ERR syntax error\r\n");
    NO_RECORD("INCREX k ENX", "-ERR ENX flag requires an expiration\r\n");
    NO_RECORD("INCREX k BYINT 1.5", "-ERR Increment is not an integer or out of range\r\n");
    NO_RECORD("INCREX k BYFLOAT x", "-ERR Increment is not a valid float\r\n");
    NO_RECORD("INCREX k LBOUND 1.5", "-ERR LBOUND is not an integer or out of range\r\n");
    NO_RECORD("INCREX k BYFLOAT 1 UBOUND x", "-ERR UBOUND is not a valid float\r\n");
    NO_RECORD("INCREX k LBOUND 2 UBOUND 1", "-ERR LBOUND can't be greater than UBOUND\r\n");
    NO_RECORD("INCREX k EX 0", "-ERR invalid expire time in 'increx' command\r\n");
    CALL(c, "SET k x", "+OK\r\n");
    NO_RECORD("INCREX k BYFLOAT 1", "-ERR value is not a valid float\r\n");
}

static void bits(void **state)
{
    (void)state;
    CALL(c, "SETBIT k 7 1", ":0\r\n");
    expect_record(FIRN_RECORD_PUT, FIRN_EVENT_SETBIT);
    NO_RECORD("SETBIT k 7 1", ":1\r\n");
    CALL(c, "SETBIT k 23 0", ":0\r\n"); /* longer, so written */
    CALL(c, "STRLEN k", ":3\r\n");
    CALL(c, "EXPIRE k 100", ":1\r\n");
    CALL(c, "SETBIT k 0 1", ":0\r\n");
    CALL(c, "TTL k", ":100\r\n");
    CALL(c, "GETBIT k 7", ":1\r\n");
    CALL(c, "GETBIT k 67108863", ":0\r\n"); /* the last bit of 8 MiB */
    CALL(c, "GETBIT k 67108864", "-ERR bit offset is not an integer or out of range\r\n");
    NO_RECORD("SETBIT k 67108864 1", "-ERR bit offset is not an integer or out of range\r\n");
    CALL(c, "SETBIT k 67108863 1", ":0\r\n");
    CALL(c, "STRLEN k", ":8388608\r\n");
    CALL(c, "BITCOUNT k", ":3\r\n");
    CALL(c, "BITPOS k 1 1", ":67108863\r\n");
    NO_RECORD("SETRANGE k 8388608 x", "-ERR string exceeds maximum allowed size (value-max)\r\n");
    NO_RECORD("APPEND k x", "-ERR string exceeds maximum allowed size (value-max)\r\n");
}

static void lcs_limits(void **state)
{
    (void)state;
    CALL(c, "SETBIT a 262143 1", ":0\r\n"); /* 32 KiB of zeros, nearly */
    CALL(c, "SETBIT b 131071 1", ":0\r\n");
    CALL(c, "LCS a b LEN", ":16384\r\n");
    CALL(c, "LCS a b IDX MINMATCHLEN 2 WITHMATCHLEN",
         "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:16384\r\n:32767\r\n*2\r\n:0\r\n:16383\r\n:"
         "16384\r\n"
         "$3\r\nlen\r\n:16384\r\n");
    CALL(c, "SETBIT b 131079 1", ":0\r\n");
    CALL(c, "LCS a b LEN",
         "-ERR Insufficient memory, the table of LCS for values of 32768 and 16385 bytes exceeds "
         "536870912 cells\r\n");
}

static void out_of_memory(void **state)
{
    (void)state;
    CALL(c, "MSET a ohmytext b mynewtext", "+OK\r\n");
    for (uint64_t n = 1; n < 20; n++) {
        firn_mem_fail_at(n, 1);
        client_send(c, "LCS a b");
        firn_mem_fail_at(0, 0);
        firn_fake_run_for(f.world, 1000);
        assert_int_equal(firn_buf_append(&c->got, "", 1), FIRN_OK);
        const char *got = (const char *)c->got.data;
        bool done = strcmp(got, "$6\r\nmytext\r\n") == 0;
        if (!done)
            assert_non_null(strstr(got, "-KVBUSY out of memory"));
        c->got.len = 0;
        if (done)
            return;
    }
    fail_msg("LCS never had memory enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(digests, begin, end),
        cmocka_unit_test_setup_teardown(delete_if, begin, end),
        cmocka_unit_test_setup_teardown(increx_integers, begin, end),
        cmocka_unit_test_setup_teardown(increx_floats, begin, end),
        cmocka_unit_test_setup_teardown(increx_times, begin, end),
        cmocka_unit_test_setup_teardown(increx_mistakes, begin, end),
        cmocka_unit_test_setup_teardown(bits, begin, end),
        cmocka_unit_test_setup_teardown(lcs_limits, begin, end),
        cmocka_unit_test_setup_teardown(out_of_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
