/* The sockets port: listeners and byte streams, non-blocking, on the loop thread. */
#ifndef FIRN_ENV_NET_H
#define FIRN_ENV_NET_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_sock; /* one accepted connection, the adapter's */

/* The user's side of a connection. Set by the accept callback before it returns. */
struct firn_sock_user {
    /* Bytes arrived; borrowed for the call. */
    void (*data)(void *arg, const uint8_t *data, size_t len);
    /* After a short write: the socket takes bytes again. */
    void (*writable)(void *arg);
    /* The peer closed or the connection failed (never called after firn_sock_close). The user must
     * call firn_sock_close, now or later. */
    void (*closed)(void *arg);
    void *arg;
};

struct firn_listener {
    /* A connection came: fill `user` and return FIRN_OK, or anything else to have it closed. peer
     * is "ip:port"; loopback says whether it came from this machine. */
    enum firn_status (*accept)(void *arg, struct firn_sock *sock, const char *peer, bool loopback,
                               struct firn_sock_user *user);
    void *arg;
    void *priv; /* the adapter's */
};

struct firn_net_vt {
    /* Listen on a numeric address ("127.0.0.1", "::1") and port (0 = any free; *port_out says
     * which). On failure says why in err: INVALID (no address), ABSENT (not one
     * of this machine), DENIED, CONFLICT (in use). */
    enum firn_status (*listen)(void *ctx, const char *addr, uint16_t port, struct firn_listener *l,
                               uint16_t *port_out, struct firn_err *err);
    void (*unlisten)(void *ctx, struct firn_listener *l);
    /* Start or stop delivering data(); a new connection reads. */
    void (*read_set)(void *ctx, struct firn_sock *sock, bool on);
    /* Write what can be written now without waiting; returns the bytes taken. Fewer than len means
     * that writable() will be called. A failed socket takes all and calls closed() later. */
    size_t (*write)(void *ctx, struct firn_sock *sock, const void *data, size_t len);
    /* Close; sock is gone and no callback comes any more. Unsent bytes in the kernel are sent. */
    void (*close)(void *ctx, struct firn_sock *sock);
};

struct firn_net {
    const struct firn_net_vt *vt;
    void *ctx;
};

#endif
