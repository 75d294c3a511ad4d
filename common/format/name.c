#include "format/name.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

#define DB_DIGITS 8
#define EPOCH_DIGITS 8
#define SLOT_DIGITS 13
#define NUMBER_DIGITS 12
#define VERSION_DIGITS 16

/* ---- building */

static char role_letter(enum firn_role role)
{
    return role == FIRN_ROLE_WRITER ? 'w' : 'c';
}

void firn_name_slot(char out[FIRN_NAME_MAX], uint32_t db, struct firn_place place)
{
    FIRN_ASSERT(firn_place_valid(place));
    (void)snprintf(out, FIRN_NAME_MAX, "wal/%08" PRIx32 "/%08" PRIu64 "/%013" PRIu64, db,
                   place.epoch, place.slot);
}

void firn_name_epoch_prefix(char out[FIRN_NAME_MAX], uint32_t db, uint64_t epoch)
{
    FIRN_ASSERT(epoch <= FIRN_EPOCH_MAX);
    (void)snprintf(out, FIRN_NAME_MAX, "wal/%08" PRIx32 "/%08" PRIu64 "/", db, epoch);
}

void firn_name_table(char out[FIRN_NAME_MAX], uint32_t db, const struct firn_table_name *t)
{
    FIRN_ASSERT(t->epoch <= FIRN_EPOCH_MAX && t->number <= FIRN_TABLE_NUMBER_MAX);
    FIRN_ASSERT(t->role == FIRN_ROLE_WRITER || t->role == FIRN_ROLE_COMPACTOR);
    (void)snprintf(out, FIRN_NAME_MAX, "sst/%08" PRIx32 "/%c%08" PRIu64 "-%012" PRIu64, db,
                   role_letter(t->role), t->epoch, t->number);
}

void firn_name_manifest_log(char out[FIRN_NAME_MAX], uint64_t version, const struct firn_id *nonce)
{
    char hex[FIRN_ID_HEX + 1];
    FIRN_ASSERT(version <= FIRN_VERSION_MAX);
    firn_id_hex(nonce, hex);
    (void)snprintf(out, FIRN_NAME_MAX, "manifest-log/%016" PRIu64 "-%s", version, hex);
}

bool firn_name_id_valid(struct firn_slice id)
{
    if (id.len < 1 || id.len > FIRN_NAME_ID_MAX || id.data[0] == '.')
        return false;
    for (size_t i = 0; i < id.len; i++) {
        uint8_t c = id.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* The folder of the kinds that are followed by an id, with its slash; NULL for others. */
static const char *id_folder(enum firn_name_kind kind)
{
    switch (kind) {
    case FIRN_NAME_JOB:
        return "jobs/";
    case FIRN_NAME_NODE:
        return "nodes/";
    case FIRN_NAME_PIN:
        return "pins/";
    case FIRN_NAME_PROBE:
        return "probe/";
    default:
        return NULL;
    }
}

enum firn_status firn_name_id(char out[FIRN_NAME_MAX], enum firn_name_kind kind,
                              struct firn_slice id)
{
    const char *folder = id_folder(kind);
    if (!folder || !firn_name_id_valid(id))
        return FIRN_INVALID;
    (void)snprintf(out, FIRN_NAME_MAX, "%s%.*s", folder, (int)id.len, (const char *)id.data);
    return FIRN_OK;
}

/* ---- parsing: each takes something off the front of *s, or gives false */

static bool take_text(struct firn_slice *s, const char *text)
{
    struct firn_slice prefix = firn_slice_str(text);
    if (!firn_slice_starts(*s, prefix))
        return false;
    *s = firn_slice_of(s->data + prefix.len, s->len - prefix.len);
    return true;
}

/* Exactly `digits` (at most 16) decimal digits, so the number fits. */
static bool take_number(struct firn_slice *s, size_t digits, uint64_t *out)
{
    if (s->len < digits)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        if (s->data[i] < '0' || s->data[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s->data[i] - '0');
    }
    *s = firn_slice_of(s->data + digits, s->len - digits);
    *out = v;
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(struct firn_slice *s, uint8_t *out, size_t bytes)
{
    if (s->len < 2 * bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        int hi = hex_digit(s->data[2 * i]), lo = hex_digit(s->data[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    *s = firn_slice_of(s->data + 2 * bytes, s->len - 2 * bytes);
    return true;
}

static bool take_db(struct firn_slice *s, uint32_t *out)
{
    struct firn_id id = {{0}};
    if (!take_hex(s, id.byte, DB_DIGITS / 2))
        return false;
    *out = firn_id_short(&id);
    return true;
}

static bool parse_slot(struct firn_slice s, struct firn_name *n)
{
    n->kind = FIRN_NAME_SLOT;
    return take_db(&s, &n->db) && take_text(&s, "/") &&
           take_number(&s, EPOCH_DIGITS, &n->place.epoch) && take_text(&s, "/") &&
           take_number(&s, SLOT_DIGITS, &n->place.slot) && s.len == 0 && firn_place_valid(n->place);
}

static bool parse_table(struct firn_slice s, struct firn_name *n)
{
    n->kind = FIRN_NAME_TABLE;
    if (!take_db(&s, &n->db) || !take_text(&s, "/"))
        return false;
    if (take_text(&s, "w"))
        n->table.role = FIRN_ROLE_WRITER;
    else if (take_text(&s, "c"))
        n->table.role = FIRN_ROLE_COMPACTOR;
    else
        return false;
    return take_number(&s, EPOCH_DIGITS, &n->table.epoch) && take_text(&s, "-") &&
           take_number(&s, NUMBER_DIGITS, &n->table.number) && s.len == 0 &&
           n->table.epoch <= FIRN_EPOCH_MAX;
}

static bool parse_manifest_log(struct firn_slice s, struct firn_name *n)
{
    n->kind = FIRN_NAME_MANIFEST_LOG;
    return take_number(&s, VERSION_DIGITS, &n->version) && take_text(&s, "-") &&
           take_hex(&s, n->nonce.byte, FIRN_ID_BYTES) && s.len == 0;
}

static bool parse_id(struct firn_slice s, struct firn_name *n)
{
    static const enum firn_name_kind kind[] = {FIRN_NAME_JOB, FIRN_NAME_NODE, FIRN_NAME_PIN,
                                               FIRN_NAME_PROBE};
    for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++) {
        if (!take_text(&s, id_folder(kind[i])))
            continue;
        if (!firn_name_id_valid(s))
            return false;
        n->kind = kind[i];
        memcpy(n->id, s.data, s.len);
        n->id[s.len] = '\0';
        return true;
    }
    return false;
}

enum firn_status firn_name_parse(struct firn_slice text, struct firn_name *out)
{
    struct firn_name n = {.kind = FIRN_NAME_MANIFEST};
    struct firn_slice s = text;
    bool ok;
    if (take_text(&s, "wal/"))
        ok = parse_slot(s, &n);
    else if (take_text(&s, "sst/"))
        ok = parse_table(s, &n);
    else if (take_text(&s, "manifest-log/"))
        ok = parse_manifest_log(s, &n);
    else if (take_text(&s, FIRN_NAME_MANIFEST_TEXT))
        ok = s.len == 0;
    else
        ok = parse_id(s, &n);
    if (!ok)
        return FIRN_INVALID;
    *out = n;
    return FIRN_OK;
}
