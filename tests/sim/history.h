/* The record of what clients did and were told: one operation per request that is one instant for
 * the database (a command, or all commands of an EXEC, KV.BATCH or KV.TXN). Pure: no world, no
 * clock; whoever records says what time it is. The checkers read it (check_serial.h,
 * check_linear.h), history_text.h writes it down.
 *
 *   uint32_t op = hist_begin(h, &who, now_ns);        when the bytes leave the client
 *   hist_wire(h, op, bytes, len);                     the command as sent (or hist_command: words)
 *   used = hist_answer(h, op, bytes, len, now_ns);    when a reply comes; none at all: unknown
 *
 * Everything is kept as numbers: keys and values are interned. What is stored is never freed before
 * hist_free. Out of memory aborts (these are tests). Not thread-safe. */
#ifndef FIRN_TESTS_SIM_HISTORY_H
#define FIRN_TESTS_SIM_HISTORY_H

#include "base/slice.h"

#define HIST_NEVER UINT64_MAX

/* ---- interned bytes */

struct hist_name {
    size_t at; /* in bytes */
    uint32_t len;
    uint32_t hash;
};

/* Id 0 stands for nothing at all: no value, no bound. */
struct hist_names {
    struct hist_name *name; /* by id; [0] is not used */
    uint32_t count;         /* ids 1 … count */
    size_t cap;
    uint32_t *bucket; /* ids, open addressing */
    size_t buckets;
    struct firn_buf bytes;
};

/* The id of these bytes, given to them now if they had none. O(1) on average. */
uint32_t hist_intern(struct hist_names *n, struct firn_slice bytes);
/* The bytes of an id, valid until the next hist_intern; of 0: none. */
struct firn_slice hist_name_of(const struct hist_names *n, uint32_t id);

/* ---- operations */

enum hist_verb {
    HIST_GET,    /* keys: GET MGET; KV.GET */
    HIST_EXISTS, /* keys */
    HIST_RANGE,  /* start, end: KV.RANGE */
    HIST_COUNT,  /* start, end: KV.COUNT */
    HIST_SET,    /* key, value, …: SET MSET SETEX PSETEX GETSET; answers OK, nil, an old value */
    HIST_SETNX,  /* key, value, …: SETNX MSETNX MSETEX; answers 1 or 0 */
    HIST_DEL,    /* keys: DEL UNLINK DELIFEQ */
    HIST_DELRANGE, /* start, end: KV.DELRANGE FLUSHDB */
    HIST_INCR,     /* key: INCR DECR INCRBY DECRBY */
    HIST_GETDEL,   /* key */
    HIST_EXPIRE,   /* key: PEXPIRE EXPIRE */
    HIST_PERSIST,  /* key */
    HIST_COPY,     /* source, destination: COPY … REPLACE */
    HIST_COMPARE,  /* key: a comparison of KV.TXN */
};

enum hist_condition {
    HIST_ALWAYS,
    HIST_IF_ABSENT,  /* NX; of several keys: none is there */
    HIST_IF_PRESENT, /* XX; of several keys: all are there */
    HIST_IF_EQUAL,   /* IFEQ, VALUE = */
    HIST_IF_UNEQUAL  /* IFNE, VALUE != */
};

enum hist_ttl {
    HIST_TTL_NONE, /* what was there goes */
    HIST_TTL_KEEP,
    HIST_TTL_IN,  /* ms from now, by the writer's clock */
    HIST_TTL_PAST /* has passed long ago: the key is deleted */
};

struct hist_action {
    uint8_t verb, condition, ttl;
    bool get;       /* SET … GET */
    bool keys_only; /* RANGE */
    bool reverse;   /* RANGE */
    bool keep_old;  /* COPY without REPLACE */
    uint32_t arg;   /* first of its arguments in hist.arg: ids of keys (and values, as verb says) */
    uint32_t args;
    uint32_t expected; /* value of IF_EQUAL, IF_UNEQUAL */
    uint32_t next;     /* RANGE: what the reply says where to go on; a value's id */
    int64_t n;         /* INCR: by; TTL_IN: ms; COMPARE with IF_ABSENT and IF_PRESENT: unused */
};

/* A reply is flat: the heads of arrays are dropped. */
enum hist_item_kind { HIST_NIL, HIST_BULK, HIST_INT, HIST_STATUS, HIST_ERROR };
struct hist_item {
    uint8_t kind;
    uint32_t value; /* BULK, ERROR: id of a value */
    int64_t n;      /* INT; NIL: 1 for the nil that stands for an array (an EXEC that was not) */
};

enum hist_form {
    HIST_PLAIN, /* one action */
    HIST_EXEC,  /* actions between MULTI and EXEC */
    HIST_BATCH, /* KV.BATCH: [token, [results]] */
    HIST_TXN,   /* KV.TXN: [held, token, [results]] */
    HIST_OPEN,  /* KV.SNAPSHOT OPEN: [id, token] */
    HIST_TOKEN, /* KV.TOKEN */
    HIST_WAIT,  /* KV.WAIT token timeout */
    HIST_OTHER  /* nothing that the checkers know */
};

enum hist_outcome {
    HIST_UNKNOWN, /* no answer, or -KVUNKNOWN: applied now, later or never; but once */
    HIST_OK,
    HIST_REFUSED /* any other error: surely not applied */
};

struct hist_who {
    uint32_t session; /* a connection: its operations are answered in their order */
    uint32_t node, client;
    uint64_t freshness_ns;
    bool applied; /* KV.ACK APPLIED */
};

struct hist_op {
    struct hist_who who;
    uint8_t form, outcome;
    bool again; /* hist_again */
    bool final; /* a read when all is quiet: it must show all that is durable */
    uint64_t invoked_ns;
    uint64_t replied_ns; /* HIST_NEVER: no answer came */
    uint64_t snapshot;   /* AT: id on this node; 0: none */
    uint64_t wait_seqno; /* ATLEAST, KV.WAIT: of the token; 0: none */
    uint64_t seqno;      /* of the token in the reply; 0: none */
    uint32_t action;     /* first in hist.action: comparisons, then THEN's, then ELSE's */
    uint32_t compares, thens, elses;
    uint32_t item, items; /* the reply in hist.item, without … */
    uint32_t heads;       /* … so many before: heads of BATCH, TXN and RANGE */
    uint32_t word, words; /* as sent, in hist.word: ids of values, 0 between commands */
    bool held;            /* TXN: what its reply says */
};

struct hist {
    struct hist_names keys, values;
    struct hist_op *op;
    size_t ops, ops_cap;
    struct hist_action *action;
    size_t actions, actions_cap;
    uint32_t *arg;
    size_t args, args_cap;
    struct hist_item *item;
    size_t items, items_cap;
    uint32_t *word;
    size_t words, words_cap;
};

void hist_init(struct hist *h);
void hist_clear(struct hist *h);

/* A new operation, sent at now_ns; its outcome is unknown until hist_answer. Returns its index. */
uint32_t hist_begin(struct hist *h, const struct hist_who *who, uint64_t now_ns);
/* Its commands are one EXEC: say so before the first hist_command. */
void hist_exec(struct hist *h, uint32_t op);

/* It is sent once more, under the same ID (KV.BATCH, KV.TXN), because its outcome is not known:
 * unless an answer says that it was applied, it stays so. */
void hist_again(struct hist *h, uint32_t op);

/* Add a command to the operation begun last. One that the checkers do not know makes it
 * HIST_OTHER, which is not checked (and must then write no key that others are checked with); false
 * then. Known: GET MGET EXISTS SET (NX XX IFEQ IFNE GET EX PX KEEPTTL, PXAT 1) MSET SETNX MSETNX
 * MSETEX SETEX PSETEX GETSET GETDEL DEL UNLINK DELIFEQ INCR DECR INCRBY DECRBY EXPIRE PEXPIRE
 * PERSIST COPY FLUSHDB KV.GET KV.RANGE KV.COUNT KV.DELRANGE KV.BATCH KV.TXN (VALUE = and !=,
 * EXISTS) KV.SNAPSHOT OPEN, KV.TOKEN, KV.WAIT. */
bool hist_command(struct hist *h, uint32_t op, const struct firn_slice *word, size_t words);
/* The same of a command as sent: an array of bulk strings, or one inline line, with CRLF. */
bool hist_wire(struct hist *h, uint32_t op, const char *bytes, size_t len);

/* The start of bytes[0, len) is the reply to the operation, come at now_ns: take it. -KVUNKNOWN
 * makes it UNKNOWN, other errors REFUSED (of an EXEC also nil). Returns the reply's length, 0: it
 * is not whole yet, nothing was taken. */
size_t hist_answer(struct hist *h, uint32_t op, const char *bytes, size_t len, uint64_t now_ns);
/* The same of a reply that is flat already. */
void hist_answer_items(struct hist *h, uint32_t op, const struct hist_item *item, size_t items,
                       uint64_t now_ns);
/* The length of the reply at the start, 0: not whole. For replies that belong to no operation. */
size_t hist_reply_len(const char *bytes, size_t len);

/* Does it name a write, whether or not it came to one? */
bool hist_writes(const struct hist *h, const struct hist_op *op);

/* The number that a text begins with; 0: none. */
int64_t hist_number(struct firn_slice text);

/* Room for one more of `size` bytes in an array of *cap of them that holds n. */
void *hist_room(void *array, size_t *cap, size_t n, size_t size);

#endif
