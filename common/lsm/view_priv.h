/* Inside of a view, for point reads, iterators and estimates. */
#ifndef FIRN_LSM_VIEW_PRIV_H
#define FIRN_LSM_VIEW_PRIV_H

#include "base/arena.h"
#include "lsm/lsm_priv.h"
#include "lsm/view.h"

/* A reference to a table: only keys in [lower, upper) of it count. */
struct firn_view_table {
    struct firn_table_handle *handle; /* referenced */
    struct firn_slice lower, upper;   /* borrowed from the manifest; empty upper = unbounded */
    struct firn_place end;            /* L0: its log range ends here */
};

struct firn_view_run { /* tables in key order, disjoint */
    struct firn_view_table *table;
    size_t count;
};

struct firn_view_part {
    struct firn_slice start, end; /* borrowed from the manifest; empty = unbounded */
    struct firn_place l0_upto;    /* the log before this place is in its runs */
    struct firn_view_run *run;    /* newest first */
    size_t nruns;
};

struct firn_view {
    unsigned refs;
    struct firn_lsm *lsm;
    struct firn_view *base;          /* of an overlay, referenced: tables and manifest are its */
    struct firn_manifest *manifest;  /* referenced; NULL = no tables */
    struct firn_arena arena;         /* of the arrays */
    struct firn_memtable **memtable; /* newest first, referenced */
    size_t nmemtables;
    struct firn_view_table *l0; /* newest first */
    size_t nl0;
    struct firn_view_part *part; /* in key order */
    size_t nparts;
};

/* The partition that key lies in; NULL when there are none. */
const struct firn_view_part *firn_view__part(const struct firn_view *v, struct firn_slice key);
/* The table of the run whose range has key, or the first behind it; r->count when there is none. */
size_t firn_view__run_find(const struct firn_view_run *r, struct firn_slice key);

static inline bool firn_view__table_has(const struct firn_view_table *t, struct firn_slice key)
{
    return firn_slice_cmp(t->lower, key) <= 0 && firn_before_end(key, t->upper);
}

#endif
