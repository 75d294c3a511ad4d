/* Inside the main room.
 *   main_run.c    from settings to the running loop
 *   main_http.c   /metrics, /livez, /readyz and the console page
 *   main_host.c   what this machine gives: memory, a node's name, the service manager */
#ifndef FIRN_MAIN_MAIN_PRIV_H
#define FIRN_MAIN_MAIN_PRIV_H

#include "main/main_run.h"

/* --- main_http.c */
enum firn_status firn_main__http_open(struct firn_main *m, struct firn_err *err);

/* --- main_host.c */
/* Half of the memory this process may use: of the cgroup's limit or the machine's RAM. */
uint64_t firn_main__memory(void);
/* Make the directory if it is missing; settings.node_id is read from it or made up (and kept
 * there). */
enum firn_status firn_main__node_id(struct firn_main *m, struct firn_err *err);
/* Tell the service manager, if there is one (NOTIFY_SOCKET, sd_notify(3)). */
void firn_main__notify(const char *state);
/* CPU seconds, resident bytes, open descriptors of this process. */
void firn_main__process_metrics(struct firn_metrics_out *out);

#endif
