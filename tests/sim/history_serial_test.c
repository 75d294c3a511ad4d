/* Strict serializability with the log as witness: what it accepts, and that each kind of violation
 * is seen. Times are ns; the log's lines are "durable_ns log_time_ms records". */
#include "format/token.h"
#include "sim/history_fixture.h"

#include <stdio.h>

#define LINES 10

struct history {
    const char *log[LINES], *op[LINES];
    const char *wrong; /* what is to be said; NULL: nothing is wrong */
};

/* wall_ms 1,000,000 at 0 ns; clocks may be off by 10 ms. */
static void check(const struct history *x)
{
    static const struct check_serial_options o = {.wall_ms = 1000000, .skew_ms = 10};
    struct check_serial_stats stats;
    struct check_report r;
    struct hist h;
    struct witness w;
    hist_init(&h);
    witness_init(&w, &h);
    check_report_init(&r);
    for (size_t i = 0; i < LINES && x->log[i]; i++)
        fixture_log(&w, x->log[i]);
    for (size_t i = 0; i < LINES && x->op[i]; i++)
        fixture_op(&h, x->op[i]);
    witness_finish(&w, &r);
    check_serial(&h, &w, &o, &stats, &r);
    enum firn_status st = firn_buf_append(&r.text, "", 1);
    assert_int_equal(st, FIRN_OK);
    const char *text = (const char *)r.text.data;
    if (x->wrong ? !strstr(text, x->wrong) || !r.wrong : r.wrong != 0)
        fail_msg("first operation %s: expected %s, got: %s", x->op[0],
                 x->wrong ? x->wrong : "nothing wrong", text);
    check_report_clear(&r);
    witness_clear(&w);
    hist_clear(&h);
}

static void check_all(const struct history *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(&x[i]);
}

#define CHECK_ALL(x) check_all(x, sizeof(x) / sizeof *(x))

static void writes(void **state)
{
    (void)state;
    static const struct history x[] = {
        /* acknowledged once */
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +"}, NULL},
        {{NULL}, {"1 1 1 0 5 20 : SET a 1 => +"}, "acknowledged, but not in the log"},
        {{"10 1 a=1", "12 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +"}, "is in the log twice"},
        {{"30 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +"}, "answered before it was durable"},
        {{"3 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +"}, "before it was sent"},
        {{"10 1 a=2"}, {"1 1 1 0 5 20 : SET a 1 => +"}, "nobody wrote this"},
        /* of unknown outcome: never, at once, much later; never twice */
        {{NULL}, {"1 1 1 0 5 - : SET a 1"}, NULL},
        {{"900 1 a=1"}, {"1 1 1 0 5 - : SET a 1"}, NULL},
        {{"900 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => -KVUNKNOWN"}, NULL},
        {{"10 1 a=1", "900 1 a=1"}, {"1 1 1 0 5 - : SET a 1"}, "twice"},
        /* refused */
        {{NULL}, {"1 1 1 0 5 20 : SET a 1 => -KVBUSY"}, NULL},
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => -KVBUSY"}, "refused is in the log"},
        /* several keys are one unit */
        {{"10 1 a=1 b=2"}, {"1 1 1 0 5 20 : MSET a 1 b 2 => +"}, NULL},
        {{"10 1 a=1", "10 1 b=2"}, {"1 1 1 0 5 20 : MSET a 1 b 2 => +"}, "acknowledged, but not"},
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : MSET a 1 b 2 => +"}, "nobody wrote this"},
        {{"10 1 a=1 b=2"}, {"1 1 1 0 5 20 exec : SET a 1 ; SET b 2 => + +"}, NULL},
        /* the order of real time */
        {{"10 1 a=1", "11 1 b=1"},
         {"1 1 1 0 1 20 : SET b 1 => +", "2 1 1 0 5 20 : SET a 1 => +"},
         NULL},
        {{"10 1 a=1", "11 1 b=1"},
         {"1 1 1 0 1 12 : SET b 1 => +", "2 1 1 0 10 20 : SET a 1 => +"},
         NULL},
        {{"10 1 a=1", "11 1 b=1"},
         {"1 1 1 0 1 8 : GET b => $1", "2 1 1 0 10 20 : SET a 1 => +",
          "3 1 1 0 1 20 : SET b 1 => +"},
         "shows state 2, when state 0"},
    };
    CHECK_ALL(x);
}

static void read_modify_writes(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"10 1 i=1", "12 1 i=2"},
         {"1 1 1 0 5 20 : INCR i => :2", "2 1 1 0 5 20 : INCR i => :1"},
         NULL},
        {{"10 1 i=1", "12 1 i=2"},
         {"1 1 1 0 5 20 : INCR i => :2", "2 1 1 0 5 20 : INCR i => :2"},
         "acknowledged, but not"},
        /* one of unknown outcome lies between */
        {{"10 1 i=1", "12 1 i=2"}, {"1 1 1 0 1 - : INCR i", "2 1 1 0 11 20 : INCR i => :2"}, NULL},
        {{"12 1 i=1"},
         {"1 1 1 0 1 - : INCR i", "2 1 1 0 11 20 : INCR i => :2"},
         "acknowledged, but"},
        /* conditions: what they found lies where they lie */
        {{"10 1 a=1", "12 1 a=2"},
         {"1 1 1 0 5 20 : SETNX a 1 => :1", "2 1 1 0 5 20 : SET a 2 IFEQ 1 => +"},
         NULL},
        {{"10 1 a=1", "11 1 a=3", "12 1 a=2"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : SET a 3 => +",
          "3 1 1 0 5 20 : SET a 2 IFEQ 1 => +"},
         "nobody wrote this"},
        {{"10 1 a=1", "11 1 a="},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : DEL a b => :1"},
         NULL},
        {{"10 1 a=1", "11 1 a="},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : DEL a b => :2"},
         "acknowledged, but"},
        {{"10 1 a=1", "11 1 a="},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : GETDEL a => $1"},
         NULL},
        {{"10 1 a=1", "11 1 a=2"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : GETSET a 2 => $9"},
         "acknowledged, but"},
        /* what came to nothing is a read at freshness 0 */
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 30 40 : SETNX a 2 => :0"}, NULL},
        {{"10 1 a=1", "50 1 a="},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 30 40 : DEL a => :0",
          "3 1 1 0 45 60 : DEL a => :1"},
         "stale: shows state 0"},
        {{"10 1 a=1"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 30 40 : DEL a => :0"},
         "stale: shows state 0, must show state 1"},
        /* transactions */
        {{"10 1 a=1", "12 1 a=2 i=1"},
         {"1 1 1 0 5 20 : SET a 1 => +",
          "2 1 1 0 5 20 : KV.TXN 1 VALUE a %3d 1 THEN 2 3 SET a 2 2 INCR i => :1 $t + :1"},
         NULL},
        {{"10 1 a=3", "12 1 a=2 i=1"},
         {"1 1 1 0 5 20 : SET a 3 => +",
          "2 1 1 0 5 20 : KV.TXN 1 VALUE a %3d 1 THEN 2 3 SET a 2 2 INCR i => :1 $t + :1"},
         "nobody wrote this"},
        {{"10 1 a=3"},
         {"1 1 1 0 5 20 : SET a 3 => +",
          "2 1 1 0 30 40 : KV.TXN 1 VALUE a %3d 1 THEN 1 3 SET a 2 ELSE 1 2 GET a => :0 $t $3"},
         NULL},
        {{"10 1 a="}, {"1 1 1 0 5 20 : KV.BATCH 1 2 DEL a => $t _"}, NULL},
        {{"10 1 a=1", "11 1 a..c"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : KV.DELRANGE a c => +"},
         NULL},
        {{"10 1 a=1", "11 1 a..d"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 5 20 : KV.DELRANGE a c => +"},
         "nobody wrote this"},
    };
    CHECK_ALL(x);
}

/* Writes that look alike: deadlines alone would put them wrong. */
static void look_alikes(void **state)
{
    (void)state;
    static const struct history x[] = {
        /* both could be the first write, by time; conditions tell which was */
        {{"1 1 n=2", "50 1 n=1", "60 1 n=1"},
         {"1 1 1 0 1 5 : SET n 2 => +", "2 1 1 0 6 100 : SET n 1 IFEQ 2 => +",
          "3 1 1 0 6 90 : SET n 1 IFNE 0 => +"},
         NULL},
        {{"1 1 n=2", "50 1 n=1", "60 1 n=1"},
         {"1 1 1 0 1 5 : SET n 2 => +", "2 1 1 0 6 100 : SET n 1 IFEQ 2 => +",
          "3 1 1 0 6 90 : SET n 1 IFNE 1 => +"},
         "nobody wrote this"},
        /* one of unknown outcome has to make room */
        {{"1 1 n=2", "50 1 n=1", "60 1 n=1"},
         {"1 1 1 0 1 5 : SET n 2 => +", "2 1 1 0 6 100 : SET n 1 IFEQ 2 => +",
          "3 1 1 0 6 90 : SET n 1 IFNE 0 => +", "4 1 1 0 6 - : SET n 1 IFEQ 1"},
         NULL},
        /* the second connection's DEL lies first, by its deadline; the first one's might */
        {{"1 1 a=1", "50 1 a=", "51 1 b=1", "52 1 a=2", "53 1 a="},
         {"1 1 1 0 1 5 : SET a 1 => +", "2 1 1 0 6 100 : DEL a => :1",
          "2 1 1 0 6 100 : SET b 1 => +", "3 1 1 0 6 90 : DEL a => :1",
          "4 1 1 0 6 80 : SET a 2 => +"},
         NULL},
        {{"1 1 a=1", "50 1 a=", "51 1 b=1", "52 1 c=1", "53 1 c="},
         {"1 1 1 0 1 5 : SET a 1 => +", "2 1 1 0 6 100 : DEL a c => :1",
          "2 1 1 0 6 100 : MSET b 1 => +", "3 1 1 0 6 90 : DEL a c => :1",
          "4 1 1 0 6 80 : SET c 1 => +"},
         NULL},
        /* a range where nothing is, and a DEL in it */
        {{"50 1 a..b", "51 1 a=1", "52 1 a="},
         {"2 1 1 0 6 100 : KV.DELRANGE a b => +", "2 1 1 0 6 100 : SET a 1 => +",
          "2 1 1 0 6 100 : DEL a => :1"},
         NULL},
        {{"50 1 a=1", "51 1 a="},
         {"2 1 1 0 6 100 : SET a 1 => +", "2 1 1 0 6 100 : KV.DELRANGE a b => +"},
         "nobody wrote this"},
        {{"1 1 a=1", "50 1 b=1", "51 1 a="},
         {"1 1 1 0 1 5 : SET a 1 => +", "2 1 1 0 6 100 : DEL a => :1",
          "2 1 1 0 6 100 : SET b 1 => +"},
         "its connection had seen"},
    };
    CHECK_ALL(x);
}

static void fresh_reads(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 0 8 30 : GET a => _"}, NULL},
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 0 8 15 : GET a => $1"}, NULL},
        {{"10 1 a=1"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 0 21 30 : GET a => _"},
         "stale: shows state 0, must show state 1"},
        {{"10 1 a=1"},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 0 5 9 : GET a => $1"},
         "shows state 1, when state 0"},
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 0 8 15 : GET a => $2"}, "never was"},
        /* back in time: between two reads, though the write was acknowledged to nobody */
        {{"10 1 a=1"},
         {"1 1 1 0 5 - : SET a 1", "2 2 2 0 12 15 : GET a => $1", "3 3 3 0 13 20 : GET a => _"},
         NULL},
        {{"10 1 a=1"},
         {"1 1 1 0 5 - : SET a 1", "2 2 2 0 12 15 : GET a => $1", "3 3 3 0 16 20 : GET a => _"},
         "stale"},
        /* two keys at one instant */
        {{"10 1 a=1", "12 1 b=1"},
         {"1 1 1 0 5 20 : SET a 1 => +", "1 1 1 0 6 20 : SET b 1 => +",
          "2 2 2 0 7 20 : MGET a b => $1 _", "3 2 2 0 7 20 : MGET a b => _ _"},
         NULL},
        {{"10 1 a=1", "12 1 b=1"},
         {"1 1 1 0 5 20 : SET a 1 => +", "1 1 1 0 6 20 : SET b 1 => +",
          "2 2 2 0 7 20 : MGET a b => _ $1"},
         "never was"},
        {{"10 1 a=1 b=1"},
         {"1 1 1 0 5 20 : MSET a 1 b 1 => +", "2 2 2 0 7 20 : MGET a b => $1 _"},
         "never was"},
        {{"10 1 a=1 b=1"},
         {"1 1 1 0 5 20 : MSET a 1 b 1 => +", "2 2 2 0 7 20 exec : GET a ; GET b => $1 $1"},
         NULL},
        /* at the end */
        {{"10 1 a=1"}, {"1 1 1 0 5 - : SET a 1", "2 2 2 0 900 910 final : GET a => $1"}, NULL},
        {{"10 1 a=1"}, {"1 1 1 0 5 - : SET a 1", "2 2 2 0 900 910 final : GET a => _"}, "stale"},
        /* What becomes durable while it is under way may be shown or not. */
        {{"905 1 a=1"}, {"1 1 1 0 5 - : SET a 1", "2 2 2 0 900 910 final : GET a => _"}, NULL},
        {{"905 1 a=1"}, {"1 1 1 0 5 - : SET a 1", "2 2 2 0 900 910 final : GET a => $1"}, NULL},
    };
    CHECK_ALL(x);
}

static void ranges(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"10 1 a=1", "12 1 b=2", "14 1 c=3"},
         {"1 1 1 0 1 20 : SET a 1 => +", "2 1 1 0 1 20 : SET b 2 => +",
          "3 1 1 0 1 20 : SET c 3 => +", "4 2 2 0 5 20 : KV.RANGE a c => _ $a $1 $b $2",
          "5 2 2 0 5 20 : KV.RANGE \"\" \"\" => _ $a $1",
          "6 2 2 0 30 40 : KV.RANGE a \"\" LIMIT 2 => $c $a $1 $b $2",
          "7 2 2 0 30 40 : KV.COUNT b \"\" => :2",
          "8 2 2 0 30 40 : KV.RANGE a \"\" REV LIMIT 2 KEYSONLY => $b $c $b"},
         NULL},
        /* something is missing, something is too much */
        {{"10 1 a=1", "12 1 b=2"},
         {"1 1 1 0 1 20 : SET a 1 => +", "2 1 1 0 1 20 : SET b 2 => +",
          "4 2 2 0 5 20 : KV.RANGE a z => _ $b $2"},
         "never was"},
        {{"10 1 a=1", "12 1 a=", "14 1 b=2"},
         {"1 1 1 0 1 20 : SET a 1 => +", "2 1 1 0 1 20 : DEL a => :1",
          "3 1 1 0 1 20 : SET b 2 => +", "4 2 2 0 5 20 : KV.RANGE a z => _ $a $1 $b $2"},
         "never was"},
        {{"10 1 a=1"},
         {"1 1 1 0 1 20 : SET a 1 => +", "4 2 2 0 30 40 : KV.RANGE a z => _ $a $1 $b $7"},
         "never was"},
        {{"10 1 a=1"},
         {"1 1 1 0 1 20 : SET a 1 => +", "4 2 2 0 30 40 : KV.COUNT a z => :2"},
         "never was"},
    };
    CHECK_ALL(x);
}

static void bounded_reads(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 100 110 130 : GET a => _"}, NULL},
        {{"10 1 a=1"}, {"1 1 1 0 5 20 : SET a 1 => +", "2 2 2 100 121 130 : GET a => _"}, "stale"},
        /* what another read showed binds reads at 0 alone */
        {{"10 1 a=1"},
         {"1 1 1 0 5 - : SET a 1", "2 2 2 0 12 15 : GET a => $1", "3 3 3 100 900 910 : GET a => _"},
         NULL},
        /* along a connection */
        {{"10 1 a=1"},
         {"1 1 1 0 5 - : SET a 1", "2 2 2 100 12 15 : GET a => $1", "2 2 2 100 16 20 : GET a => _"},
         "stale"},
        {{"10 1 a=1"}, {"1 1 1 100 5 20 : SET a 1 => +", "1 1 1 100 21 30 : GET a => _"}, "stale"},
    };
    CHECK_ALL(x);
}

/* The line, "%s" in it being the token of the state behind the record of this seqno. */
static const char *with_token(char out[256], const char *line, uint64_t seqno)
{
    char token[FIRN_TOKEN_MAX];
    const struct firn_token t = {.place = {1, seqno - 1}, .seqno = seqno};
    const char *at = strstr(line, "%s");
    int head = at ? (int)(at - line) : (int)strlen(line);
    (void)firn_token_format(&t, token);
    (void)snprintf(out, 256, "%.*s%s%s", head, line, at ? token : "", at ? at + 2 : "");
    return out;
}

static void check_with_token(uint64_t seqno, const char *line1, const char *line2,
                             const char *wrong)
{
    char line[2][256];
    check(&(struct history){{"10 1 a=1", "20 1 b=2", "30 1 a=3"},
                            {"1 1 1 0 5 100 : SET a 1 => +", "2 1 1 0 5 100 : SET b 2 => +",
                             "3 1 1 0 5 100 : SET a 3 => +", with_token(line[0], line1, seqno),
                             with_token(line[1], line2, seqno)},
                            wrong});
}

static void tokens_and_snapshots(void **state)
{
    (void)state;
    static const char sees[] = "4 2 2 1000 25 26 : GET b => $2";
    static const char open[] = "4 2 2 0 25 26 : KV.SNAPSHOT OPEN => $7 $%s";
    check_with_token(2, sees, "4 2 2 1000 27 28 : KV.TOKEN => $%s", NULL);
    check_with_token(1, sees, "4 2 2 1000 27 28 : KV.TOKEN => $%s", "a token names state 1");
    check_with_token(2, "4 2 2 1000 25 26 : KV.WAIT %s 10 => +", sees, NULL);
    check_with_token(2, "4 2 2 1000 25 26 : KV.WAIT %s 10 => +", "4 2 2 1000 27 28 : GET b => _",
                     "stale");
    check_with_token(2, sees, "5 2 2 1000 25 26 : KV.GET b ATLEAST %s => _", "stale");
    check_with_token(2, open, "4 2 2 0 90 91 : KV.RANGE a z AT 7 => _ $a $1 $b $2", NULL);
    check_with_token(2, open, "4 2 2 0 90 91 : KV.RANGE a z AT 7 => _ $a $3 $b $2", "its state 2");
    check_with_token(2, open, "4 2 2 0 90 91 : KV.COUNT a z AT 7 => :1", "its state 2");
    check_with_token(2, open, "4 2 2 0 90 91 : KV.GET a AT 8 => $1", "nobody opened");
    /* time stands still in it: what expires later is there */
    char opens[256];
    static const char *const shown[] = {"$1", "_"};
    for (size_t i = 0; i < 2; i++) {
        char reads[256];
        (void)snprintf(reads, sizeof reads, "4 2 2 0 900000000 900000001 : KV.GET a AT 7 => %s",
                       shown[i]);
        check(&(struct history){
            {"10 1000000 a=1@1000100"},
            {"1 1 1 0 5 20 : SET a 1 PX 100 => +", with_token(opens, open, 1), reads},
            i ? "its state" : NULL});
    }
    check_with_token(3, open, "4 2 2 0 90 91 : KV.GET b AT 7 => $2", "allowed are 0 to 2");
}

static void times_to_live(void **state)
{
    (void)state;
    /* 100 ms from 1,000,000 on: it expires at 1,000,100, a second in ns is 10^9. */
    static const char set[] = "1 1 1 0 5 20 : SET a 1 PX 100 => +";
    static const struct history x[] = {
        {{"10 1000000 a=1@1000100"}, {set, "2 2 2 0 50000000 50000001 : GET a => $1"}, NULL},
        {{"10 1000000 a=1@1000100"}, {set, "2 2 2 0 50000000 50000001 : GET a => _"}, "stale"},
        {{"10 1000000 a=1@1000100"}, {set, "2 2 2 0 95000000 95000001 : GET a => _"}, NULL},
        {{"10 1000000 a=1@1000100"}, {set, "2 2 2 0 105000000 105000001 : GET a => $1"}, NULL},
        {{"10 1000000 a=1@1000100"},
         {set, "2 2 2 0 150000000 150000001 : GET a => $1"},
         "never was"},
        {{"10 1000000 a=1@1000900"}, {set}, "nobody wrote this"},
        {{"10 1000000 a=1@1000050"}, {set}, "nobody wrote this"},
        {{"10 1000000 a=1@1000100", "20 1000000 a=2"},
         {set, "2 1 1 0 11 30 : SET a 2 KEEPTTL => +"},
         "nobody wrote this"},
        {{"10 1000000 a=1@1000100", "20 1000000 b=1@1000101"},
         {set, "2 1 1 0 11 30 : COPY a b => :1"},
         "nobody wrote this"},
        /* no resurrection: a log time has passed it */
        {{"10 1000000 a=1@1000100", "20 1000101 b=1"},
         {set, "2 1 1 0 5 30 : SET b 1 => +", "3 2 2 0 105000000 105000001 : GET a => $1"},
         "stale"},
        /* … but the writer read it while that batch was open, which has its log time since */
        {{"10 1000000 a=1@1000100", "20 1000101 b=1"},
         {set, "2 1 1 0 5 30 : SET b 1 => +", "3 1 1 0 99000000 105000001 : GET a => $1"},
         NULL},
        {{"10 1000000 a=1@1000100", "20 1000101 a!1"},
         {set, "3 2 2 0 105000000 105000001 : GET a => _"},
         NULL},
        {{"10 1000000 a=1@1000100", "20 1000099 a!1"}, {set}, "before 1000100"},
        {{"10 1000000 a=1@1000100", "20 1000200 a!7"}, {set}, "EXPIRED of a names value 7"},
        /* a condition is judged by the writer's clock: between the log times around it */
        {{"10 1000000 a=1@1000100", "20 1000099 a=2"},
         {set, "2 1 1 0 11 30 : SETNX a 2 => :1"},
         "nobody wrote this"},
        {{"10 1000000 a=1@1000100", "20 1000101 a=2"},
         {set, "2 1 1 0 11 30 : SETNX a 2 => :1"},
         NULL},
        {{"10 1000000 a=1@1000100", "20 1000000 a=1"},
         {set, "2 1 1 0 11 30 : PERSIST a => :1"},
         NULL},
        {{"10 1000000 a=1@1000100", "20 1000000 a=2@1000100"},
         {set, "2 1 1 0 11 30 : SET a 2 KEEPTTL => +"},
         NULL},
        {{"10 1000000 a=1@1000100", "20 1000000 b=1@1000100"},
         {set, "2 1 1 0 11 30 : COPY a b => :1"},
         NULL},
        {{"10 1000000 a=1", "20 1000000 a="},
         {"1 1 1 0 5 20 : SET a 1 => +", "2 1 1 0 11 30 : MSETEX 1 a x PXAT 1 => :1"},
         NULL},
    };
    CHECK_ALL(x);
}

static void applied_connections(void **state)
{
    (void)state;
    static const struct history x[] = {
        {{"30 1 a=1"}, {"1 1 1 0 5 20 applied : SET a 1 => +", "2 2 2 0 21 25 : GET a => _"}, NULL},
        {{"30 1 a=1"},
         {"1 1 1 0 5 20 applied : SET a 1 => +", "1 1 1 0 21 25 applied : GET a => $1"},
         NULL},
        {{NULL},
         {"1 1 1 0 5 20 applied : SET a 1 => +", "1 1 1 0 21 25 applied : GET a => $1"},
         NULL},
        /* what it saw was lost; the log came to the like later */
        {{"30 1 b=1", "31 1 a=1"},
         {"1 1 1 0 5 20 applied : SET a 1 => +", "1 1 1 0 21 25 applied : GET a => $1",
          "1 1 1 0 26 28 applied : GET b => _", "2 2 2 0 21 - : SET b 1", "3 2 2 0 21 - : SET a 1"},
         NULL},
        {{"30 1 a=1", "31 1 a=1"}, {"1 1 1 0 5 20 applied : SET a 1 => +"}, "twice"},
    };
    CHECK_ALL(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes),
        cmocka_unit_test(read_modify_writes),
        cmocka_unit_test(look_alikes),
        cmocka_unit_test(fresh_reads),
        cmocka_unit_test(ranges),
        cmocka_unit_test(bounded_reads),
        cmocka_unit_test(tokens_and_snapshots),
        cmocka_unit_test(times_to_live),
        cmocka_unit_test(applied_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
