/* Shared by the files of the command table. */
#ifndef FIRN_RESP_COMMAND_PRIV_H
#define FIRN_RESP_COMMAND_PRIV_H

#include "resp/command.h"

#define FIRN_CATEGORIES 14

/* Categories with those that follow from the flags, as a set over firn_command__categories. */
unsigned firn_command__category_set(const struct firn_command *cmd);
/* "keyspace", "read", … in the order of the set's bits. */
extern const char *const firn_command__categories[FIRN_CATEGORIES];

/* Is the text of cmd->args well formed? */
bool firn_command__args_ok(const char *args);
/* COMMAND DOCS of argv[2…]. */
void firn_command__docs(struct firn_registry *g, struct firn_reply *r, size_t argc,
                        const struct firn_slice *argv);

#endif
