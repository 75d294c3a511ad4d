/* The handlers of the commands, by file. What each does is what the command table and Redis's
 * manual (or INTERFACES "KV.*") say; how they answer is firn_handler_fn's contract. */
#ifndef FIRN_ENGINE_CMD_PRIV_H
#define FIRN_ENGINE_CMD_PRIV_H

#include "engine/engine_priv.h"

#define FIRN_HANDLER(name) enum firn_status firn_engine__cmd_##name(struct firn_eval *x)

/* cmd_string.c */
FIRN_HANDLER(get);
FIRN_HANDLER(strlen);
FIRN_HANDLER(set);
size_t firn_engine__keys_set(size_t argc, const struct firn_slice *argv, struct firn_key_ref *out,
                             size_t max);
FIRN_HANDLER(setnx);
FIRN_HANDLER(setex);
FIRN_HANDLER(psetex);
FIRN_HANDLER(getset);
FIRN_HANDLER(getdel);
FIRN_HANDLER(getex);
/* cmd_number.c */
FIRN_HANDLER(incr);
FIRN_HANDLER(decr);
FIRN_HANDLER(incrby);
FIRN_HANDLER(decrby);
FIRN_HANDLER(incrbyfloat);
/* cmd_substring.c */
FIRN_HANDLER(append);
FIRN_HANDLER(setrange);
FIRN_HANDLER(getrange);
/* cmd_conditional.c */
FIRN_HANDLER(delex);
FIRN_HANDLER(delifeq);
FIRN_HANDLER(digest);
/* cmd_increx.c */
FIRN_HANDLER(increx);
/* cmd_bit.c */
FIRN_HANDLER(setbit);
FIRN_HANDLER(getbit);
FIRN_HANDLER(bitcount);
FIRN_HANDLER(bitpos);
/* cmd_lcs.c */
FIRN_HANDLER(lcs);
/* cmd_multi.c */
FIRN_HANDLER(mget);
FIRN_HANDLER(mset);
FIRN_HANDLER(msetnx);
FIRN_HANDLER(msetex);
size_t firn_engine__keys_msetex(size_t argc, const struct firn_slice *argv,
                                struct firn_key_ref *out, size_t max);
/* cmd_transaction.c */
FIRN_HANDLER(multi);
FIRN_HANDLER(exec);
FIRN_HANDLER(discard);
FIRN_HANDLER(watch);
FIRN_HANDLER(unwatch);
/* cmd_key.c */
FIRN_HANDLER(del);
FIRN_HANDLER(exists);
FIRN_HANDLER(type);
FIRN_HANDLER(rename);
FIRN_HANDLER(renamenx);
FIRN_HANDLER(copy);
FIRN_HANDLER(object_encoding);
FIRN_HANDLER(object_refcount);
FIRN_HANDLER(object_idletime);
FIRN_HANDLER(object_freq);
/* How Redis would hold the value if it was set whole: "int", "embstr", "raw". */
const char *firn_engine__encoding(struct firn_slice v);
/* cmd_memory.c */
FIRN_HANDLER(memory_usage);
FIRN_HANDLER(memory_stats);
FIRN_HANDLER(memory_doctor);
FIRN_HANDLER(memory_malloc_stats);
/* cmd_debug.c */
FIRN_HANDLER(debug);
/* cmd_expire.c */
FIRN_HANDLER(expire);
FIRN_HANDLER(pexpire);
FIRN_HANDLER(expireat);
FIRN_HANDLER(pexpireat);
FIRN_HANDLER(persist);
FIRN_HANDLER(ttl);
FIRN_HANDLER(pttl);
FIRN_HANDLER(expiretime);
FIRN_HANDLER(pexpiretime);
/* cmd_scan.c */
FIRN_HANDLER(scan);
FIRN_HANDLER(keys);
FIRN_HANDLER(randomkey);
FIRN_HANDLER(dbsize);
FIRN_HANDLER(flushdb);
FIRN_HANDLER(flushall);
/* cmd_kv.c */
FIRN_HANDLER(kv_get);
FIRN_HANDLER(kv_range);
FIRN_HANDLER(kv_count);
FIRN_HANDLER(kv_delrange);
/* cmd_kv_batch.c */
FIRN_HANDLER(kv_batch);
FIRN_HANDLER(kv_txn);
size_t firn_engine__keys_kv_batch(size_t argc, const struct firn_slice *argv,
                                  struct firn_key_ref *out, size_t max);
size_t firn_engine__keys_kv_txn(size_t argc, const struct firn_slice *argv,
                                struct firn_key_ref *out, size_t max);
/* cmd_kv_session.c */
FIRN_HANDLER(kv_token);
FIRN_HANDLER(kv_wait);
FIRN_HANDLER(kv_freshness);
FIRN_HANDLER(kv_ack);
FIRN_HANDLER(kv_cost);
FIRN_HANDLER(kv_explain);
/* monitor.c */
FIRN_HANDLER(monitor);
/* cmd_tracking.c */
FIRN_HANDLER(client_tracking);
FIRN_HANDLER(client_caching);
FIRN_HANDLER(client_getredir);
FIRN_HANDLER(client_trackinginfo);
/* cmd_kv_changes.c */
FIRN_HANDLER(kv_changes);
/* cmd_kv_snapshot.c */
FIRN_HANDLER(kv_snapshot_open);
FIRN_HANDLER(kv_snapshot_close);
/* cmd_server.c */
FIRN_HANDLER(info);
FIRN_HANDLER(role);
FIRN_HANDLER(wait);
FIRN_HANDLER(waitaof);
FIRN_HANDLER(help);
FIRN_HANDLER(function_flush);
FIRN_HANDLER(ok); /* READONLY, READWRITE, MEMORY PURGE: nothing to do */
/* cmd_slow.c */
FIRN_HANDLER(slowlog_get);
FIRN_HANDLER(slowlog_len);
FIRN_HANDLER(slowlog_reset);
FIRN_HANDLER(latency_latest);
FIRN_HANDLER(latency_history);
FIRN_HANDLER(latency_graph);
FIRN_HANDLER(latency_doctor);
FIRN_HANDLER(latency_reset);
FIRN_HANDLER(latency_histogram);
/* cmd_pubsub.c */
FIRN_HANDLER(subscribe);
FIRN_HANDLER(psubscribe);
FIRN_HANDLER(ssubscribe);
FIRN_HANDLER(unsubscribe);
FIRN_HANDLER(punsubscribe);
FIRN_HANDLER(sunsubscribe);
FIRN_HANDLER(publish);
FIRN_HANDLER(spublish);
FIRN_HANDLER(pubsub_channels);
FIRN_HANDLER(pubsub_shardchannels);
FIRN_HANDLER(pubsub_numsub);
FIRN_HANDLER(pubsub_shardnumsub);
FIRN_HANDLER(pubsub_numpat);
/* cmd_config.c */
FIRN_HANDLER(config_get);
FIRN_HANDLER(config_set);
FIRN_HANDLER(config_rewrite);
FIRN_HANDLER(config_resetstat);

#undef FIRN_HANDLER

#endif
