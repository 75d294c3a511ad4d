/* What the edits share. */
#ifndef FIRN_MANIFEST_EDIT_PRIV_H
#define FIRN_MANIFEST_EDIT_PRIV_H

#include "format/manifest_codec.h"

static inline struct firn_table_name firn_manifest__garbage_name(const Firn__Garbage *g)
{
    return (struct firn_table_name){(enum firn_role)g->role, g->epoch, g->number};
}

/* A live reference (L0, runs, adopted) to this name, or NULL. Linear. */
const Firn__Table *firn_manifest__find(const Firn__Manifest *m, const struct firn_table_name *name);
bool firn_manifest__in_garbage(const Firn__Manifest *m, const struct firn_table_name *name);

/* Do [a, a_end) and [b, b_end) have keys in common? An empty end is unbounded. */
bool firn_manifest__overlap(struct firn_slice a, struct firn_slice a_end, struct firn_slice b,
                            struct firn_slice b_end);

/* Our fields of `from` into `to`, whose unknown fields stay. */
void firn_manifest__copy_dialect(Firn__Dialect *to, const Firn__Dialect *from);

#endif
