/* log ls, log dump. */
#include "ctl/ctl_priv.h"

#include "base/mem.h"
#include "format/event.h"
#include "format/record.h"
#include "log/slots.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- log ls: the LIST is a hint; -v reads the first bytes of each object, several at a time, and
 * prints them in order */

#define HEADERS_AT_ONCE 16

struct ls_slot {
    struct firn_place place;
    uint64_t size;
};

struct ls_get {
    struct firn_ctl *c;
    struct firn_store_op op;
    char key[FIRN_NAME_MAX];
    bool ready;
};

struct log_ls {
    struct firn_buf slots; /* struct ls_slot each */
    struct ls_get get[HEADERS_AT_ONCE];
    size_t asked, printed; /* of the slots; those between are in get[i % HEADERS_AT_ONCE] */
};

static size_t ls_count(const struct log_ls *l)
{
    return l->slots.len / sizeof(struct ls_slot);
}

static const struct ls_slot *ls_slot(const struct log_ls *l, size_t i)
{
    return (const struct ls_slot *)(const void *)l->slots.data + i;
}

void firn_ctl__log_ls_free(struct firn_ctl *c)
{
    struct log_ls *l = c->state;
    for (size_t i = 0; i < HEADERS_AT_ONCE; i++)
        firn_store_op_clear(&l->get[i].op);
    firn_buf_clear(&l->slots);
    firn_free(l);
}

static enum firn_status note_slot(struct firn_ctl *c, const struct firn_os_entry *e)
{
    struct log_ls *l = c->state;
    struct firn_name n;
    if (firn_name_parse(firn_slice_str(e->key), &n) != FIRN_OK || n.kind != FIRN_NAME_SLOT ||
        n.db != firn_id_short(&c->db) || firn_place_cmp(n.place, firn_place_of(c->m->kept)) < 0)
        return FIRN_OK;
    struct ls_slot s = {n.place, e->size};
    return firn_buf_append(&l->slots, &s, sizeof s);
}

static int by_place(const void *a, const void *b)
{
    return firn_place_cmp(((const struct ls_slot *)a)->place, ((const struct ls_slot *)b)->place);
}

static void print_slot(struct firn_ctl *c, const struct ls_slot *s)
{
    firn_ctl__print(c, "%" PRIu64 "/%" PRIu64 "\t%" PRIu64 "\t%s", s->place.epoch, s->place.slot,
                    s->size, s->size == FIRN_SEAL_BYTES ? "seal" : "batch");
}

static void print_batch_header(struct firn_ctl *c, const struct firn_batch_header *h)
{
    char hex[FIRN_ID_HEX + 1];
    firn_ctl__print(c, "seqnos %" PRIu64 "..%" PRIu64 "  %u records  raw %u  stored %u %s  ",
                    h->first_seqno, h->first_seqno + h->count - 1, h->count, h->raw_len,
                    h->stored_len, firn_ctl__codec_name(h->codec));
    firn_ctl__print_time(c, h->log_time_ms);
    firn_id_hex(&h->process_nonce, hex);
    firn_ctl__print(c, "  process %s", hex);
}

/* What the first bytes of the object say. */
static void print_header(struct firn_ctl *c, const struct ls_get *g, struct firn_place place)
{
    struct firn_slice b = firn_buf_slice(&g->op.req.reply);
    struct firn_batch_header h;
    struct firn_seal seal;
    struct firn_err err = {0};
    enum firn_status s = g->op.status;
    firn_ctl__print(c, "\t");
    if (s != FIRN_OK) {
        firn_ctl__print(c, "%s", s == FIRN_ABSENT ? "gone" : g->op.req.err.text);
    } else if (firn_slot_kind(b) == FIRN_SLOT_SEAL) {
        char hex[FIRN_ID_HEX + 1];
        s = firn_seal_decode(b, &c->db, place, &seal, &err);
        if (s == FIRN_OK) {
            firn_id_hex(&seal.process_nonce, hex);
            firn_ctl__print(c, "by epoch %" PRIu64 "  process %s", seal.sealer_epoch, hex);
        }
    } else {
        s = firn_batch_peek(b, &c->db, place, &h, &err);
        if (s == FIRN_OK)
            print_batch_header(c, &h);
    }
    if (err.text[0])
        firn_ctl__print(c, "damaged: %s", err.text);
}

static void ls_step(struct firn_ctl *c);

static void got_header(struct firn_store_op *op)
{
    struct ls_get *g = op->arg;
    g->ready = true;
    ls_step(g->c);
}

static void ask_header(struct firn_ctl *c, struct ls_get *g, const struct ls_slot *s)
{
    g->c = c;
    g->ready = false;
    firn_name_slot(g->key, firn_id_short(&c->db), s->place);
    firn_store_op_init(&g->op);
    g->op.req.op = FIRN_OS_GET;
    g->op.req.key = g->key;
    g->op.req.length =
        s->size && s->size < FIRN_BATCH_HEADER_BYTES ? s->size : FIRN_BATCH_HEADER_BYTES;
    g->op.deadline_ns = firn_boot_ns(c->env) + CTL_DEADLINE_NS;
    g->op.done = got_header;
    g->op.arg = g;
    firn_store_submit(c->store, &g->op);
}

static void ls_step(struct firn_ctl *c)
{
    struct log_ls *l = c->state;
    while (l->printed < l->asked && l->get[l->printed % HEADERS_AT_ONCE].ready) {
        struct ls_get *g = &l->get[l->printed % HEADERS_AT_ONCE];
        const struct ls_slot *s = ls_slot(l, l->printed++);
        print_slot(c, s);
        print_header(c, g, s->place);
        firn_ctl__print(c, "\n");
        firn_store_op_clear(&g->op);
    }
    while (l->asked < ls_count(l) && l->asked - l->printed < HEADERS_AT_ONCE) {
        size_t i = l->asked++;
        ask_header(c, &l->get[i % HEADERS_AT_ONCE], ls_slot(l, i));
    }
    if (l->printed == ls_count(l))
        firn_ctl__end(c, CTL_OK);
}

static void slots_listed(struct firn_ctl *c)
{
    struct log_ls *l = c->state;
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    size_t n = ls_count(l);
    if (n)
        qsort(l->slots.data, n, sizeof(struct ls_slot), by_place);
    firn_ctl__print(c,
                    "# kept %" PRIu64 "/%" PRIu64 ", floor %" PRIu64 "/%" PRIu64
                    ", writer's epoch %" PRIu64 ", %zu slots\n",
                    c->m->kept->epoch, c->m->kept->slot, c->m->floor->epoch, c->m->floor->slot,
                    c->m->writer->epoch, n);
    if (c->args.verbose) {
        ls_step(c);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        print_slot(c, ls_slot(l, i));
        firn_ctl__print(c, "\n");
    }
    firn_ctl__end(c, CTL_OK);
}

/* Names behind this one are those of slots from `kept` on. */
static void list_from_kept(struct firn_ctl *c)
{
    char prefix[FIRN_NAME_MAX], after[FIRN_NAME_MAX];
    struct firn_place kept = firn_place_of(c->m->kept);
    uint32_t db = firn_id_short(&c->db);
    if (kept.slot) {
        kept.slot--;
        firn_name_slot(after, db, kept);
    } else {
        firn_name_epoch_prefix(after, db, kept.epoch);
    }
    firn_name_epoch_prefix(prefix, db, 0);
    prefix[strlen("wal/") + 8 + 1] = '\0'; /* wal/<db>/ */
    firn_ctl__list(c, prefix, after, note_slot, slots_listed);
}

void firn_ctl__log_ls(struct firn_ctl *c)
{
    struct log_ls *l = firn_calloc(1, sizeof *l);
    if (!l) {
        firn_ctl__fail_memory(c);
        return;
    }
    firn_buf_init(&l->slots, SIZE_MAX);
    c->state = l;
    firn_ctl__read_manifest(c, list_from_kept);
}

/* ---- log dump */

struct log_dump {
    struct firn_slots *slots;
    struct firn_defer next; /* go on, or end, outside of the fetcher's call */
    bool over, damaged;
};

void firn_ctl__log_dump_free(struct firn_ctl *c)
{
    struct log_dump *d = c->state;
    firn_slots_free(d->slots);
    firn_defer_cancel(c->env, &d->next);
    firn_free(d);
}

static void print_value(struct firn_ctl *c, struct firn_slice v)
{
    if (c->args.values)
        firn_ctl__print_bytes(c, v);
    else
        firn_ctl__print(c, "%zu bytes", v.len);
}

static void print_record(struct firn_ctl *c, const struct firn_record *r)
{
    const char *event = firn_event_name(r->event);
    firn_ctl__print(c, "  %" PRIu64 " %s", r->seqno, firn_ctl__kind_name(r->kind));
    if (event)
        firn_ctl__print(c, " (%s)", event);
    if (r->kind == FIRN_RECORD_PUBLISH) {
        firn_ctl__print(c, " ");
        firn_ctl__print_bytes(c, r->key);
    } else if (r->kind == FIRN_RECORD_RANGEDEL) {
        firn_ctl__print(c, " ");
        firn_ctl__print_range(c, r->key, r->end_key);
    } else if (r->kind != FIRN_RECORD_GROUP_BEGIN && r->kind != FIRN_RECORD_GROUP_END) {
        firn_ctl__print(c, " ");
        firn_ctl__print_key(c, r->key);
    }
    if (r->kind == FIRN_RECORD_PUT || r->kind == FIRN_RECORD_DEDUP ||
        r->kind == FIRN_RECORD_PUBLISH) {
        firn_ctl__print(c, " ");
        print_value(c, r->value);
    }
    if (r->kind == FIRN_RECORD_EXPIRED)
        firn_ctl__print(c, " value of %" PRIu64, r->value_seqno);
    if (r->expiry_ms) {
        firn_ctl__print(c, " expires ");
        firn_ctl__print_time(c, r->expiry_ms);
    }
    firn_ctl__print(c, "\n");
}

static void print_batch(struct firn_ctl *c, const struct firn_slot_result *r)
{
    struct firn_record_cursor at;
    struct firn_record rec;
    firn_ctl__print(c, "%" PRIu64 "/%" PRIu64 " batch  ", r->place.epoch, r->place.slot);
    print_batch_header(c, r->batch);
    firn_ctl__print(c, "\n");
    firn_record_begin(&at, r->records, r->batch->first_seqno);
    while (firn_record_next(&at, &rec, NULL) == FIRN_OK) /* they were checked when decoded */
        print_record(c, &rec);
}

static void dump_next(void *arg)
{
    struct firn_ctl *c = arg;
    struct log_dump *d = c->state;
    struct firn_place at = firn_slots_at(d->slots);
    if (d->over || (c->args.has_to && firn_place_cmp(at, c->args.to) >= 0))
        firn_ctl__end(c, d->damaged ? CTL_FAILED : CTL_OK);
    else
        firn_slots_run(d->slots);
}

static void dump_failed(struct firn_ctl *c, const struct firn_slot_result *r)
{
    struct log_dump *d = c->state;
    firn_ctl__flush(c);
    c->user.say(c->user.arg, r->err->text);
    d->damaged = true;
    if (r->status == FIRN_CORRUPT || r->status == FIRN_INVALID)
        firn_slots_seek(d->slots, (struct firn_place){r->place.epoch, r->place.slot + 1});
    else
        d->over = true;
}

static void on_slot(void *arg, const struct firn_slot_result *r)
{
    struct firn_ctl *c = arg;
    struct log_dump *d = c->state;
    if (c->args.has_to && firn_place_cmp(r->place, c->args.to) >= 0) {
        d->over = true;
        firn_slots_stop(d->slots);
        firn_defer(c->env, &d->next);
        return;
    }
    switch (r->found) {
    case FIRN_FOUND_BATCH:
        print_batch(c, r);
        return; /* the fetcher goes on by itself */
    case FIRN_FOUND_SEAL:
        firn_ctl__print(c, "%" PRIu64 "/%" PRIu64 " seal\n", r->place.epoch, r->place.slot);
        if (r->place.epoch < FIRN_EPOCH_MAX && r->place.epoch <= c->m->writer->epoch)
            firn_slots_seek(d->slots, (struct firn_place){r->place.epoch + 1, 0});
        else
            d->over = true;
        break;
    case FIRN_FOUND_MISSING:
        firn_ctl__print(c, "%" PRIu64 "/%" PRIu64 " empty: %s\n", r->place.epoch, r->place.slot,
                        firn_place_cmp(r->place, firn_place_of(c->m->kept)) < 0
                            ? "it was collected"
                            : "the log ends here");
        d->over = true;
        break;
    case FIRN_FOUND_FAILED:
        dump_failed(c, r);
        break;
    }
    firn_defer(c->env, &d->next);
}

static void dump_log(struct firn_ctl *c)
{
    struct log_dump *d = c->state;
    struct firn_slots_options o = {
        .db = c->db,
        .batch_raw_max = FIRN_BATCH_RAW_MAX,
        .ahead_bytes_max = (uint64_t)64 << 20,
        .window_first = 4,
        .window_max = 32,
    };
    d->next = (struct firn_defer){.fn = dump_next, .arg = c};
    if (firn_slots_create(c->env, c->store, &o, on_slot, c, &d->slots) != FIRN_OK) {
        firn_ctl__fail_memory(c);
        return;
    }
    firn_slots_seek(d->slots, c->args.has_from ? c->args.from : firn_place_of(c->m->floor));
    firn_defer(c->env, &d->next);
}

void firn_ctl__log_dump(struct firn_ctl *c)
{
    c->state = firn_calloc(1, sizeof(struct log_dump));
    if (c->state)
        firn_ctl__read_manifest(c, dump_log);
    else
        firn_ctl__fail_memory(c);
}
