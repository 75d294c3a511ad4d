/* Log events: cores emit them, obs makes lines (logfmt or JSON), main's sink writes them. Nothing
 * here does I/O or reads a clock. Loop thread only. */
#ifndef FIRN_OBS_LOG_H
#define FIRN_OBS_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum firn_log_level { FIRN_LOG_DEBUG, FIRN_LOG_INFO, FIRN_LOG_WARN, FIRN_LOG_ERROR };

#define FIRN_LOG_LINE_MAX 2048 /* longer lines are cut, still valid logfmt or JSON */
#define FIRN_LOG_REPEAT_SLOTS 64
#define FIRN_LOG_BURST 20 /* lines of one event per window; those beyond are only counted */
#define FIRN_LOG_WINDOW_MS 10000

struct firn_log_repeat {
    uint64_t event_hash;
    uint64_t window_start_ms;
    uint32_t lines;      /* written in this window */
    uint64_t suppressed; /* since the last line written */
};

/* Zero-initialised with a sink is valid; fields above the line may be changed at any time. */
struct firn_log {
    enum firn_log_level level; /* events below it are dropped */
    bool json;
    /* Takes one line, without a line feed, borrowed for the call. NULL: all events are dropped. */
    void (*sink)(void *arg, enum firn_log_level level, const char *line, size_t len);
    void *sink_arg;
    /* Wall clock, ms since 1970. NULL: lines carry no time and repeats are not limited. */
    uint64_t (*wall_ms)(void *arg);
    void *wall_arg;
    /* --- obs' */
    struct firn_log_repeat repeat[FIRN_LOG_REPEAT_SLOTS];
};

/* Emit an event. `event` is a short constant text ("writer fenced"); `fmt` is a list of pairs
 * divided by single spaces, each `key=` and one printf conversion, maybe with constant text around
 * it: firn_log_event(log, FIRN_LOG_WARN, "put slow", "key=%s epoch=%" PRIu64 " took=%ums", key, e,
 * ms);
 * Conversions: d i u x X c s f g with h hh l ll z t j, flags, width and
 * precision (also *); nothing else. Strings may hold anything (they are quoted and escaped, also
 * invalid UTF-8) and NULL; never pass values, AUTH arguments or secrets. More than FIRN_LOG_BURST
 * lines of one event in FIRN_LOG_WINDOW_MS are counted instead of written; the next line says
 * suppressed=N. FIRN_LOG_ERROR is never suppressed. `log` may be NULL (drops it). No allocation. */
void firn_log_event(struct firn_log *log, enum firn_log_level level, const char *event,
                    const char *fmt, ...) FIRN_PRINTF(4, 5);

/* The same for an event without pairs. */
void firn_log_plain(struct firn_log *log, enum firn_log_level level, const char *event);

/* "debug", "info", "warn", "error". */
const char *firn_log_level_name(enum firn_log_level level);

#endif
