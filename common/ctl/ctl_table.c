/* table dump: one table object by its own footer and head; the manifest is asked only for the
 * `<db>` of a short name. Partitions, and the blocks of each, are read one after the other. */
#include "ctl/ctl_priv.h"

#include "base/mem.h"
#include "format/table.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct table_dump {
    char key[FIRN_NAME_MAX];
    struct firn_table_name name;
    uint64_t size;
    struct firn_table_loc loc;
    struct firn_table_head *head;
    struct firn_table_part *part; /* the current one */
    uint32_t part_at;
    uint32_t block, blocks_before; /* of the partition; of those before it */
    struct firn_buf raw;
    struct firn_block_iter it;
    struct firn_codec_ctx codec;
    bool damaged;
};

void firn_ctl__table_dump_free(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    firn_table_head_free(t->head);
    firn_table_part_free(t->part);
    firn_block_iter_clear(&t->it);
    firn_codec_ctx_clear(&t->codec);
    firn_buf_clear(&t->raw);
    firn_free(t);
}

/* w3-17 or c3-17, padded or not. */
static bool parse_short(const char *text, struct firn_table_name *out)
{
    if ((text[0] != 'w' && text[0] != 'c') || !isdigit((unsigned char)text[1]))
        return false;
    char *end;
    uint64_t epoch = strtoull(text + 1, &end, 10);
    if (*end != '-' || !isdigit((unsigned char)end[1]) || epoch > FIRN_EPOCH_MAX)
        return false;
    uint64_t number = strtoull(end + 1, &end, 10);
    if (*end != '\0' || number > FIRN_TABLE_NUMBER_MAX)
        return false;
    *out = (struct firn_table_name){text[0] == 'w' ? FIRN_ROLE_WRITER : FIRN_ROLE_COMPACTOR, epoch,
                                    number};
    return true;
}

/* ---- printing */

static void print_props(struct firn_ctl *c, const struct table_dump *t)
{
    const struct firn_table_props *p = &t->head->props;
    firn_ctl__print(c,
                    "table %s\n  size %" PRIu64 ", id %016" PRIx64 ", head %" PRIu64
                    " bytes at %" PRIu64 "\n",
                    t->key, t->size, t->loc.table_id, t->loc.head_length, t->loc.head_offset);
    firn_ctl__print(c,
                    "  entries %" PRIu64 ", tombstones %" PRIu64 ", range tombstones %" PRIu64
                    ", expiring %" PRIu64 "\n",
                    p->entries, p->tombstones, p->range_tombstones, p->expiring);
    firn_ctl__print(c,
                    "  blocks %" PRIu64 ", raw %" PRIu64 ", stored %" PRIu64 ", keys %" PRIu64
                    " bytes, values %" PRIu64 " bytes\n",
                    p->blocks, p->raw_bytes, p->stored_bytes, p->key_bytes, p->value_bytes);
    firn_ctl__print(c, "  seqnos %" PRIu64 "..%" PRIu64 "\n  expiry ", p->min_seqno, p->max_seqno);
    firn_ctl__print_time(c, p->min_expiry_ms);
    firn_ctl__print(c, "..");
    firn_ctl__print_time(c, p->max_expiry_ms);
    firn_ctl__print(c, "\n  keys ");
    firn_ctl__print_key(c, p->min_key);
    firn_ctl__print(c, "..");
    firn_ctl__print_key(c, p->max_key);
    firn_ctl__print(c, "\n  created ");
    firn_ctl__print_time(c, p->created_ms);
    firn_ctl__print(c, "\n");
}

static void print_head(struct firn_ctl *c, const struct firn_table_head *h)
{
    const struct firn_table_parts *p = &h->parts;
    firn_ctl__print(c, "metadata in %u partitions\n", p->sep.count);
    for (uint32_t i = 0; i < p->sep.count; i++) {
        firn_ctl__print(c, "  partition %u at %" PRIu64 ": %" PRIu64 " bytes, from ", i,
                        p->offset[i], firn_table_parts_bytes(p, i, i + 1));
        firn_ctl__print_key(c, firn_seps_get(&p->sep, i));
        firn_ctl__print(c, "\n");
    }
    firn_ctl__print(c, "range tombstones\n");
    for (size_t i = 0; i < h->tombs; i++) {
        firn_ctl__print(c, "  ");
        firn_ctl__print_range(c, h->tomb[i].start, h->tomb[i].end);
        firn_ctl__print(c, " %" PRIu64 "\n", h->tomb[i].seqno);
    }
}

static void print_part(struct firn_ctl *c, const struct table_dump *t)
{
    const struct firn_table_part *p = t->part;
    firn_ctl__print(c, "index of partition %u: filter %u lines of %d bytes, %u probes\n",
                    t->part_at, p->filter.lines, FIRN_FILTER_LINE_BYTES, p->filter.probes);
    for (uint32_t i = 0; i < p->sep.count; i++) {
        const struct firn_table_block *b = &p->block[i];
        firn_ctl__print(c, "  block %u at %" PRIu64 ": stored %u, raw %u, %u entries, from ",
                        t->blocks_before + i, b->offset, b->stored_len, b->raw_len, b->count);
        firn_ctl__print_key(c,
                            firn_seps_get(i ? &p->sep : &t->head->parts.sep, i ? i : t->part_at));
        firn_ctl__print(c, "\n");
    }
    firn_ctl__print(c, "entries of partition %u\n", t->part_at);
}

static void print_entry(struct firn_ctl *c, const struct firn_entry *e)
{
    firn_ctl__print(c, "  ");
    firn_ctl__print_key(c, e->key);
    firn_ctl__print(c, " %" PRIu64 " %s", e->seqno, firn_ctl__kind_name(e->kind));
    if (!firn_kind_deletes(e->kind) && c->args.values) {
        firn_ctl__print(c, " ");
        firn_ctl__print_bytes(c, e->value);
    } else if (!firn_kind_deletes(e->kind)) {
        firn_ctl__print(c, " %zu bytes", e->value.len);
    }
    if (e->expiry_ms) {
        firn_ctl__print(c, " expires ");
        firn_ctl__print_time(c, e->expiry_ms);
    }
    firn_ctl__print(c, "\n");
}

/* ---- blocks */

static void next_part(struct firn_ctl *c);
static void next_block(struct firn_ctl *c);

static enum firn_status dump_block(struct firn_ctl *c, struct firn_slice stored)
{
    struct table_dump *t = c->state;
    const struct firn_table_block *x = &t->part->block[t->block];
    struct firn_block b;
    t->raw.len = 0;
    enum firn_status s = firn_buf_reserve(&t->raw, x->raw_len);
    if (s == FIRN_OK)
        s = firn_block_unpack(&t->codec, stored, t->loc.table_id, x->offset, t->raw.data,
                              x->raw_len);
    if (s == FIRN_OK)
        s = firn_block_open(firn_slice_of(t->raw.data, x->raw_len), &b);
    if (s == FIRN_OK)
        s = firn_block_iter_init(&t->it, &b);
    if (s != FIRN_OK)
        return s;
    for (firn_block_iter_first(&t->it); t->it.valid; firn_block_iter_next(&t->it))
        print_entry(c, &t->it.e);
    return FIRN_OK;
}

static void got_block(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    enum firn_status s = dump_block(c, firn_buf_slice(&c->op.req.reply));
    if (s == FIRN_LIMIT) {
        firn_ctl__fail_memory(c);
        return;
    }
    if (s != FIRN_OK) {
        firn_ctl__print(c, "  block %u at %" PRIu64 " is damaged\n", t->blocks_before + t->block,
                        t->part->block[t->block].offset);
        t->damaged = true;
    }
    t->block++;
    next_block(c);
}

static void next_block(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    if (t->block < t->part->sep.count) {
        const struct firn_table_block *b = &t->part->block[t->block];
        firn_ctl__get(c, t->key, b->offset, b->stored_len, b->stored_len, got_block);
        return;
    }
    t->blocks_before += t->part->sep.count;
    t->part_at++;
    next_part(c);
}

/* ---- metadata */

static void damaged_meta(struct firn_ctl *c, uint64_t offset, enum firn_status s,
                         const struct firn_err *err)
{
    const struct table_dump *t = c->state;
    firn_ctl__fail(c, "%s: metadata at %" PRIu64 ": %s", t->key, offset,
                   err->text[0] ? err->text : firn_status_name(s));
}

static void got_part(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    struct firn_err err = {0};
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    firn_table_part_free(t->part);
    t->part = NULL;
    enum firn_status s = firn_table_part_decode(firn_buf_slice(&c->op.req.reply), t->loc.table_id,
                                                &t->head->parts, t->part_at, &t->part, &err);
    if (s != FIRN_OK) {
        damaged_meta(c, t->head->parts.offset[t->part_at], s, &err);
        return;
    }
    print_part(c, t);
    t->block = 0;
    next_block(c);
}

static void next_part(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    const struct firn_table_parts *p = &t->head->parts;
    if (t->part_at < p->sep.count) {
        uint64_t len = firn_table_parts_bytes(p, t->part_at, t->part_at + 1);
        firn_ctl__get(c, t->key, p->offset[t->part_at], len, len, got_part);
    } else if (t->damaged) {
        firn_ctl__fail(c, "%s: damaged blocks were left out", t->key);
    } else {
        firn_ctl__end(c, CTL_OK);
    }
}

static void got_head(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    struct firn_err err = {0};
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    enum firn_status s =
        firn_table_head_decode(firn_buf_slice(&c->op.req.reply), &t->loc, &t->head, &err);
    if (s != FIRN_OK) {
        damaged_meta(c, t->loc.head_offset, s, &err);
        return;
    }
    print_props(c, t);
    print_head(c, t->head);
    next_part(c);
}

static void got_footer(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    struct firn_err err = {0};
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    enum firn_status s =
        firn_table_footer_decode(firn_buf_slice(&c->op.req.reply), t->size, &t->loc, &err);
    if (s != FIRN_OK)
        firn_ctl__fail(c, "%s: footer at %" PRIu64 ": %s", t->key,
                       t->size - FIRN_TABLE_FOOTER_BYTES,
                       err.text[0] ? err.text : firn_status_name(s));
    else
        firn_ctl__get(c, t->key, t->loc.head_offset, t->loc.head_length, t->loc.head_length,
                      got_head);
}

static void got_size(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    if (c->op.status != FIRN_OK) {
        firn_ctl__fail_read(c);
        return;
    }
    t->size = c->op.req.size;
    if (t->size < FIRN_TABLE_HEADER_BYTES + FIRN_TABLE_FOOTER_BYTES)
        firn_ctl__fail(c, "%s: %" PRIu64 " bytes are no table", t->key, t->size);
    else
        firn_ctl__get(c, t->key, t->size - FIRN_TABLE_FOOTER_BYTES, FIRN_TABLE_FOOTER_BYTES,
                      FIRN_TABLE_FOOTER_BYTES, got_footer);
}

static void name_known(struct firn_ctl *c)
{
    struct table_dump *t = c->state;
    firn_name_table(t->key, firn_id_short(&c->db), &t->name);
    firn_ctl__head(c, t->key, got_size);
}

void firn_ctl__table_dump(struct firn_ctl *c)
{
    struct table_dump *t = firn_calloc(1, sizeof *t);
    const char *word = c->args.word[0];
    struct firn_name n;
    if (!t) {
        firn_ctl__fail_memory(c);
        return;
    }
    firn_buf_init(&t->raw, FIRN_BLOCK_RAW_MAX);
    c->state = t;
    if (firn_name_parse(firn_slice_str(word), &n) == FIRN_OK && n.kind == FIRN_NAME_TABLE) {
        (void)snprintf(t->key, sizeof t->key, "%s", word);
        firn_ctl__head(c, t->key, got_size);
    } else if (parse_short(word, &t->name)) {
        firn_ctl__read_manifest(c, name_known);
    } else {
        firn_ctl__fail(c, "\"%.100s\" is no table's name: write w3-17, or sst/... as listed", word);
    }
}
