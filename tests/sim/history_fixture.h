/* Histories and logs written by hand, for the tests of the checkers. */
#ifndef FIRN_TESTS_SIM_HISTORY_FIXTURE_H
#define FIRN_TESTS_SIM_HISTORY_FIXTURE_H

#include "testing.h"

#include "format/record.h"
#include "sim/check_serial.h"
#include "sim/history_text.h"

#include <stdlib.h>

/* One record: "k=v", "k=v@expiry ms", "k=" (DEL), "a..b" (a range tombstone), "k!seqno" (EXPIRED).
 */
static inline struct witness_record fixture_record(struct hist *h, const char *word, uint64_t seqno)
{
    struct witness_record r = {.seqno = seqno};
    const char *eq = strchr(word, '='), *dots = strstr(word, ".."), *bang = strchr(word, '!');
    const char *mid = eq ? eq : dots ? dots : bang;
    assert_non_null(mid);
    r.key = mid == word ? 0 : hist_intern(&h->keys, firn_slice_of(word, (size_t)(mid - word)));
    if (eq) {
        size_t len = strcspn(eq + 1, "@");
        r.kind = len ? FIRN_RECORD_PUT : FIRN_RECORD_DEL;
        r.value = len ? hist_intern(&h->values, firn_slice_of(eq + 1, len)) : 0;
        r.expiry_ms = eq[1 + len] == '@' ? strtoull(eq + 2 + len, NULL, 10) : 0;
    } else if (dots) {
        r.kind = FIRN_RECORD_RANGEDEL;
        r.end = dots[2] ? hist_intern(&h->keys, firn_slice_str(dots + 2)) : 0;
    } else {
        r.kind = FIRN_RECORD_EXPIRED;
        r.value_seqno = strtoull(bang + 1, NULL, 10);
    }
    return r;
}

/* "durable_ns log_time_ms records …": one unit, in a slot of its own; seqnos go 1, 2, 3 …. */
static inline void fixture_log(struct witness *w, const char *line)
{
    char text[256], *save = NULL;
    struct witness_record record[8];
    uint32_t n = 0;
    assert_true(strlen(line) < sizeof text);
    memcpy(text, line, strlen(line) + 1);
    struct witness_unit u = {.place = {1, w->units}};
    u.durable_ns = strtoull(strtok_r(text, " ", &save), NULL, 10);
    u.log_time_ms = strtoull(strtok_r(NULL, " ", &save), NULL, 10);
    u.before_ms = w->units ? w->unit[w->units - 1].log_time_ms : 0;
    for (char *word; (word = strtok_r(NULL, " ", &save)) && n < 8; n++)
        record[n] = fixture_record(w->h, word, w->records + n + 1);
    witness_add(w, &u, record, n);
}

static inline void fixture_op(struct hist *h, const char *line)
{
    struct firn_err err = {""};
    if (hist_text_line(h, firn_slice_str(line), &err) != FIRN_OK)
        fail_msg("%s: %s", line, err.text);
}

#endif
