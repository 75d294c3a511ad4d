/* Shared inside conf. */
#ifndef FIRN_CONF_PRIV_H
#define FIRN_CONF_PRIV_H

#include "conf/conf.h"

#define FIRN_CONF__FILE_MAX (1u << 20)   /* of a config file */
#define FIRN_CONF__VALUE_MAX (64u << 10) /* of one value's text */

extern const struct firn_conf_def firn_conf__table[];
extern const size_t firn_conf__count;

/* A checked value, before it is taken: `text` is owned until it is moved into settings. */
struct firn_conf__value {
    uint64_t number; /* also bools (0, 1) and enums (place of the word) */
    char *text;
};

/* Check a value against its row. INVALID with what is allowed (never quoting a secret); LIMIT:
 * memory. */
enum firn_status firn_conf__parse(const struct firn_conf_def *d, struct firn_slice value,
                                  struct firn_conf__value *out, struct firn_err *err) FIRN_MUST_USE;
/* Move a value into its field, freeing (and for secrets wiping) what was there. */
void firn_conf__take(const struct firn_conf_def *d, struct firn_settings *s,
                     struct firn_conf__value *value, enum firn_conf_origin origin);
/* Parse and take. */
enum firn_status firn_conf__put(const struct firn_conf_def *d, struct firn_settings *s,
                                struct firn_slice value, enum firn_conf_origin origin,
                                struct firn_err *err) FIRN_MUST_USE;
/* Append a field's value as a user would write it; secrets give nothing. */
enum firn_status firn_conf__format(const struct firn_conf_def *d, const struct firn_settings *s,
                                   struct firn_buf *out) FIRN_MUST_USE;
/* Append what is allowed: "1ms to 10s", "fast or strict". */
enum firn_status firn_conf__format_range(const struct firn_conf_def *d,
                                         struct firn_buf *out) FIRN_MUST_USE;

/* Copy a field out; text is the caller's to free. LIMIT: memory. */
enum firn_status firn_conf__read(const struct firn_conf_def *d, const struct firn_settings *s,
                                 struct firn_conf__value *out) FIRN_MUST_USE;

/* Cut the next line off a text that is not empty; without its line feed. */
struct firn_slice firn_conf__next_line(struct firn_slice *text);
/* Name and value (still quoted) of a line of a file; false for blank lines and comments. */
bool firn_conf__split_line(struct firn_slice line, struct firn_slice *name,
                           struct firn_slice *value);

/* Relations between settings: INVALID names the two that do not fit. */
enum firn_status firn_conf__cross_check(const struct firn_settings *s,
                                        struct firn_err *err) FIRN_MUST_USE;

static inline bool firn_conf__is_text(const struct firn_conf_def *d)
{
    return d->type == FIRN_CONF_STRING || d->type == FIRN_CONF_LIST || d->type == FIRN_CONF_SECRET;
}

static inline size_t firn_conf__index(const struct firn_conf_def *d)
{
    return (size_t)(d - firn_conf__table);
}

#endif
