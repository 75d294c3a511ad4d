/* The pin of a node: the object pins/<id> by which the collector spares the tables that long scans
 * and snapshots of this node still read (PROTOCOL.md "Garbage collection"). Loop thread only.
 *
 * One object serves them all, for the collector looks at nothing but the least version that any pin
 * names: it names the least version of a view in use here, raised with each renewal.
 *
 *   NONE --first hold--> PUTTING --durable--> CHECKING --manifest read--> LIVE --ttl/4--> RENEWING
 *    ^                      |                    |                         | ^               |
 *    +------- failed -------+--------------------+                         | +--- ours ------+
 *    +------- given up: nobody held it for ttl/4 --------------------------+               412|
 *    +------- lost: another's, or gone ------------------------------------------ LOOKING <---+
 *
 * Why a hold keeps what it names. The pin was put with a version not newer than the manifest's, and
 * was durable before the manifest read that follows was sent. A table of the version that this read
 * showed, or of a newer one, is dropped by a version newer still; a pass that deletes it has read
 * that manifest, hence began to LIST pins after our pin was durable, and finds it with a version
 * below the one that dropped the table. So a view is safe when its version is at least the one that
 * was read (hold.version): a holder whose view is older moves to that one. Renewals raise the
 * version named only to the least version held. */
#ifndef FIRN_MANIFEST_PINS_H
#define FIRN_MANIFEST_PINS_H

#include "manifest/manifest.h"

struct firn_pins;

struct firn_pins_options {
    struct firn_id db;
    uint16_t format; /* number of its objects (format/version.h): known */
    uint64_t ttl_ns; /* `pin-ttl`: how long the collector takes an unchanged pin for alive */
};

enum firn_pin_state {
    FIRN_PIN_IDLE,    /* not submitted, or released */
    FIRN_PIN_WAITING, /* changed() follows */
    FIRN_PIN_HELD,    /* views of `version` and newer ones keep their tables; changed() follows
                         should the pin be lost */
    FIRN_PIN_LOST,    /* the pin could not be had, or was lost: status and err say why */
};

/* One user's share in the pin, embedded in it. Zero-initialise, set changed and arg. */
struct firn_pin_hold {
    /* The state is another; on the loop, never inside a call of this room's user. It may release
     * any hold. */
    void (*changed)(struct firn_pin_hold *h);
    void *arg;
    enum firn_pin_state state;
    uint64_t version; /* HELD: the least version that may be used, or that is (firn_pins_use) */
    /* LOST. ABSENT: the pin was deleted, for it was not renewed in time; CONFLICT: it was
     * overwritten; otherwise as the store said when it was to be made. */
    enum firn_status status;
    struct firn_err err;
    struct firn_list link; /* private */
};

struct firn_pins_stats {
    uint64_t made, renewed, lost, given_up;
};

/* env, store and node must outlive it. LIMIT: memory. */
enum firn_status firn_pins_create(const struct firn_env *env, struct firn_store *store,
                                  struct firn_manifest_node *node,
                                  const struct firn_pins_options *o,
                                  struct firn_pins **out) FIRN_MUST_USE;
/* Send nothing more; no hold hears of anything any more. What is under way ends with the store's
 * operations and the node's reads. The object is left to die by its ttl. Harmless when repeated,
 * NULL-safe. */
void firn_pins_stop(struct firn_pins *p);
/* Nothing may be under way: stop, then the store is idle and the node stopped. NULL-safe. */
void firn_pins_free(struct firn_pins *p);

/* Take part: WAITING, or HELD at once where the pin is alive. A manifest must have been read by the
 * node. Two round trips where there is no pin yet, and a PUT per ttl/4 for as long as anybody holds
 * it, whatever their number. */
void firn_pins_hold(struct firn_pins *p, struct firn_pin_hold *h);
/* The holder uses a view of this version, not below h->version, and no older one any more. */
void firn_pins_use(struct firn_pin_hold *h, uint64_t version);
/* Leave; changed() is not called any more. Harmless on a hold that is IDLE or LOST. */
void firn_pins_release(struct firn_pin_hold *h);

/* The manifest that was read behind the pin, for holders whose view is older than h->version:
 * borrowed while any hold is HELD. */
struct firn_manifest *firn_pins_manifest(const struct firn_pins *p);
const struct firn_pins_stats *firn_pins_stats_of(const struct firn_pins *p);

#endif
