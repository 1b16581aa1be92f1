#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "net/conn.h"
#include "net/loop.h"

/*
 * Sockets without a kernel: sim_conn.c takes the place of net/conn.c and net/listener.c, so
 * that everything above (dials, pools, HTTP on both sides) is the real code. What stands at the
 * other end of a connection is a script with a `sim_end`.
 *
 *      gateway: struct conn          script: struct sim_end
 *        conn_read   ◀── arrived ◀──── sim_end_send, _finish, _close
 *        conn_write  ──────▶ on_bytes (at most `room` bytes; sim_end_room gives more)
 *        conn_close, conn_abort, conn_shutdown_write ──▶ on_end
 *
 * Readiness is level-triggered, as epoll's is. What was sent before a reset can still be read.
 * on_bytes and on_end are called from inside the gateway's own calls: they record and schedule
 * only.
 */

enum sim_end_kind {
    SIM_SHUT,   /* the gateway sends no more, and still reads */
    SIM_CLOSED, /* closed on both sides */
    SIM_RESET   /* and what was on its way is lost */
};

struct sim_end {
    struct conn *conn; /* NULL: the gateway has closed, or the script has */
    void (*on_bytes)(struct sim_end *e, struct str bytes);
    void (*on_end)(struct sim_end *e, enum sim_end_kind kind);
};

void sim_end_send(struct sim_end *e, struct str bytes);
void sim_end_finish(struct sim_end *e);               /* sends no more, still reads */
void sim_end_close(struct sim_end *e, bool is_reset); /* no callback any more */
void sim_end_room(struct sim_end *e, size_t size);    /* takes so many bytes more */
void sim_end_limit(struct sim_end *e, size_t size);   /* takes so many bytes from now on */

size_t sim_end_unread(const struct sim_end *e); /* sent, but not read by the gateway */

/* Who answers connects of the gateway. `connect` decides: ERR_OK or an error after *after_ms
 * (an error after 0 ms comes from the call itself), ERR_AGAIN for never. `open` gives the other
 * end, which takes all that is written until the script limits it. */
struct sim_network {
    void *owner;
    enum err (*connect)(void *owner, uint16_t port, uint32_t *after_ms);
    struct sim_end *(*open)(void *owner, uint16_t port);
};
void sim_network_set(const struct sim_network *network);

/* A client connects to a loop's listener: the gateway gets `e` as its other end. False when
 * nobody listens there. */
bool sim_connect_to(struct loop *l, struct sim_end *e);

/* Connections and listeners that the gateway has open. */
size_t sim_conns_open(void);

enum { SIM_ROOM_ALL = 1 << 30 };
