/* Glob patterns as Redis matches them (stringmatchlen): * ? [a-z] [^x] and \ to take a character as
 * it is. */
#ifndef FIRN_RESP_GLOB_H
#define FIRN_RESP_GLOB_H

#include "base/slice.h"

/* Does all of s match? Bytes, no locale. O(|pattern| · |s|) at worst, no recursion: the last *
 * alone is retried (Krauss, "Matching Wildcards", Dr. Dobb's 2008). */
bool firn_glob_match(struct firn_slice pattern, struct firn_slice s, bool nocase);
/* Length of the pattern's literal beginning, when it has no escapes: every match starts with it. */
size_t firn_glob_prefix(struct firn_slice pattern);

#endif
