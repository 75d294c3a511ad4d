/* A small database made by the real rooms in a fake world, for the tests of firnctl: epoch 1 wrote
 * six slots, of which the first four are in two L0 tables; epoch 2 sealed it and wrote three more.
 */
#ifndef FIRN_TESTS_UNIT_CTL_FIXTURE_H
#define FIRN_TESTS_UNIT_CTL_FIXTURE_H

#include "fakes/fake_env.h"
#include "testing.h"

#include "base/hash.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ctl/ctl.h"
#include "format/manifest_codec.h"
#include "format/record.h"
#include "log/append.h"
#include "log/takeover.h"
#include "lsm/table_build.h"
#include "manifest/intents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FX_ENTRIES 400 /* per table */

struct fx {
    struct firn_fake_world *w;
    const struct firn_env *env;
    struct firn_store *store;
    struct firn_manifest_node *mnode;
    struct firn_append *append;
    struct firn_settings settings;
    struct firn_id db;
    uint64_t epoch, durable, next_seqno, log_time;
    bool done;
    enum firn_status status;
    /* of the last run of firnctl */
    struct firn_buf out, said;
    int exit_status;
    bool ended;
};

static inline bool fx_is_done(void *arg)
{
    return ((struct fx *)arg)->done;
}

static inline void fx_wait(struct fx *f)
{
    assert_true(firn_fake_run_until(f->w, fx_is_done, f, 600 * FIRN_SEC));
    assert_int_equal(f->status, FIRN_OK);
    f->done = false;
}

/* --- the manifest */

static inline void fx_created(struct firn_manifest_create *c)
{
    struct fx *f = c->arg;
    f->status = c->status;
    f->db = c->manifest->db;
    f->done = true;
}

static inline void fx_committed(struct firn_intent *it)
{
    struct fx *f = it->arg;
    f->status = it->status;
    f->done = true;
}

static inline void fx_create(struct fx *f)
{
    Firn__Settings s;
    Firn__Dialect d = FIRN__DIALECT__INIT;
    struct firn_manifest_create c = {.settings = &s, .dialect = &d, .done = fx_created, .arg = f};
    firn_manifest_settings_default(&s);
    firn_manifest_create(f->mnode, &c);
    fx_wait(f);
}

static inline struct firn_id fx_nonce(uint64_t epoch)
{
    struct firn_id id = {{0}};
    id.byte[0] = (uint8_t)(0x40 + epoch);
    return id;
}

static inline void fx_claim(struct fx *f)
{
    struct firn_claim_intent it = {.base.done = fx_committed, .base.arg = f};
    it.claim = (struct firn_claim){.role = FIRN_ROLE_WRITER,
                                   .process_nonce = fx_nonce(f->epoch + 1),
                                   .node_id = "node-a",
                                   .address = ""};
    firn_manifest_claim(f->mnode, &it);
    fx_wait(f);
    f->epoch = it.epoch;
    firn_manifest_hold(f->mnode, FIRN_ROLE_WRITER, it.epoch, &it.claim.process_nonce);
}

/* --- the log */

static inline uint64_t fx_now(void *arg)
{
    return ((struct fx *)arg)->log_time;
}

static inline void fx_closed(void *arg, uint64_t slot)
{
    (void)arg;
    (void)slot;
}

static inline void fx_durable(void *arg, uint64_t slots, uint64_t seqno, uint64_t sent)
{
    struct fx *f = arg;
    (void)seqno;
    (void)sent;
    f->durable = slots;
    f->done = true;
}

static inline void fx_stopped(void *arg, enum firn_status why, const struct firn_err *err)
{
    (void)arg;
    (void)why;
    fail_msg("%s", err->text);
}

static inline void fx_open_log(struct fx *f)
{
    struct firn_append_options o = {.db = f->db,
                                    .format = 1,
                                    .process_nonce = fx_nonce(f->epoch),
                                    .epoch = f->epoch,
                                    .interval_ns = FIRN_MS,
                                    .batch_bytes = 1 << 20,
                                    .batch_bytes_max = 16 << 20,
                                    .inflight_max = 4,
                                    .codec = FIRN_CODEC_LZ4};
    struct firn_append_user u = {.now_ms = fx_now,
                                 .closed = fx_closed,
                                 .durable = fx_durable,
                                 .stopped = fx_stopped,
                                 .arg = f};
    firn_append_free(f->append);
    f->append = NULL;
    assert_int_equal(firn_append_create(f->env, f->store, &o, &u, &f->append), FIRN_OK);
}

static inline struct firn_slice fx_key(char buf[32], unsigned i)
{
    int n = snprintf(buf, 32, "\x10key:%06u", i);
    return firn_slice_of(buf, (size_t)n);
}

/* One slot of n records; f->next_seqno is the one behind its last. */
static inline void fx_slot(struct fx *f, unsigned first_key, unsigned n)
{
    uint64_t slot, seqno;
    char key[32], value[80];
    for (unsigned i = 0; i < n; i++) {
        int len = snprintf(value, sizeof value, "value %u of the key", first_key + i);
        struct firn_record r = {.kind = FIRN_RECORD_PUT,
                                .event = 1,
                                .key = fx_key(key, first_key + i),
                                .value = firn_slice_of(value, (size_t)len)};
        assert_int_equal(firn_append_add(f->append, &r, 1, &slot, &seqno), FIRN_OK);
        f->next_seqno = seqno + 1;
    }
    f->log_time += 1000;
    firn_append_close_now(f->append);
    f->status = FIRN_OK;
    f->done = false;
    while (f->durable < slot + 1)
        fx_wait(f);
    f->done = false;
}

/* --- tables */

static inline void fx_table(struct fx *f, uint64_t number, unsigned first_key,
                            struct firn_place end, bool tomb)
{
    struct firn_table_options o = {.db = f->db,
                                   .name = {FIRN_ROLE_WRITER, f->epoch, number},
                                   .base_seqno = firn_epoch_seqno(f->epoch),
                                   .max_seqno = f->next_seqno - 1,
                                   .block_bytes = 2048,
                                   .filter_bits = 10,
                                   .part_bytes = 200,
                                   .codec = FIRN_CODEC_ZSTD,
                                   .hash_index = true};
    struct firn_table_builder *b = NULL;
    struct firn_table_object t = {0};
    char key[32], lower[32], upper[32], name[FIRN_NAME_MAX];
    assert_int_equal(firn_table_builder_create(&o, &b), FIRN_OK);
    for (unsigned i = 0; i < FX_ENTRIES; i++) {
        struct firn_entry e = {.key = fx_key(key, first_key + i),
                               .value = firn_slice_str("a value that is long enough for blocks"),
                               .seqno = f->next_seqno - 1 - i,
                               .expiry_ms = i % 7 ? 0 : 1800000000000 + i,
                               .kind = i % 10 ? FIRN_RECORD_PUT : FIRN_RECORD_DEL};
        if (e.kind == FIRN_RECORD_DEL)
            e.value.len = 0;
        assert_int_equal(firn_table_builder_add(b, &e, firn_xxh3(e.key.data, e.key.len)), FIRN_OK);
    }
    struct firn_range_tomb r = {fx_key(lower, first_key + 50), fx_key(upper, first_key + 60),
                                f->next_seqno - 1};
    if (tomb)
        assert_int_equal(firn_table_builder_add_tomb(b, &r), FIRN_OK);
    assert_int_equal(firn_table_builder_finish(b, &t), FIRN_OK);
    firn_table_builder_free(b);
    firn_name_table(name, firn_id_short(&f->db), &o.name);
    firn_fake_put(f->w, name, t.bytes.data, t.bytes.len);
    struct firn_flush_intent it = {.base.done = fx_committed, .base.arg = f};
    it.flush = (struct firn_flush){.end = end,
                                   .seqno = f->next_seqno - 1,
                                   .log_time_ms = f->log_time,
                                   .watermark = number + 1,
                                   .tables = &t.ref,
                                   .ntables = 1};
    firn_manifest_flush(f->mnode, &it);
    fx_wait(f);
    firn_table_object_clear(&t);
}

/* --- take-over */

static inline enum firn_status fx_apply(void *arg, const struct firn_batch_header *h,
                                        struct firn_slice records)
{
    (void)arg;
    (void)h;
    (void)records;
    return FIRN_OK;
}

static inline void fx_taken(void *arg, enum firn_status s, const struct firn_err *err)
{
    struct fx *f = arg;
    (void)err;
    f->status = s;
    f->done = true;
}

static inline void fx_take_over(struct fx *f, struct firn_place floor)
{
    struct firn_takeover *t = NULL;
    fx_claim(f);
    struct firn_takeover_options o = {.db = f->db,
                                      .process_nonce = fx_nonce(f->epoch),
                                      .epoch = f->epoch,
                                      .from = floor,
                                      .batch_raw_max = 16 << 20,
                                      .ahead_bytes_max = 16 << 20};
    struct firn_takeover_user u = {.apply = fx_apply, .done = fx_taken, .arg = f};
    assert_int_equal(firn_takeover_start(f->env, f->store, &o, &u, &t), FIRN_OK);
    fx_wait(f);
    firn_takeover_free(t);
    f->durable = 0;
    fx_open_log(f);
}

/* --- all of it */

static inline void fx_open(struct fx *f)
{
    struct firn_fake_options o = {.seed = 5};
    struct firn_manifest_options mo = {.interval_ns = 1};
    memset(f, 0, sizeof *f);
    f->log_time = 1700000000000;
    f->w = firn_fake_world_new(&o);
    f->env = firn_fake_env(firn_fake_node_add(f->w, NULL));
    firn_buf_init(&f->out, 1 << 26);
    firn_buf_init(&f->said, 1 << 20);
    assert_int_equal(firn_settings_init(&f->settings), FIRN_OK);
    assert_int_equal(firn_store_create(f->env, NULL, &f->store), FIRN_OK);
    assert_int_equal(firn_manifest_node_create(f->env, f->store, &mo, &f->mnode), FIRN_OK);
    fx_create(f);
    fx_claim(f);
    fx_open_log(f);
    fx_slot(f, 0, 500);
    fx_slot(f, 500, 500);
    fx_table(f, 0, 0, (struct firn_place){1, 2}, true);
    fx_slot(f, 0, 500);
    fx_slot(f, 500, 500);
    fx_table(f, 1, 100, (struct firn_place){1, 4}, false);
    fx_slot(f, 0, 20);
    fx_slot(f, 20, 20);
    fx_take_over(f, (struct firn_place){1, 4});
    fx_slot(f, 40, 20);
    fx_slot(f, 60, 20);
    fx_slot(f, 80, 2000);
}

static inline void fx_node_stopped(void *arg)
{
    ((struct fx *)arg)->done = true;
}

static inline void fx_close(struct fx *f)
{
    firn_append_free(f->append);
    firn_fake_run_for(f->w, 10 * FIRN_SEC);
    f->status = FIRN_OK;
    f->done = false;
    firn_manifest_node_stop(f->mnode, fx_node_stopped, f);
    fx_wait(f);
    firn_manifest_node_free(f->mnode);
    firn_store_free(f->store);
    firn_settings_deinit(&f->settings);
    firn_buf_clear(&f->out);
    firn_buf_clear(&f->said);
    firn_fake_world_free(f->w);
}

/* --- firnctl */

static inline void fx_out(void *arg, struct firn_slice text)
{
    assert_int_equal(firn_buf_append(&((struct fx *)arg)->out, text.data, text.len), FIRN_OK);
}

static inline void fx_say(void *arg, const char *line)
{
    assert_int_equal(firn_buf_printf(&((struct fx *)arg)->said, "%s\n", line), FIRN_OK);
}

static inline void fx_ended(void *arg, int status)
{
    struct fx *f = arg;
    f->exit_status = status;
    f->ended = true;
}

static inline bool fx_has_ended(void *arg)
{
    return ((struct fx *)arg)->ended;
}

/* Run `firnctl words...` (divided by blanks); out and said hold what it wrote, NUL-terminated. */
static inline int fx_ctl(struct fx *f, const char *words)
{
    char line[256], *argv[8], *at = line;
    int argc = 0;
    struct firn_ctl_args a;
    struct firn_err err = {0};
    struct firn_ctl *c = NULL;
    struct firn_ctl_user u = {.out = fx_out, .say = fx_say, .ended = fx_ended, .arg = f};
    (void)snprintf(line, sizeof line, "%s", words);
    for (char *w; argc < 8 && (w = strsep(&at, " ")) != NULL;)
        argv[argc++] = w;
    f->out.len = f->said.len = 0;
    f->ended = false;
    if (firn_ctl_parse(argc, argv, &a, &err) != FIRN_OK)
        return 2;
    assert_int_equal(firn_ctl_create(f->env, f->store, &f->settings, &a, &u, &c), FIRN_OK);
    firn_ctl_start(c);
    assert_false(f->ended);
    assert_true(firn_fake_run_until(f->w, fx_has_ended, f, 3600 * FIRN_SEC));
    firn_ctl_free(c);
    assert_int_equal(firn_buf_append(&f->out, "", 1), FIRN_OK);
    assert_int_equal(firn_buf_append(&f->said, "", 1), FIRN_OK);
    return f->exit_status;
}

static inline const char *fx_text(const struct fx *f)
{
    return (const char *)f->out.data;
}

/* Does the output have this text? Says what it was, if not. */
static inline void fx_expect(const struct fx *f, const char *text)
{
    if (!strstr(fx_text(f), text))
        fail_msg("no \"%s\" in:\n%s", text, fx_text(f));
}

/* --- damage */

static inline void fx_name_table(const struct fx *f, uint64_t number, char out[FIRN_NAME_MAX])
{
    struct firn_table_name n = {FIRN_ROLE_WRITER, 1, number};
    firn_name_table(out, firn_id_short(&f->db), &n);
}

static inline void fx_name_slot(const struct fx *f, uint64_t epoch, uint64_t slot,
                                char out[FIRN_NAME_MAX])
{
    firn_name_slot(out, firn_id_short(&f->db), (struct firn_place){epoch, slot});
}

/* A copy of the object, with bit 0 of byte `at` (from the end, if negative) flipped, cut to `cut`
 * bytes if that is not negative. */
static inline void fx_damage(struct fx *f, const char *name, long at, long cut)
{
    struct firn_slice s;
    assert_true(firn_fake_get(f->w, name, &s));
    size_t len = s.len;
    uint8_t *copy = malloc(len);
    assert_non_null(copy);
    memcpy(copy, s.data, len);
    copy[at < 0 ? len - (size_t)-at : (size_t)at] ^= 1;
    firn_fake_put(f->w, name, copy, cut < 0 ? len : (size_t)cut);
    free(copy);
}

static inline Firn__Manifest *fx_manifest(const struct fx *f)
{
    struct firn_slice s;
    Firn__Manifest *m = NULL;
    assert_true(firn_fake_get(f->w, "manifest", &s));
    assert_int_equal(firn_manifest_decode(s, &m, NULL), FIRN_OK);
    return m;
}

/* Put m in place of the manifest, and free it. */
static inline void fx_put_manifest(struct fx *f, Firn__Manifest *m)
{
    struct firn_buf b;
    firn_buf_init(&b, 1 << 24);
    assert_int_equal(firn_manifest_encode(m, false, &b), FIRN_OK);
    firn_fake_put(f->w, "manifest", b.data, b.len);
    firn_buf_clear(&b);
    firn_pb_manifest_free(m);
}

#endif
