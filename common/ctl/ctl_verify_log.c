/* The log by I5: for each epoch from the floor's on, its batches up to the seal that counts. A
 * writer may be appending meanwhile: the first empty slot of its epoch is the end. */
#include "ctl/ctl_verify_priv.h"

#include <inttypes.h>

static void slot_name(const struct verify *v, struct firn_place p, char out[FIRN_NAME_MAX])
{
    firn_name_slot(out, firn_id_short(&v->c->db), p);
}

static void check_batch(struct verify *v, const struct firn_slot_result *r)
{
    struct verify_log *l = &v->log;
    const struct firn_batch_header *h = r->batch;
    char key[FIRN_NAME_MAX];
    slot_name(v, r->place, key);
    if (h->first_seqno < firn_epoch_seqno(r->place.epoch) ||
        h->first_seqno + h->count > firn_epoch_seqno(r->place.epoch + 1))
        firn_ctl__verify_error(v, "%s: its seqnos from %" PRIu64 " on are not of its epoch", key,
                               h->first_seqno);
    if (h->first_seqno < l->next_seqno)
        firn_ctl__verify_error(
            v, "%s: its first seqno %" PRIu64 " is not above the last one, %" PRIu64, key,
            h->first_seqno, l->next_seqno - 1);
    if (h->log_time_ms < l->log_time_ms)
        firn_ctl__verify_error(v, "%s: its log time %" PRIu64 " is below the one before, %" PRIu64,
                               key, h->log_time_ms, l->log_time_ms);
    if (!firn_id_none(&l->process_nonce) && !firn_id_eq(&l->process_nonce, &h->process_nonce))
        firn_ctl__verify_error(v, "%s: it is of another process than the batches before it", key);
    l->process_nonce = h->process_nonce;
    l->next_seqno = h->first_seqno + h->count;
    l->log_time_ms = h->log_time_ms > l->log_time_ms ? h->log_time_ms : l->log_time_ms;
    l->batches++;
    l->records += h->count;
    l->bytes += r->object_bytes;
    v->bytes_done += r->object_bytes;
    l->damaged_before = false;
}

static void next_epoch(struct verify_log *l, uint64_t epoch)
{
    l->at = (struct firn_place){epoch + 1, 0};
    l->process_nonce = (struct firn_id){{0}};
    l->damaged_before = false;
}

static void end_at(struct verify_log *l, struct firn_place p)
{
    l->over = true;
    l->end = p;
    l->unsealed = p.epoch < l->m->writer->epoch;
}

static void missing(struct verify *v, struct firn_place p)
{
    struct verify_log *l = &v->log;
    /* What lay in a damaged slot before an empty one may have been the seal. */
    if (l->damaged_before && p.epoch < l->m->writer->epoch)
        next_epoch(l, p.epoch);
    else
        end_at(l, p);
}

static void failed(struct verify *v, const struct firn_slot_result *r)
{
    firn_ctl__verify_error(v, "%s", r->err->text);
    if (r->status == FIRN_CORRUPT || r->status == FIRN_INVALID) {
        v->log.at = (struct firn_place){r->place.epoch, r->place.slot + 1};
        v->log.damaged_before = true;
    } else {
        end_at(&v->log, r->place);
    }
}

static void on_slot(void *arg, const struct firn_slot_result *r)
{
    struct verify *v = arg;
    switch (r->found) {
    case FIRN_FOUND_BATCH:
        check_batch(v, r);
        return; /* the fetcher goes on by itself */
    case FIRN_FOUND_SEAL:
        v->log.seals++;
        v->log.bytes += r->object_bytes;
        if (r->place.epoch < v->log.m->writer->epoch)
            next_epoch(&v->log, r->place.epoch);
        else
            end_at(&v->log, r->place); /* a newer writer has begun since the manifest was read */
        break;
    case FIRN_FOUND_MISSING:
        missing(v, r->place);
        break;
    case FIRN_FOUND_FAILED:
        failed(v, r);
        break;
    }
    firn_defer(v->c->env, &v->log.step);
}

static void step(void *arg)
{
    struct verify *v = arg;
    if (v->log.over) {
        v->log.done(v);
        return;
    }
    firn_slots_seek(v->log.slots, v->log.at);
    firn_slots_run(v->log.slots);
}

void firn_ctl__verify_log_free(struct verify *v)
{
    firn_slots_free(v->log.slots);
    firn_defer_cancel(v->c->env, &v->log.step);
    v->log.slots = NULL;
}

enum firn_status firn_ctl__verify_log_start(struct verify *v, const Firn__Manifest *m,
                                            void (*done)(struct verify *v))
{
    struct firn_slots_options o = {
        .db = v->c->db,
        .batch_raw_max = FIRN_BATCH_RAW_MAX,
        .ahead_bytes_max = (uint64_t)32 << 20,
        .window_first = 4,
        .window_max = 32,
    };
    firn_ctl__verify_log_free(v);
    v->log = (struct verify_log){
        .m = m,
        .done = done,
        .at = firn_place_of(m->floor),
        .next_seqno = m->seqno_at_floor + 1,
        .log_time_ms = m->log_time_ms,
        .step = {.fn = step, .arg = v},
    };
    enum firn_status s = firn_slots_create(v->c->env, v->c->store, &o, on_slot, v, &v->log.slots);
    if (s == FIRN_OK)
        firn_defer(v->c->env, &v->log.step);
    return s;
}
