#include "bench/load_options.h"

#include <getopt.h>
#include <stddef.h>
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
    "  --ttl-min-ms N --ttl-max-ms N SETs expire after a random time between; a GET may find none\n"
    "  --series FILE                 replies, worst latency and longest pause of each second\n"
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

enum kind { MODE, TEXT, FLAG, U16, U32, U64, REAL };

/* A flag, where its value goes and what it may be. */
struct flag {
    const char *name;
    enum kind kind;
    size_t offset;
    double low, high;
};

#define AT(field) offsetof(struct load_options, field)

static const struct flag flags[] = {
    {"mode", MODE, AT(mode), 0, 0},
    {"host", TEXT, AT(host), 0, 0},
    {"port", U16, AT(port), 1, 65535},
    {"conns", U32, AT(conns), 1, CONNS_MAX},
    {"pipeline", U32, AT(pipeline), 1, PIPELINE_MAX},
    {"keys-log2", U32, AT(keys_log2), 0, KEYS_LOG2_MAX},
    {"value-bytes", U32, AT(value_bytes), VALUE_MIN, VALUE_MAX},
    {"seconds", REAL, AT(seconds), 0, 1e6},
    {"warmup", REAL, AT(warmup), 0, 1e6},
    {"count", U64, AT(count), 1, 1e15},
    {"rate", REAL, AT(rate), 0.001, 1e9},
    {"set-percent", U32, AT(set_percent), 0, 100},
    {"ttl-min-ms", U32, AT(ttl_min_ms), 0, UINT32_MAX},
    {"ttl-max-ms", U32, AT(ttl_max_ms), 0, UINT32_MAX},
    {"series", TEXT, AT(series), 0, 0},
    {"sequential", FLAG, AT(sequential), 0, 0},
    {"fresh", FLAG, AT(fresh), 0, 0},
    {"record", TEXT, AT(record), 0, 0},
    {"first", TEXT, AT(first), 0, 0},
    {"allow-errors", FLAG, AT(allow_errors), 0, 0},
    {"seed", U64, AT(seed), 0, 1e15},
};
#define FLAGS (sizeof flags / sizeof *flags)

static void set(struct load_options *o, const struct flag *f, const char *text)
{
    void *at = (char *)o + f->offset;
    switch (f->kind) {
    case MODE:
        *(enum load_mode *)at = mode_of(text);
        break;
    case TEXT:
        *(const char **)at = text;
        break;
    case FLAG:
        *(bool *)at = true;
        break;
    case U16:
        *(uint16_t *)at = (uint16_t)number(f->name, text, f->low, f->high);
        break;
    case U32:
        *(uint32_t *)at = (uint32_t)number(f->name, text, f->low, f->high);
        break;
    case U64:
        *(uint64_t *)at = (uint64_t)number(f->name, text, f->low, f->high);
        break;
    case REAL:
        *(double *)at = number(f->name, text, f->low, f->high);
        break;
    }
}

static void parse_flags(struct load_options *o, int argc, char **argv)
{
    struct option known[FLAGS + 2] = {{0}};
    int at;
    for (size_t i = 0; i < FLAGS; i++)
        known[i] =
            (struct option){.name = flags[i].name,
                            .has_arg = flags[i].kind == FLAG ? no_argument : required_argument};
    known[FLAGS].name = "help";
    for (int got; (got = getopt_long(argc, argv, "", known, &at)) != -1;) {
        if (got != 0) {
            (void)fputs(usage, stderr);
            exit(USAGE_EXIT);
        }
        if (at == (int)FLAGS) {
            (void)fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        }
        set(o, &flags[at], optarg);
    }
    if (optind < argc)
        refuse("argument", argv[optind]);
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
    parse_flags(o, argc, argv);
    if (o->mode == LOAD_VERIFY) {
        if (!o->record)
            refuse("record", "");
        o->sequential = true;
        o->rate = 0;
    }
    if (o->ttl_max_ms < o->ttl_min_ms || (o->ttl_max_ms && !o->ttl_min_ms))
        refuse("ttl-max-ms", "without ttl-min-ms, or below it");
    if (o->ttl_max_ms && (o->fresh || o->mode == LOAD_VERIFY))
        refuse("ttl-max-ms", "with values that must be found");
    uint64_t keys = UINT64_C(1) << o->keys_log2;
    if (o->conns > keys)
        refuse("conns", "more than there are keys");
}
