/* Structural checks of manifests: pure. */
#ifndef FIRN_MANIFEST_CHECK_H
#define FIRN_MANIFEST_CHECK_H

#include "format/manifest_codec.h"

/* Does a well-formed manifest (firn_manifest_decode, or built from one) obey its rules?
 * - I7: L0 is ordered by log range, newest first; neighbours are contiguous, or have one range and
 * disjoint keys; the oldest begins at l0_start, the newest ends at the floor;
 * - I8: partitions are disjoint, in order and cover the key space; the tables of a run are
 * disjoint, in order and within their partition; no l0_upto lies behind the floor;
 * - kept <= floor <= the first slot of the epoch after the writer's;
 * - I10: every table is of an epoch of its role that has been; no garbage was dropped by a version
 * to come;
 * - times and seqnos: expired_to <= log_time, table seqnos <= seqno_at_floor.
 * OK, or CORRUPT with err saying which rule and where. Cost: linear, one sort-free pass over the
 * tables. */
enum firn_status firn_manifest_check(const Firn__Manifest *m, struct firn_err *err) FIRN_MUST_USE;

/* May `next` follow `prev`, directly or later? Of one database id, format, version, epochs, floor,
 * kept, log_time, expired_to and watermarks never go back, and (M) settings never change. CORRUPT
 * otherwise. */
enum firn_status firn_manifest_check_step(const Firn__Manifest *prev, const Firn__Manifest *next,
                                          struct firn_err *err) FIRN_MUST_USE;

/* Is every feature known that is needed to read, or (commit) to change this database? INVALID names
 * the one that is not, and the version of Firn that knows it. */
enum firn_status firn_manifest_check_features(const Firn__Manifest *m, bool commit,
                                              struct firn_err *err) FIRN_MUST_USE;

#endif
