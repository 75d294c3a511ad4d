/* The operations that KV.BATCH and KV.TXN name: lists "n argc arg… argc arg… …" of ordinary
 * commands. */
#ifndef FIRN_ENGINE_OPS_PRIV_H
#define FIRN_ENGINE_OPS_PRIV_H

#include "engine/tx_priv.h"

/* Zero-initialised is valid and empty. */
struct firn_ops {
    struct firn_tx_cmd *cmd; /* owned; the arguments are those of the request */
    size_t n;
};

/* Take the list at argv[*i]; *i is moved behind it. INVALID, answered: what is malformed, not an
 * operation, or has a wrong number of arguments. LIMIT: memory. */
enum firn_status firn_engine__ops_parse(struct firn_eval *x, size_t *i,
                                        struct firn_ops *out) FIRN_MUST_USE;
void firn_engine__ops_clear(struct firn_ops *ops);
/* The keys of the list at argv[*i], as firn_command.getkeys has them, `have` of them already: gives
 * how many there are with its own, or FIRN_KEYS_INVALID. */
size_t firn_engine__ops_keys(size_t argc, const struct firn_slice *argv, size_t *i,
                             struct firn_key_ref *out, size_t max, size_t have);

#endif
