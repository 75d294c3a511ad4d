/* manifest show: for people. */
#include "ctl/ctl_priv.h"

#include "manifest/check.h"

#include <inttypes.h>
#include <stdio.h>

static void print_place(struct firn_ctl *c, const char *name, struct firn_place p)
{
    firn_ctl__print(c, "%-18s %" PRIu64 "/%" PRIu64 "\n", name, p.epoch, p.slot);
}

static void print_at(struct firn_ctl *c, const char *name, uint64_t ms)
{
    firn_ctl__print(c, "%-18s ", name);
    firn_ctl__print_time(c, ms);
    firn_ctl__print(c, "\n");
}

static void print_role(struct firn_ctl *c, const char *name, const Firn__Role *r)
{
    struct firn_id nonce = firn_pb_id(&r->process_nonce);
    char hex[FIRN_ID_HEX + 1];
    firn_ctl__print(c, "%-18s epoch %" PRIu64, name, r->epoch);
    if (firn_id_none(&nonce)) {
        firn_ctl__print(c, ", held by nobody");
    } else {
        firn_id_hex(&nonce, hex);
        firn_ctl__print(c, ", held by %s (process %s)", r->node_id[0] ? r->node_id : "?", hex);
    }
    if (r->address[0])
        firn_ctl__print(c, ", at %s", r->address);
    if (r->heartbeat_kept_ms)
        firn_ctl__print(c, ", heartbeat %" PRIu64 " ms", r->heartbeat_kept_ms);
    firn_ctl__print(c, ", table numbers from %" PRIu64 "\n", r->watermark);
}

static char letter(Firn__TableRole role)
{
    return role == FIRN__TABLE_ROLE__WRITER ? 'w' : 'c';
}

static void print_table(struct firn_ctl *c, const Firn__Table *t, const char *indent)
{
    char size[CTL_SIZE_MAX], raw[CTL_SIZE_MAX];
    firn_ctl__print(c, "%s%c%" PRIu64 "-%" PRIu64 "  %s (raw %s)  %" PRIu64 " entries", indent,
                    letter(t->role), t->epoch, t->number, firn_ctl__size(t->size, size),
                    firn_ctl__size(t->raw_bytes, raw), t->entries);
    if (t->tombstones)
        firn_ctl__print(c, ", %" PRIu64 " tombstones", t->tombstones);
    if (t->range_tombstones)
        firn_ctl__print(c, ", %" PRIu64 " range tombstones", t->range_tombstones);
    firn_ctl__print(c, "  seqnos %" PRIu64 "..%" PRIu64 "  keys ", t->min_seqno, t->max_seqno);
    firn_ctl__print_range(c, firn_pb_slice(&t->lower), firn_pb_slice(&t->upper));
    if (t->clip_lower.len || t->clip_upper.len) {
        firn_ctl__print(c, " clipped to ");
        firn_ctl__print_range(c, firn_table_lower(t), firn_table_upper(t));
    }
    if (t->first && t->end && t->end->epoch + t->end->slot > 0)
        firn_ctl__print(c, "  log [%" PRIu64 "/%" PRIu64 ", %" PRIu64 "/%" PRIu64 ")",
                        t->first->epoch, t->first->slot, t->end->epoch, t->end->slot);
    if (t->max_expiry_ms) {
        firn_ctl__print(c, "  expiring ");
        firn_ctl__print_time(c, t->min_expiry_ms);
        firn_ctl__print(c, "..");
        firn_ctl__print_time(c, t->max_expiry_ms);
    }
    firn_ctl__print(c, "\n");
}

static uint64_t bytes_of(Firn__Table *const *t, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += t[i]->size;
    return sum;
}

static void print_l0(struct firn_ctl *c, const Firn__Manifest *m)
{
    char size[CTL_SIZE_MAX];
    firn_ctl__print(c, "\nL0: %zu tables, %s, newest first; begins at %" PRIu64 "/%" PRIu64 "\n",
                    m->n_l0, firn_ctl__size(bytes_of(m->l0, m->n_l0), size), m->l0_start->epoch,
                    m->l0_start->slot);
    for (size_t i = 0; i < m->n_l0; i++)
        print_table(c, m->l0[i], "  ");
}

static void print_partition(struct firn_ctl *c, const Firn__Partition *p)
{
    char size[CTL_SIZE_MAX];
    firn_ctl__print(c, "  partition ");
    firn_ctl__print_range(c, firn_pb_slice(&p->start), firn_pb_slice(&p->end));
    firn_ctl__print(c, "  L0 up to %" PRIu64 "/%" PRIu64 ", %zu runs\n", p->l0_upto->epoch,
                    p->l0_upto->slot, p->n_runs);
    for (size_t k = 0; k < p->n_runs; k++) {
        const Firn__Run *r = p->runs[k];
        firn_ctl__print(c, "    run %zu: %zu tables, %s\n", k, r->n_tables,
                        firn_ctl__size(bytes_of(r->tables, r->n_tables), size));
        for (size_t i = 0; i < r->n_tables; i++)
            print_table(c, r->tables[i], "      ");
    }
}

static void print_l1(struct firn_ctl *c, const Firn__Manifest *m)
{
    firn_ctl__print(c, "\nL1: %zu partitions, runs newest first\n", m->n_partitions);
    for (size_t i = 0; i < m->n_partitions; i++)
        print_partition(c, m->partitions[i]);
    if (m->n_adopted)
        firn_ctl__print(c, "\nadopted by the compactor: %zu tables\n", m->n_adopted);
    for (size_t i = 0; i < m->n_adopted; i++)
        print_table(c, m->adopted[i], "  ");
}

static void print_checkpoints(struct firn_ctl *c, const Firn__Manifest *m)
{
    char hex[FIRN_ID_HEX + 1];
    firn_ctl__print(c, "\ncheckpoints: %zu\n", m->n_checkpoints);
    for (size_t i = 0; i < m->n_checkpoints; i++) {
        const Firn__Checkpoint *k = m->checkpoints[i];
        struct firn_id nonce = firn_pb_id(&k->nonce);
        firn_id_hex(&nonce, hex);
        firn_ctl__print(c, "  %s  version %" PRIu64 "-%s  floor %" PRIu64 "/%" PRIu64 "  of ",
                        k->id, k->version, hex, k->floor->epoch, k->floor->slot);
        firn_ctl__print_time(c, k->log_time_ms);
        firn_ctl__print(c, "  expires ");
        firn_ctl__print_time(c, k->expires_ms);
        firn_ctl__print(c, "  ");
        firn_ctl__print_bytes(c, firn_slice_str(k->label));
        firn_ctl__print(c, "\n");
    }
}

static void print_garbage(struct firn_ctl *c, const Firn__Manifest *m)
{
    char size[CTL_SIZE_MAX];
    uint64_t sum = 0;
    for (size_t i = 0; i < m->n_garbage; i++)
        sum += m->garbage[i]->size;
    firn_ctl__print(c, "\ngarbage: %zu tables, %s\n", m->n_garbage, firn_ctl__size(sum, size));
    for (size_t i = 0; i < m->n_garbage; i++) {
        const Firn__Garbage *g = m->garbage[i];
        firn_ctl__print(c, "  %c%" PRIu64 "-%" PRIu64 "  %s  dropped by version %" PRIu64 "\n",
                        letter(g->role), g->epoch, g->number, firn_ctl__size(g->size, size),
                        g->version);
    }
}

static void print_settings(struct firn_ctl *c, const Firn__Settings *s)
{
    firn_ctl__print(c,
                    "\nsettings (fixed at creation)\n"
                    "  batch-bytes-max %" PRIu64 "  value-max %" PRIu64 "  block-bytes %" PRIu64
                    "  empty-value %s\n"
                    "  unflushed-bytes-max %" PRIu64 "  wal-slots-max %" PRIu64
                    "  wal-grace %" PRIu64 "ms  clock-skew-max %" PRIu64 "ms\n",
                    s->batch_bytes_max, s->value_max, s->block_bytes,
                    s->empty_value_deletes ? "deletes" : "keeps", s->unflushed_bytes_max,
                    s->wal_slots_max, s->wal_grace_ms, s->clock_skew_max_ms);
    firn_ctl__print(c,
                    "settings (firnctl set)\n"
                    "  history %" PRIu64 "ms  dedup-ttl %" PRIu64 "ms  heartbeat %" PRIu64
                    "ms  notify-keyspace-events ",
                    s->history_ms, s->dedup_ttl_ms, s->heartbeat_ms);
    firn_ctl__print_bytes(c, firn_slice_str(s->notify_keyspace_events));
    firn_ctl__print(c, "\n");
}

static void print_features(struct firn_ctl *c, const char *what, Firn__Feature *const *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        firn_ctl__print(c, "%-18s %s (known from version %s on)\n", what, f[i]->name,
                        f[i]->since[0] ? f[i]->since : "?");
}

static void print_head(struct firn_ctl *c, const Firn__Manifest *m)
{
    char hex[FIRN_ID_HEX + 1];
    struct firn_id id = firn_pb_id(&m->nonce), parent = firn_pb_id(&m->parent_nonce);
    firn_id_hex(&c->db, hex);
    firn_ctl__print(c, "%-18s %s%s\n", "database", hex,
                    m->state == FIRN__DATABASE_STATE__DROPPED ? " (dropped)" : "");
    firn_ctl__print(c, "%-18s %u\n", "format", m->format);
    print_features(c, "needed to read", m->features_to_read, m->n_features_to_read);
    print_features(c, "needed to change", m->features_to_commit, m->n_features_to_commit);
    firn_id_hex(&id, hex);
    firn_ctl__print(c, "%-18s %" PRIu64 "-%s\n", "version", m->version, hex);
    firn_id_hex(&parent, hex);
    firn_ctl__print(c, "%-18s %" PRIu64 "-%s\n", "parent", m->parent_version, hex);
    print_role(c, "writer", m->writer);
    print_role(c, "compactor", m->compactor);
    if (m->promote_node[0])
        firn_ctl__print(c, "%-18s %s\n", "to be promoted", m->promote_node);
    print_place(c, "floor", firn_place_of(m->floor));
    print_place(c, "kept", firn_place_of(m->kept));
    firn_ctl__print(c, "%-18s %" PRIu64 "\n", "seqno at floor", m->seqno_at_floor);
    print_at(c, "log time", m->log_time_ms);
    print_at(c, "expired to", m->expired_to_ms);
    const Firn__Dialect *d = m->dialect;
    firn_ctl__print(c, "%-18s if-match %s, multi-delete %s, crc32c %s", "dialect",
                    d->if_match_bare ? "bare" : "quoted", d->delete_many ? "yes" : "no",
                    d->checksum_crc32c ? "yes" : "no");
    if (d->name_writes_per_sec)
        firn_ctl__print(c, ", %u writes per name and second", d->name_writes_per_sec);
    firn_ctl__print(c, "\n");
}

static void show(struct firn_ctl *c)
{
    const Firn__Manifest *m = c->m;
    struct firn_err err = {0};
    if (c->args.json) {
        firn_ctl__manifest_json(c);
    } else {
        print_head(c, m);
        print_settings(c, m->settings);
        print_l0(c, m);
        print_l1(c, m);
        print_garbage(c, m);
        print_checkpoints(c, m);
    }
    if (firn_manifest_check(m, &err) != FIRN_OK)
        firn_ctl__fail(c, "manifest: damaged: %s", err.text);
    else
        firn_ctl__end(c, CTL_OK);
}

void firn_ctl__manifest_show(struct firn_ctl *c)
{
    firn_ctl__read_manifest(c, show);
}
