/* hiredis: the C client library of Debian 12 (RESP2). */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIPELINE 1000

static void check_at(int good, const char *what, int line)
{
    if (good)
        return;
    fprintf(stderr, "hiredis_client.c:%d: %s\n", line, what);
    exit(1);
}
#define CHECK(x) check_at((x) != 0, #x, __LINE__)

static void ok(const char *step)
{
    printf("ok %s\n", step);
    fflush(stdout);
}

static redisContext *connect_to(int port)
{
    redisContext *c = redisConnect("127.0.0.1", port);
    CHECK(c && !c->err);
    struct timeval tv = {10, 0};
    CHECK(redisSetTimeout(c, tv) == REDIS_OK);
    return c;
}

/* Does the reply hold this text? Frees it. */
static int is(redisReply *r, int type, const char *text)
{
    int good = r && r->type == type && (!text || (r->str && strcmp(r->str, text) == 0));
    if (r)
        freeReplyObject(r);
    return good;
}

static int is_int(redisReply *r, long long n)
{
    int good = r && r->type == REDIS_REPLY_INTEGER && r->integer == n;
    if (r)
        freeReplyObject(r);
    return good;
}

static void strings(redisContext *w, redisContext *r)
{
    CHECK(is(redisCommand(w, "SET %b %b", "bin\0\xff", (size_t)5, "\r\n\0", (size_t)3),
             REDIS_REPLY_STATUS, "OK"));
    redisReply *got = redisCommand(r, "GET %b", "bin\0\xff", (size_t)5);
    CHECK(got && got->type == REDIS_REPLY_STRING && got->len == 3 &&
          !memcmp(got->str, "\r\n\0", 3));
    freeReplyObject(got);
    CHECK(is(redisCommand(w, "SET once 1 NX"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(w, "SET once 2 NX"), REDIS_REPLY_NIL, NULL));
    CHECK(is_int(redisCommand(w, "INCRBY n 5"), 5));
    CHECK(is(redisCommand(w, "SET s text"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(w, "INCR s"), REDIS_REPLY_ERROR,
             "ERR value is not an integer or out of range"));
    CHECK(is(redisCommand(r, "SET s text"), REDIS_REPLY_ERROR, NULL));
}

static void pipeline(redisContext *w)
{
    for (int i = 0; i < PIPELINE; i++) {
        CHECK(redisAppendCommand(w, "SET key:%d %d", i, i) == REDIS_OK);
        CHECK(redisAppendCommand(w, "GET key:%d", i) == REDIS_OK);
    }
    for (int i = 0; i < PIPELINE; i++) {
        char want[16];
        void *reply;
        snprintf(want, sizeof want, "%d", i);
        CHECK(redisGetReply(w, &reply) == REDIS_OK && is(reply, REDIS_REPLY_STATUS, "OK"));
        CHECK(redisGetReply(w, &reply) == REDIS_OK && is(reply, REDIS_REPLY_STRING, want));
    }
}

static void transaction(redisContext *w, redisContext *other)
{
    CHECK(is(redisCommand(w, "WATCH balance"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(other, "SET balance 10"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(w, "MULTI"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(w, "SET balance 1"), REDIS_REPLY_STATUS, "QUEUED"));
    CHECK(is(redisCommand(w, "EXEC"), REDIS_REPLY_NIL, NULL)); /* another was first: again */
    CHECK(is(redisCommand(w, "WATCH balance"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(w, "MULTI"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(w, "INCR balance"), REDIS_REPLY_STATUS, "QUEUED"));
    redisReply *r = redisCommand(w, "EXEC");
    CHECK(r && r->type == REDIS_REPLY_ARRAY && r->elements == 1 && r->element[0]->integer == 11);
    freeReplyObject(r);
}

static int message_is(redisContext *s, const char *kind, const char *text)
{
    void *reply;
    CHECK(redisGetReply(s, &reply) == REDIS_OK);
    redisReply *r = reply;
    int good = r->type == REDIS_REPLY_ARRAY && r->elements >= 3 &&
               !strcmp(r->element[0]->str, kind) &&
               (!text || !strcmp(r->element[r->elements - 1]->str, text));
    freeReplyObject(r);
    return good;
}

static void pubsub(redisContext *w, int port)
{
    redisContext *s = connect_to(port);
    CHECK(redisAppendCommand(s, "SUBSCRIBE news") == REDIS_OK);
    CHECK(message_is(s, "subscribe", NULL));
    CHECK(is(redisCommand(w, "PUBLISH news hello"), REDIS_REPLY_INTEGER, NULL));
    CHECK(message_is(s, "message", "hello"));
    redisFree(s);
}

static void scan(redisContext *r)
{
    char cursor[32] = "0";
    int found = 0;
    do {
        redisReply *page = redisCommand(r, "SCAN %s MATCH key:* COUNT 100", cursor);
        CHECK(page && page->type == REDIS_REPLY_ARRAY && page->elements == 2);
        found += (int)page->element[1]->elements;
        snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        freeReplyObject(page);
    } while (strcmp(cursor, "0") != 0);
    CHECK(found == PIPELINE);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    int writer = (int)strtol(argv[1], NULL, 10), reader = (int)strtol(argv[2], NULL, 10);
    printf("hiredis %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    redisContext *w = connect_to(writer), *r = connect_to(reader);
    CHECK(is(redisCommand(w, "PING"), REDIS_REPLY_STATUS, "PONG"));
    ok("connect");
    strings(w, r);
    ok("strings");
    pipeline(w);
    ok("pipeline");
    redisContext *other = connect_to(writer);
    transaction(w, other);
    redisFree(other);
    ok("transaction");
    pubsub(w, writer);
    pubsub(w, reader);
    ok("pubsub");
    scan(r);
    ok("scan");
    printf("skip tracking hiredis has no client-side cache\n");
    CHECK(is(redisCommand(w, "SET before kill"), REDIS_REPLY_STATUS, "OK"));
    printf("kill\n");
    fflush(stdout);
    char line[32];
    CHECK(fgets(line, sizeof line, stdin) != NULL);
    CHECK(redisCommand(w, "PING") == NULL && w->err); /* it is told, and reconnects by itself */
    for (int i = 0; i < 50 && redisReconnect(w) != REDIS_OK; i++)
        usleep(100000);
    CHECK(is(redisCommand(w, "GET before"), REDIS_REPLY_STRING, "kill"));
    CHECK(is(redisCommand(w, "SET after kill"), REDIS_REPLY_STATUS, "OK"));
    CHECK(is(redisCommand(r, "GET after"), REDIS_REPLY_STRING, "kill"));
    ok("reconnect");
    redisFree(w);
    redisFree(r);
    return 0;
}
