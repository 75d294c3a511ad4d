/* Histories as text, one operation per line, for people and for history_check:
 *
 *   SESSION NODE CLIENT FRESHNESS_NS INVOKED_NS REPLIED_NS|- [applied] [final] [exec]
 *       : COMMAND WORDS … [; COMMAND WORDS …] [=> REPLY …]
 *
 * in one line, its parts between single spaces. Numbers are decimal, times of one clock that never
 * goes back; a session is a connection, on which operations were sent in the order of the lines.
 * `exec`: the commands are one MULTI … EXEC. What follows => is the reply with the heads of arrays
 * left out: $bytes a string, :n an integer, + a status, -TEXT an error, _ nil, ~ nil instead of an
 * array (EXEC). Without => no answer ever came. In words and strings, bytes outside 0x21–0x7e and
 * the five % " ; = : are written %XX; an empty word is "". Lines that begin with # say nothing. */
#ifndef FIRN_TESTS_SIM_HISTORY_TEXT_H
#define FIRN_TESTS_SIM_HISTORY_TEXT_H

#include "sim/history.h"

/* Append the line of an operation, without a line feed. */
void hist_text_op(const struct hist *h, const struct hist_op *op, struct firn_buf *out);

/* Append all of it. */
void hist_text_write(const struct hist *h, struct firn_buf *out);

/* Take one line, without its line feed. INVALID, with what is wrong in err: nothing was taken. */
enum firn_status hist_text_line(struct hist *h, struct firn_slice line,
                                struct firn_err *err) FIRN_MUST_USE;

#endif
