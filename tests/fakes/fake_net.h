/* The network of the fake world: nodes listen through env/net.h (env->net of a node), clients dial
 * them from client machines, numbered 0 … 63.
 *
 *     struct firn_fake_conn_user u = {.data = got, .closed = gone, .arg = me};
 *     struct firn_fake_conn *c = firn_fake_dial(w, 3, node, port, &u);
 *     firn_fake_send(c, "PING\r\n", 6);
 *     ... run the world: connected(), data() ..., closed() ...
 *     firn_fake_hang_up(c);
 *
 * Bytes keep their order within a connection; each way they take a while, and arrive in pieces.
 * What a node writes fills a window until the client has it; a node that does not read leaves bytes
 * where they are. A frozen node's kernel still takes connections and bytes, which wait; a suspended
 * one's does not. All callbacks are events of the world: a node's on its turns, a client's outside
 * of any node, none of them inside a call. What befalls connections by chance: faults.net_… of
 * fake_env.h. */
#ifndef FIRN_TESTS_FAKES_FAKE_NET_H
#define FIRN_TESTS_FAKES_FAKE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_fake_world;
struct firn_fake_node;
struct firn_fake_conn; /* the client's end of a connection */

#define FIRN_FAKE_CLIENTS_MAX 64
/* Instead of a client machine: dial from the node's own; never split off. */
#define FIRN_FAKE_LOCAL FIRN_FAKE_CLIENTS_MAX

enum firn_fake_end {
    FIRN_FAKE_END_REFUSED, /* nobody listens there */
    FIRN_FAKE_END_CLOSED,  /* the node closed it, after the bytes before that */
    FIRN_FAKE_END_RESET,   /* the connection broke; bytes under way may be lost, either way */
};

struct firn_fake_conn_user {
    void (*connected)(void *arg);                             /* NULL: does not matter */
    void (*data)(void *arg, const uint8_t *data, size_t len); /* borrowed for the call */
    /* It is over; the conn is gone when this returns, and must not be hung up. Nothing at all comes
     * from a machine that fell silent or is split off: clients need time limits of their own. */
    void (*closed)(void *arg, enum firn_fake_end how);
    void *arg;
};

/* Open a connection to a port of the node (0: the one it listened on first). *u is copied. */
struct firn_fake_conn *firn_fake_dial(struct firn_fake_world *w, unsigned client,
                                      struct firn_fake_node *n, uint16_t port,
                                      const struct firn_fake_conn_user *u);
/* Send bytes (copied), also before connected(). The client's side takes as much as it is given. */
void firn_fake_send(struct firn_fake_conn *c, const void *data, size_t len);
/* Stop taking bytes from the connection, or go on: a slow client. */
void firn_fake_conn_read(struct firn_fake_conn *c, bool on);
/* End it from the client's side: no callback any more, c is gone. The node gets all that was sent,
 * then the end. */
void firn_fake_hang_up(struct firn_fake_conn *c);
/* The same with a reset: of what was sent all, or nothing that is still under way, arrives. */
void firn_fake_reset(struct firn_fake_conn *c);
/* The node this connection leads to. */
struct firn_fake_node *firn_fake_conn_node(const struct firn_fake_conn *c);

/* Nothing passes between the node and these client machines (bit i: machine i) from now on; the
 * mask replaces the one before, 0 mends all. What was under way waits. The store is not concerned.
 */
void firn_fake_net_split(struct firn_fake_node *n, uint64_t clients);
/* The port the node listens on, the first of them; 0: none. */
uint16_t firn_fake_port(const struct firn_fake_node *n);
/* Connections that somebody still holds an end of. */
size_t firn_fake_conns(const struct firn_fake_world *w);

#endif
