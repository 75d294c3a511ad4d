/* Conditions on the value that a key has: NX XX IFEQ IFNE IFDEQ IFDNE of SET, DELEX and their kin;
 * and the digest of a value, XXH3-64 as 16 lower-case hexadecimal digits (Redis 8.4's). */
#ifndef FIRN_ENGINE_CONDITION_PRIV_H
#define FIRN_ENGINE_CONDITION_PRIV_H

#include "engine/engine_priv.h"

#define FIRN_DIGEST_LEN 16

enum firn_condition {
    FIRN_IF_ALWAYS,
    FIRN_IF_NX,
    FIRN_IF_XX,
    FIRN_IF_EQ, /* from here on with an argument: a value … */
    FIRN_IF_NE,
    FIRN_IF_DEQ, /* … or a digest */
    FIRN_IF_DNE,
};

/* The condition that argv[i] names, ASCII case ignored; ALWAYS: none. */
enum firn_condition firn_engine__condition_of(const struct firn_eval *x, size_t i);
static inline bool firn_engine__condition_has_arg(enum firn_condition c)
{
    return c >= FIRN_IF_EQ;
}
/* Does it hold for a key whose value is *value (NULL: there is no such key)? On a missing key IFEQ
 * and IFDEQ fail, IFNE and IFDNE hold; its argument is not looked at then. INVALID with the error
 * appended: a digest that is none. AGAIN and others as firn_engine__noop. */
enum firn_status firn_engine__condition_holds(struct firn_eval *x, enum firn_condition c,
                                              const struct firn_slice *value, struct firn_slice arg,
                                              bool *holds) FIRN_MUST_USE;

/* The digest of a value. O(length). */
void firn_engine__digest(struct firn_slice value, char out[FIRN_DIGEST_LEN]);
/* Could this text be a digest, in either case? */
bool firn_engine__is_digest(struct firn_slice hex);

#endif
