/* Times to live as options of commands: EX PX EXAT PXAT KEEPTTL PERSIST. */
#ifndef FIRN_ENGINE_EXPIRE_PRIV_H
#define FIRN_ENGINE_EXPIRE_PRIV_H

#include "engine/engine_priv.h"

enum firn_ttl_option {
    FIRN_TTL_NONE,
    FIRN_TTL_EX,
    FIRN_TTL_PX,
    FIRN_TTL_EXAT,
    FIRN_TTL_PXAT,
    FIRN_TTL_KEEP,
    FIRN_TTL_PERSIST,
};

struct firn_ttl {
    enum firn_ttl_option option;
    size_t arg; /* index of its number in argv */
};

/* Take the option at argv[*i], and its number, into t; *i is moved to the last word taken. False
 * when it is none of the options, has no number, or another kind was given before (the same one may
 * repeat). keep and persist say whether KEEPTTL and PERSIST are options of this command. */
bool firn_engine__ttl_option(const struct firn_eval *x, size_t *i, bool keep, bool persist,
                             struct firn_ttl *t);
/* The absolute time in ms that argv[arg] means; INVALID with Redis's error appended. */
enum firn_status firn_engine__ttl_ms(struct firn_eval *x, enum firn_ttl_option option, size_t arg,
                                     uint64_t *out) FIRN_MUST_USE;
/* "ERR invalid expire time in 'set' command"; INVALID. */
enum firn_status firn_engine__ttl_error(struct firn_eval *x);

#endif
