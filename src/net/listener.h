#pragma once

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"
#include "wire/url.h"

/*
 * Listening sockets. TCP listeners of several workers share an address by SO_REUSEPORT; a unix
 * socket is opened once and shared. When descriptors run out, accepting pauses (no spin), a
 * reserve descriptor serves to refuse what waits, and accepting goes on once descriptors are
 * free again.
 */

/* Opens and binds, non-blocking. *why for people. ERR_BUSY when the address is in use. */
NODISCARD enum err listen_open(const struct address *a, int *fd, const char **why);

/* The same for the first listener of this process on an address: ERR_BUSY also when another
 * process would share it. */
NODISCARD enum err listen_open_alone(const struct address *a, int *fd, const char **why);

/* The bound address as text ("127.0.0.1:8400"), port filled in where 0 was asked. */
void listen_name(int fd, char *out, size_t size);

struct listener;

/* Watches fd (duplicated) on this loop; on_accept gets each new socket (non-blocking,
 * close-on-exec). */
struct listener *listener_start(struct loop *l, int fd, void (*on_accept)(void *owner, int fd),
                                void *owner);
/* Accepts all that wait now: their clients believe that they are connected. Before a stop that
 * is to lose nobody. */
void listener_take_waiting(struct listener *ln);

/* Stops accepting; what waits in the backlog of the last closed descriptor is refused by the
 * kernel. */
void listener_stop(struct listener **ln);
