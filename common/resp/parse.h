/* Requests of the Redis protocol: multibulk ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") and inline ("GET
 * k\r\n"). Source: redis.io/docs/reference/protocol-spec; limits and error texts as redis 7
 * (networking.c). */
#ifndef FIRN_RESP_PARSE_H
#define FIRN_RESP_PARSE_H

#include "base/slice.h"

#define FIRN_PARSE_ARGV_INLINE 8
#define FIRN_PARSE_LINE_MAX (64 * 1024) /* an inline request, or a length line without its end */

enum firn_parse {
    FIRN_PARSE_MORE,    /* the command is not complete; `need` says how long it is at least */
    FIRN_PARSE_COMMAND, /* argc, argv, used are set; argc 0 = an empty request, to be skipped */
    FIRN_PARSE_ERROR,   /* `error` says why, without "-" and CRLF; the stream is lost, close it */
};

struct firn_parse_limits {
    size_t args_max;    /* arguments of one command */
    size_t bulk_max;    /* bytes of one argument */
    size_t command_max; /* bytes of one command as sent, protocol included */
    bool authenticated; /* false: at most 10 arguments of 16 KiB */
};

/* One command under way. Zero-initialise; clear() frees. */
struct firn_parser {
    struct firn_slice *argv; /* after COMMAND: point into the bytes given (or into `text`) */
    size_t argc;
    size_t used; /* after COMMAND: bytes it took, protocol included */
    size_t need; /* after MORE: no command can be complete before there are this many bytes */
    char error[96];
    /* --- private */
    size_t argv_cap;
    struct firn_slice argv_inline[FIRN_PARSE_ARGV_INLINE];
    struct firn_buf text; /* unquoted arguments of an inline request */
    uintptr_t base;       /* address of the bytes argv was made for */
    size_t at;            /* first byte not looked at */
    size_t args_left;     /* of the multibulk under way */
    size_t bulk_len;
    bool in_multibulk, in_bulk, done;
};

/* Go on with the command that begins at data: the same bytes as at the last call that gave MORE
 * (they may have moved), with more behind; after COMMAND or reset, a new command. argv and argc are
 * valid until the next call, as long as the bytes are. Nothing is copied but quoted inline
 * arguments; nothing is allocated for up to 8 arguments. No byte is scanned twice, but for inline
 * requests that come in pieces. */
enum firn_parse firn_parser_next(struct firn_parser *p, const struct firn_parse_limits *limits,
                                 const uint8_t *data, size_t len);
/* Has a part of a command been taken, so that next() must go on with the same bytes? */
static inline bool firn_parser_under_way(const struct firn_parser *p)
{
    return p->in_multibulk && !p->done;
}
/* Forget the command under way. */
void firn_parser_reset(struct firn_parser *p);
/* Bytes of memory held. */
size_t firn_parser_bytes(const struct firn_parser *p);
void firn_parser_clear(struct firn_parser *p);

/* Split a line into arguments as redis's sdssplitargs: blanks separate; "…" with \n \r \t \b \a
 * \\ \" and \xHH; '…' with \' . The line is borrowed; quoted arguments are unquoted into `text`
 * (emptied first). Calls emit(arg, argument) in order with slices valid while line and text are
 * unchanged. INVALID: unbalanced quotes. LIMIT: memory, or emit returned LIMIT. */
enum firn_status firn_parse_line(struct firn_slice line, struct firn_buf *text,
                                 enum firn_status (*emit)(void *arg, struct firn_slice s),
                                 void *arg) FIRN_MUST_USE;

/* A decimal 64-bit integer exactly as Redis's string2ll takes it: optional '-', no '+', no blanks,
 * no leading zeros, "-0" refused, no overflow. */
bool firn_parse_i64(struct firn_slice s, int64_t *out);

#endif
