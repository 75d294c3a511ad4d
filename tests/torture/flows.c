/* The flows that are tortured, each with what it needs to stand before it begins. */
#include "flows.h"

/* ---- pieces */

static struct stage_client *client_of(struct stage_node *n)
{
    return stage_connect(n);
}

/* A database with a writer and some data, most of it in the log. */
static void with_writer(struct stage *s)
{
    if (!stage_serves(stage_writer(s, false)))
        stage_fail(s, "the first writer does not serve");
    struct stage_client *c = client_of(s->writer);
    for (unsigned i = 0; i < 4; i++)
        stage_write(c, 4 * i, 4, i % 3, 20);
    stage_count(c, 1);
    stage_hang_up(c);
    stage_must_show(s->writer);
}

static void with_reader(struct stage *s)
{
    with_writer(s);
    if (!stage_serves(stage_reader(s)))
        stage_fail(s, "the first reader does not serve");
}

/* Many tables: everything written several times, range tombstones between. */
static void with_tables(struct stage *s)
{
    with_reader(s);
    struct stage_client *c = client_of(s->writer);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 6; i++)
            stage_write(c, 4 * i, 4, i % 3, 1200);
        stage_delete(c, 3 * round, 2);
        stage_run(s, 1500 * FIRN_MS); /* an idle flush */
    }
    stage_hang_up(c);
    stage_must_show(s->writer);
}

/* ---- flows */

static void start(struct stage *s)
{
    struct stage_node *w = stage_writer(s, false), *r = stage_reader(s);
    (void)stage_serves(w);
    struct stage_client *c = client_of(w), *d = client_of(r);
    stage_write(c, 0, 3, 0, 10);
    stage_count(c, 3);
    (void)stage_check(c);
    (void)stage_serves(r);
    (void)stage_check(d);
    stage_hang_up(c);
    stage_hang_up(d);
}

static void commands(struct stage *s)
{
    struct stage_client *c = client_of(s->writer);
    stage_write(c, 0, 2, 0, 100);
    stage_write(c, 2, 4, 1, 1500);
    stage_write(c, 6, 4, 2, 300);
    stage_count(c, 3);
    (void)stage_call(c, "KV.TXN 1 EXISTS k00 = 1 THEN 1 3 INCRBY other 5 ELSE 1 2 GET k00");
    (void)stage_call(c, "SET str abcdef PX 100000 GET");
    (void)stage_call(c, "APPEND str xyz");
    (void)stage_call(c, "SETRANGE str 3000 end");
    (void)stage_call(c, "GETRANGE str 0 5");
    (void)stage_call(c, "INCRBYFLOAT float 1.5");
    (void)stage_call(c, "SETBIT bits 77 1");
    (void)stage_call(c, "LCS str bits LEN");
    (void)stage_call(c, "COPY str str2 REPLACE");
    (void)stage_call(c, "RENAME str2 str3");
    (void)stage_call(c, "EXPIRE str3 100");
    (void)stage_call(c, "SCAN 0 MATCH k* COUNT 5");
    (void)stage_call(c, "KEYS k*");
    (void)stage_call(c, "KV.RANGE '' '' LIMIT 7");
    (void)stage_call(c, "KV.RANGE '' '' REV LIMIT 7 BYTES 100");
    (void)stage_call(c, "KV.COUNT k k99");
    (void)stage_call(c, "DBSIZE");
    (void)stage_call(c, "RANDOMKEY");
    (void)stage_call(c, "KV.EXPLAIN GET k03");
    (void)stage_call(c, "INFO");
    (void)stage_call(c, "CONFIG GET *");
    (void)stage_call(c, "COMMAND DOCS set get");
    (void)stage_call(c, "CLIENT LIST");
    (void)stage_call(c, "SLOWLOG GET");
    stage_delete(c, 4, 2);
    (void)stage_check(c);
    stage_hang_up(c);
}

/* CONFIG SET is answered when the manifest has it, or with -KVUNKNOWN while that cannot be written.
 */
static void setting(struct stage *s)
{
    struct stage_client *c = client_of(s->writer);
    (void)stage_call(c, "CONFIG SET dedup-ttl 2h");
    (void)stage_call(c, "CONFIG SET freshness 2s");
    stage_write(c, 0, 4, 0, 10);
    stage_hang_up(c);
}

static void feed(struct stage *s)
{
    struct stage_client *c = client_of(s->writer), *sub = client_of(s->writer),
                        *far = client_of(s->reader), *tracked = client_of(s->reader);
    (void)stage_call(sub, "SUBSCRIBE news");
    (void)stage_call(sub, "PSUBSCRIBE __key*");
    (void)stage_call(far, "SUBSCRIBE news");
    (void)stage_call(tracked, "HELLO 3");
    (void)stage_call(tracked, "CLIENT TRACKING ON");
    (void)stage_call(tracked, "GET k01");
    for (unsigned i = 0; i < 3; i++) {
        (void)stage_call(c, "PUBLISH news hello-%u", i);
        stage_write(c, 0, 3, i, 50);
        (void)stage_call(c, "SET short v PX 60");
        stage_run(s, 150 * FIRN_MS);
    }
    (void)stage_call(c, "GET short");
    (void)stage_check(c);
    stage_hang_up(c);
    stage_hang_up(sub);
    stage_hang_up(far);
    stage_hang_up(tracked);
}

static void changes(struct stage *s)
{
    struct stage_client *c = client_of(s->writer), *r = client_of(s->reader);
    char token[128] = "";
    stage_line(stage_call(c, "KV.TOKEN"), 1, token, sizeof token);
    stage_write(c, 3, 5, 0, 100);
    stage_write(c, 5, 5, 1, 100);
    if (token[0]) {
        (void)stage_call(c, "KV.CHANGES FROM %s COUNT 3", token);
        (void)stage_call(r, "KV.CHANGES FROM %s MATCH k", token);
        (void)stage_call(r, "KV.GET k03 ATLEAST %s", token);
        (void)stage_call(r, "KV.WAIT %s 100", token);
    }
    char id[128] = "";
    stage_line(stage_call(c, "KV.SNAPSHOT OPEN 60000"), 2, id, sizeof id);
    stage_write(c, 0, 8, 2, 100);
    if (id[0]) {
        (void)stage_call(c, "KV.RANGE '' '' AT %s", id);
        (void)stage_call(c, "KV.SNAPSHOT CLOSE %s", id);
    }
    (void)stage_check(r);
    stage_hang_up(c);
    stage_hang_up(r);
}

static void flush(struct stage *s)
{
    struct stage_client *c = client_of(s->writer), *r = client_of(s->reader);
    for (unsigned i = 0; i < 6; i++)
        stage_write(c, 4 * i, 4, i % 3, 1800);
    stage_delete(c, 2, 3);
    stage_run(s, 1500 * FIRN_MS);
    (void)stage_check(c);
    (void)stage_check(r);
    stage_hang_up(c);
    stage_hang_up(r);
}

static void takeover(struct stage *s)
{
    stage_halt(s->writer);
    struct stage_node *w = stage_writer(s, false);
    (void)stage_serves(w);
    struct stage_client *c = client_of(w), *r = client_of(s->reader);
    stage_count(c, 3);
    stage_write(c, 2, 3, 0, 10);
    (void)stage_check(c);
    (void)stage_check(r);
    stage_hang_up(c);
    stage_hang_up(r);
}

static void with_heartbeat(struct stage *s)
{
    s->heartbeat_ns = 200 * FIRN_MS;
    with_reader(s);
}

static void standby(struct stage *s)
{
    struct stage_node *old = s->writer, *w = stage_writer(s, true);
    struct stage_client *c = client_of(old), *d = client_of(w);
    stage_run(s, FIRN_SEC);
    stage_write(c, 2, 3, 0, 10);
    stage_run(s, 500 * FIRN_MS);
    stage_halt(old);
    (void)stage_serves(w);
    stage_count(d, 3);
    stage_write(d, 4, 3, 0, 10);
    (void)stage_check(d);
    stage_hang_up(c);
    stage_hang_up(d);
}

static void compact(struct stage *s)
{
    (void)stage_serves(stage_compactor(s));
    struct stage_client *c = client_of(s->writer), *r = client_of(s->reader);
    stage_run(s, 3 * FIRN_SEC);
    (void)stage_check(r);
    stage_write(c, 8, 8, 0, 1500);
    stage_run(s, 5 * FIRN_SEC); /* what was merged is collected */
    (void)stage_check(c);
    (void)stage_check(r);
    stage_hang_up(c);
    stage_hang_up(r);
}

static void cold(struct stage *s)
{
    struct stage_node *r = stage_reader(s);
    (void)stage_serves(r);
    struct stage_client *c = client_of(r), *w = client_of(s->writer);
    (void)stage_check(c);
    (void)stage_call(c, "KV.RANGE '' ''");
    (void)stage_call(c, "KV.COUNT '' ''");
    stage_write(w, 0, 8, 0, 1500);
    stage_run(s, 1500 * FIRN_MS);
    (void)stage_check(c);
    stage_hang_up(c);
    stage_hang_up(w);
}

static void stop(struct stage *s)
{
    struct stage_client *c = client_of(s->writer);
    stage_write(c, 0, 8, 0, 1500);
    stage_stop(s->writer);
    stage_stop(s->reader);
    stage_hang_up(c);
}

const struct flow flows[] = {
    {"start", false, NULL, start},
    {"commands", false, with_writer, commands},
    {"feed", false, with_reader, feed},
    {"changes", false, with_reader, changes},
    {"flush", true, with_reader, flush},
    {"takeover", true, with_reader, takeover},
    {"standby", true, with_heartbeat, standby},
    {"compact", true, with_tables, compact},
    {"cold", true, with_tables, cold},
    {"stop", true, with_reader, stop},
    {"setting", false, with_writer, setting},
};
const size_t flows_count = sizeof flows / sizeof *flows;
