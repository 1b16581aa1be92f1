#pragma once

#include <stdint.h>

/*
 * Loopback TCP for the bench's own programs. What fails here ends the program with a line that
 * says why: there is nothing to measure then.
 */

/* A listening, non-blocking socket on 127.0.0.1; port 0 picks a free one. *port says which it
 * is. */
int socket_listen(uint16_t *port);

/* The next connection, non-blocking and without Nagle's delay; -1 when there is none now. */
int socket_accept(int listener);

/* Connected to 127.0.0.1, then non-blocking and without Nagle's delay. -1 with errno when
 * refused. */
int socket_connect(uint16_t port);

/* Watches fd for reading and writing, edge-triggered, so that no later change costs a system
 * call. */
void socket_watch(int epoll, int fd, void *owner);

/* A number given on the command line, at most `max`; ends the program when it is none. */
uint64_t number_option(const char *name, const char *text, uint64_t max);
