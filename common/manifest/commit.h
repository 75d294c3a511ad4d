/* Changing the manifest: commit by intent (PROTOCOL "Commit"). An intent says how to change a
 * manifest and how to see in one whether that was done; the node coalesces intents into commits,
 * proposes them and, after a lost race or an uncertain PUT, looks and decides. Loop thread only.
 * Ready-made intents: intents.h. */
#ifndef FIRN_MANIFEST_COMMIT_H
#define FIRN_MANIFEST_COMMIT_H

#include "manifest/manifest.h"

/* Embedded in its user. Zero-initialise, fill in the first part, submit; leave it alone until
 * done(), exactly once, never inside the submission. */
struct firn_intent {
    /* Change m, a private copy of the newest manifest; may be called many times, each time on a
     * fresh copy. Anything but OK ends this intent alone with that status (m is thrown away).
     * FIRN_CONFLICT by custom: the manifest no longer allows it. */
    enum firn_status (*apply)(struct firn_intent *it, Firn__Manifest *m, struct firn_err *err);
    /* Does m show that this intent was applied, even if much has happened since? */
    bool (*applied)(const struct firn_intent *it, const Firn__Manifest *m);
    void (*done)(struct firn_intent *it);
    void *arg;
    /* Set by the node before apply(): the manifest the commit builds on. */
    const Firn__Manifest *current;
    enum firn_role role; /* the role that must still be ours (firn_manifest_hold), or NONE */
    bool urgent;         /* not delayed by the interval: claims and releases */
    bool prompt;         /* not delayed by the interval, but by what the store allows of one name */

    /* OK: applied; `manifest` shows it. FENCED: another holds the role, and it was not applied.
     * UNCERTAIN: the node was stopped while a PUT may yet land: what the intent refers to is not to
     * be deleted or given up before `manifest` was seen with another ETag. What apply() gave; BUG:
     * what it made breaks the rules of manifests; TRANSIENT: stopped before anything was sent;
     * DENIED, INVALID, CORRUPT, LIMIT: as reads and the store say, nothing was done. */
    enum firn_status status;
    struct firn_err err;
    struct firn_manifest *manifest; /* OK: owned by the node until done() returns */
    struct firn_list link;          /* private */
};

void firn_manifest_commit(struct firn_manifest_node *n, struct firn_intent *it);

/* --- creating a database */
struct firn_manifest_create {
    const Firn__Settings *settings; /* borrowed until done */
    const Firn__Dialect *dialect;   /* borrowed until done */
    void (*done)(struct firn_manifest_create *c);
    void *arg;
    /* OK: there is a live database, `manifest` (as in reads) shows it; `created`: it was made here.
     * Otherwise as reads, or as the store says. UNCERTAIN: stopped while a PUT may yet land. */
    enum firn_status status;
    struct firn_err err;
    struct firn_manifest *manifest;
    bool created;
    void *priv;
};

/* Open the database of this URL, and if there is none, or a dropped one, make one with a new id.
 * The loser of a race uses the winner's. Before the node's first read only. One GET, plus two PUTs
 * when it creates. */
void firn_manifest_create(struct firn_manifest_node *n, struct firn_manifest_create *c);

/* The settings INTERFACES.md gives as defaults. Fills a struct initialised here; its notify string
 * is static. */
void firn_manifest_settings_default(Firn__Settings *s);

#endif
