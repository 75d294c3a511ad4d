/* Redis's names of settings: what clients, exporters and tools ask CONFIG for. Each is another view
 * of a setting of Firn's own (other unit), or a fact that cannot be changed here. */
#ifndef FIRN_ENGINE_REDIS_NAMES_PRIV_H
#define FIRN_ENGINE_REDIS_NAMES_PRIV_H

#include "base/slice.h"
#include "conf/conf.h"

#define FIRN_REDIS_VALUE_MAX 160

struct firn_redis_name;

/* The name, ASCII case ignored; NULL: not one of these. */
const struct firn_redis_name *firn_engine__redis_name(struct firn_slice name);
/* All of them: 0, 1, … until NULL. */
const struct firn_redis_name *firn_engine__redis_name_at(size_t i);
const char *firn_engine__redis_name_text(const struct firn_redis_name *n);
/* Its value now, as Redis writes it. */
void firn_engine__redis_value(const struct firn_redis_name *n, const struct firn_settings *s,
                              char out[FIRN_REDIS_VALUE_MAX]);
/* What CONFIG SET of it means: *setting is Firn's name and `out` the value to give it. OK; ABSENT:
 * nothing, for the value is what it is already; INVALID with why. */
enum firn_status firn_engine__redis_translate(const struct firn_redis_name *n,
                                              const struct firn_settings *s,
                                              struct firn_slice value, const char **setting,
                                              char out[FIRN_REDIS_VALUE_MAX],
                                              struct firn_err *err) FIRN_MUST_USE;

#endif
