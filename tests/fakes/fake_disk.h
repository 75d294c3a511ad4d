/* The local disk of a machine of the fake world, behind env/disk.h. It belongs to the machine: a
 * node that firn_fake_node_restart makes finds what was there, and, after a reboot, loses what
 * disk.h says may be lost. What befalls it by chance: faults.disk_… of fake_env.h. */
#ifndef FIRN_TESTS_FAKES_FAKE_DISK_H
#define FIRN_TESTS_FAKES_FAKE_DISK_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_disk;
struct firn_fake_node;

/* The node's disk port; its files are named below the machine's only directory. */
const struct firn_disk *firn_fake_disk(struct firn_fake_node *n);
/* How many bytes of files fit on it; 0: any number. */
void firn_fake_disk_limit(struct firn_fake_node *n, uint64_t bytes);
/* Flip bits of one stored byte, for good. False: there is no such byte. */
bool firn_fake_disk_rot(struct firn_fake_node *n, const char *name, uint64_t offset, uint8_t mask);
/* What a file holds now; borrowed until it changes. False: there is none. */
bool firn_fake_disk_get(struct firn_fake_node *n, const char *name, struct firn_slice *body);

#endif
