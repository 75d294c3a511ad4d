/* What firn-load is asked to do. */
#ifndef FIRN_BENCH_LOAD_OPTIONS_H
#define FIRN_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum load_mode { LOAD_SET, LOAD_GET, LOAD_MIXED, LOAD_VERIFY };

struct load_options {
    const char *host;   /* numeric IPv4 address */
    const char *record; /* file of what was written, NULL = none */
    const char *series; /* file for what came second by second, NULL = none */
    const char *first;  /* an inline command that each connection sends first, NULL = none */
    enum load_mode mode;
    uint16_t port;
    uint32_t conns;
    uint32_t pipeline;               /* commands in flight per connection, at most */
    uint32_t keys_log2;              /* 2^this keys */
    uint32_t value_bytes;            /* of each value */
    uint32_t set_percent;            /* MIXED */
    uint32_t ttl_min_ms, ttl_max_ms; /* SET … PX with a random time between; 0 = none */
    uint64_t seed;
    uint64_t count; /* commands to send, 0 = until the time is up */
    double rate;    /* open loop at so many commands/s; 0 = closed loop */
    double seconds, warmup;
    bool sequential;   /* each key once, in order */
    bool fresh;        /* a GET must show what was acknowledged before it was sent */
    bool allow_errors; /* error replies do not make the run a failure */
};

/* From the command line; says what is wrong, or the usage, and exits when it cannot go on. */
void load_options_parse(struct load_options *o, int argc, char **argv);
const char *load_mode_name(enum load_mode m);

#endif
