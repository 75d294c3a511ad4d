#include "bench/load_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_LOG2_MAX 30
#define CONNS_MAX 60000
#define PIPELINE_MAX 65536
#define VALUE_MIN 24 /* what a value says of itself, load_record.h */
#define VALUE_MAX 65536
#define USAGE_EXIT 2

static const char usage[] =
    "usage: firn-load [options]\n"
    "  --mode set|get|mixed|verify   verify reads each key once against --record\n"
    "  --host A --port N             127.0.0.1 6379\n"
    "  --conns N --pipeline P        50 connections with up to 1 command in flight each\n"
    "  --keys-log2 K                 2^20 keys \"key:<12 digits>\" (16 bytes)\n"
    "  --value-bytes N               100; says key, sequence number and checksum of itself\n"
    "  --seconds S --warmup S        10 and 0; what is sent in the warm-up is checked, not "
    "counted\n"
    "  --count N                     end after N commands\n"
    "  --rate R                      open loop: R commands/s, latency from the time each was due\n"
    "  --set-percent N               of mode mixed: 50\n"
    "  --sequential                  each key once, in order\n"
    "  --fresh                       a GET must show what was acknowledged before it was sent\n"
    "  --record FILE                 what was written, read at the start, written at the end;\n"
    "                                without it mode get accepts whatever write a value is of\n"
    "  --first 'COMMAND'             each connection sends it first; it must answer +OK\n"
    "  --allow-errors                error replies are counted, but no failure\n"
    "  --seed N                      of the random keys\n";

static _Noreturn void refuse(const char *what, const char *value)
{
    (void)fprintf(stderr, "firn-load: %s: bad value \"%s\"\n", what, value);
    exit(USAGE_EXIT);
}

static double number(const char *what, const char *text, double low, double high)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= low && v <= high))
        refuse(what, text);
    return v;
}

const char *load_mode_name(enum load_mode m)
{
    static const char *const name[] = {"set", "get", "mixed", "verify"};
    return name[m];
}

static enum load_mode mode_of(const char *text)
{
    for (enum load_mode m = LOAD_SET; m <= LOAD_VERIFY; m++) {
        if (strcmp(text, load_mode_name(m)) == 0)
            return m;
    }
    refuse("mode", text);
}

enum {
    MODE = 256,
    HOST,
    PORT,
    CONNS,
    PIPELINE,
    KEYS,
    VALUE,
    SECONDS,
    WARMUP,
    COUNT,
    RATE,
    PERCENT,
    SEQUENTIAL,
    FRESH,
    RECORD,
    FIRST,
    ALLOW,
    SEED,
    HELP
};

static const struct option flags[] = {
    {"mode", required_argument, NULL, MODE},
    {"host", required_argument, NULL, HOST},
    {"port", required_argument, NULL, PORT},
    {"conns", required_argument, NULL, CONNS},
    {"pipeline", required_argument, NULL, PIPELINE},
    {"keys-log2", required_argument, NULL, KEYS},
    {"value-bytes", required_argument, NULL, VALUE},
    {"seconds", required_argument, NULL, SECONDS},
    {"warmup", required_argument, NULL, WARMUP},
    {"count", required_argument, NULL, COUNT},
    {"rate", required_argument, NULL, RATE},
    {"set-percent", required_argument, NULL, PERCENT},
    {"sequential", no_argument, NULL, SEQUENTIAL},
    {"fresh", no_argument, NULL, FRESH},
    {"record", required_argument, NULL, RECORD},
    {"first", required_argument, NULL, FIRST},
    {"allow-errors", no_argument, NULL, ALLOW},
    {"seed", required_argument, NULL, SEED},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void set(struct load_options *o, int flag, const char *a)
{
    switch (flag) {
    case MODE:
        o->mode = mode_of(a);
        break;
    case HOST:
        o->host = a;
        break;
    case PORT:
        o->port = (uint16_t)number("port", a, 1, 65535);
        break;
    case CONNS:
        o->conns = (uint32_t)number("conns", a, 1, CONNS_MAX);
        break;
    case PIPELINE:
        o->pipeline = (uint32_t)number("pipeline", a, 1, PIPELINE_MAX);
        break;
    case KEYS:
        o->keys_log2 = (uint32_t)number("keys-log2", a, 0, KEYS_LOG2_MAX);
        break;
    case VALUE:
        o->value_bytes = (uint32_t)number("value-bytes", a, VALUE_MIN, VALUE_MAX);
        break;
    case SECONDS:
        o->seconds = number("seconds", a, 0, 1e6);
        break;
    case WARMUP:
        o->warmup = number("warmup", a, 0, 1e6);
        break;
    case COUNT:
        o->count = (uint64_t)number("count", a, 1, 1e15);
        break;
    case RATE:
        o->rate = number("rate", a, 0.001, 1e9);
        break;
    case PERCENT:
        o->set_percent = (uint32_t)number("set-percent", a, 0, 100);
        break;
    case SEQUENTIAL:
        o->sequential = true;
        break;
    case FRESH:
        o->fresh = true;
        break;
    case RECORD:
        o->record = a;
        break;
    case FIRST:
        o->first = a;
        break;
    case ALLOW:
        o->allow_errors = true;
        break;
    case SEED:
        o->seed = (uint64_t)number("seed", a, 0, 1e15);
        break;
    case HELP:
        (void)fputs(usage, stdout);
        exit(0);
    default:
        (void)fputs(usage, stderr);
        exit(USAGE_EXIT);
    }
}

void load_options_parse(struct load_options *o, int argc, char **argv)
{
    *o = (struct load_options){
        .host = "127.0.0.1",
        .port = 6379,
        .conns = 50,
        .pipeline = 1,
        .keys_log2 = 20,
        .value_bytes = 100,
        .set_percent = 50,
        .seconds = 10,
        .seed = 1,
    };
    int flag;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
        set(o, flag, optarg);
    if (optind < argc)
        refuse("argument", argv[optind]);
    if (o->mode == LOAD_VERIFY) {
        if (!o->record)
            refuse("record", "");
        o->sequential = true;
        o->rate = 0;
    }
    uint64_t keys = UINT64_C(1) << o->keys_log2;
    if (o->conns > keys)
        refuse("conns", "more than there are keys");
}
