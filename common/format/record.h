/* Log records: what a batch holds. One record:
 *
 *   0  1  kind
 *   1  1  event code (event.h)
 *   2  1  flags
 *   3  v  length of the body, LEB128
 *   .. body:
 *      8  expiry, ms since 1970, little-endian, if flags has FIRN_RECORD_HAS_EXPIRY
 *      PUT, DEDUP, PUBLISH:  LEB128 key length, key, value (the rest)
 *      DEL:                  key (the rest)
 *      RANGEDEL:             LEB128 start length, start, end (the rest)
 *      EXPIRED:              8 bytes little-endian seqno of the value, key (the rest)
 *      GROUP_BEGIN, GROUP_END: empty
 *
 * Keys are internal keys (key.h), except a PUBLISH's, which is the channel's name. Every record,
 * group marks and skipped kinds included, takes one seqno: the batch's first_seqno + its index in
 * the batch. Kinds from 0x80 on may be skipped by who does not know them; other unknown kinds are
 * an error. */
#ifndef FIRN_FORMAT_RECORD_H
#define FIRN_FORMAT_RECORD_H

#include "base/slice.h"

enum firn_record_kind {
    FIRN_RECORD_PUT = 1,
    FIRN_RECORD_DEL = 2,
    FIRN_RECORD_RANGEDEL = 3,
    FIRN_RECORD_REF = 4, /* reserved: a value in an object of its own */
    FIRN_RECORD_PUBLISH = 5,
    FIRN_RECORD_DEDUP = 6,   /* a PUT in FIRN_NS_INTERNAL: the outcome of a request */
    FIRN_RECORD_EXPIRED = 7, /* a DEL of a value whose time has come */
    FIRN_RECORD_GROUP_BEGIN = 8,
    FIRN_RECORD_GROUP_END = 9,
};
#define FIRN_RECORD_SKIPPABLE 0x80

#define FIRN_RECORD_HAS_EXPIRY 1 /* only flag so far; PUT and DEDUP only */

/* The longest record beside key and value: what a PUT needs at most. */
#define FIRN_RECORD_OVERHEAD 24

struct firn_record {
    uint8_t
        kind; /* enum firn_record_kind, or a skippable one (encoding writes value as its body) */
    uint8_t event; /* enum firn_event, or a code of a newer version */
    uint8_t flags;
    struct firn_slice key;     /* internal key; RANGEDEL: start, inclusive; PUBLISH: channel */
    struct firn_slice value;   /* PUT, DEDUP, PUBLISH */
    struct firn_slice end_key; /* RANGEDEL: end, exclusive */
    uint64_t expiry_ms;        /* with FIRN_RECORD_HAS_EXPIRY, else 0 */
    uint64_t value_seqno;      /* EXPIRED: of the value that expired */
    uint64_t seqno;            /* set by decoding; ignored by encoding */
};

/* Bytes that firn_record_append would add. */
size_t firn_record_size(const struct firn_record *r);

/* Append one record. Slices are copied. LIMIT: b's max or memory; INVALID: a kind or field that the
 * format cannot hold (REF, a key outside its limits). Nothing is appended then. One reserve, no
 * allocation when there is room. Nesting of groups is the caller's and checked by
 * firn_records_check. */
enum firn_status firn_record_append(struct firn_buf *b, const struct firn_record *r) FIRN_MUST_USE;

/* Walks the records of one batch. */
struct firn_record_cursor {
    const uint8_t *at, *end;
    uint64_t next_seqno;
    bool in_group;
};

/* Start at the first of the raw records of a batch, which are borrowed. */
static inline void firn_record_begin(struct firn_record_cursor *c, struct firn_slice raw,
                                     uint64_t first_seqno)
{
    *c = (struct firn_record_cursor){raw.data, raw.data ? raw.data + raw.len : NULL, first_seqno,
                                     false};
}

/* Decode the next record; its slices borrow from the raw bytes. Skippable kinds are passed over
 * (their seqnos are used up). OK; ABSENT at the end; CORRUPT for anything malformed, an unbalanced
 * group included; INVALID for a kind below 0x80, or a flag, that this program does not know. After
 * an error the cursor is not to be used again. err may be NULL. No copies, no allocations. */
enum firn_status firn_record_next(struct firn_record_cursor *c, struct firn_record *out,
                                  struct firn_err *err) FIRN_MUST_USE;

/* Walk all of them: exactly `count` records (skipped ones count), all well-formed, groups balanced
 * and not nested. Statuses of firn_record_next, OK for all well. After OK firn_record_next on the
 * same bytes gives only OK and ABSENT. */
enum firn_status firn_records_check(struct firn_slice raw, uint64_t count,
                                    struct firn_err *err) FIRN_MUST_USE;

#endif
