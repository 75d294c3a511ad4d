/* Every fault of a run, numbered. Whatever is done to a run on purpose (a reply lost, a connection
 * reset, a node killed by the scenario) is asked for here first:
 *
 *     if (firn_fake_strike(w, "kill", 20000))     // one in fifty
 *         kill(node[firn_fake_strike_random(w) % nodes]);
 *
 * Each kind draws from a stream of its own, so whether its n-th question is answered yes follows
 * from the seed alone, whatever else happens. The n-th yes of a kind has the same ordinal on every
 * run, and so have the draws that firn_fake_strike_random gives for it. A run can be repeated with
 * some ordinals left out: that is how a failing seed is shrunk. */
#ifndef FIRN_TESTS_FAKES_FAKE_STRIKE_H
#define FIRN_TESTS_FAKES_FAKE_STRIKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_fake_world;

#define FIRN_FAKE_KINDS_MAX 64

/* Whether a fault of this kind strikes here; ppm of the questions of a kind are answered yes. kind
 * is borrowed for ever. Kinds are numbered as they are first asked for: a scenario names its own at
 * the start, with ppm 0 (which draws nothing), so that ordinals do not depend on the run. */
bool firn_fake_strike(struct firn_fake_world *w, const char *kind, uint32_t ppm);
/* A draw for how the last strike is to be carried out; the same for this ordinal on every run. */
uint64_t firn_fake_strike_random(struct firn_fake_world *w);

/* How many of a kind (NULL: of all) struck. */
uint64_t firn_fake_strikes(const struct firn_fake_world *w, const char *kind);
/* The kinds asked for so far, by number, NULL behind the last: to report all of them. */
const char *firn_fake_strike_kind(const struct firn_fake_world *w, size_t number);
/* The kind of an ordinal, NULL for one that this world does not know. */
const char *firn_fake_kind_of(const struct firn_fake_world *w, uint64_t ordinal);
/* The ordinals of all that struck, in that order. Borrowed until the next strike. */
const uint64_t *firn_fake_struck(const struct firn_fake_world *w, size_t *count);

/* From now on only these strike (copied), or all but these. Each replaces what was said before. */
void firn_fake_allow(struct firn_fake_world *w, const uint64_t *ordinal, size_t count);
void firn_fake_forbid(struct firn_fake_world *w, const uint64_t *ordinal, size_t count);

#endif
