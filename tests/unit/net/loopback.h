#pragma once

#include <stdint.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/check.h"

/* Sockets on 127.0.0.1 for tests. */

/* A listening socket on loopback; *port is the kernel's choice. */
static inline int loopback_listener(uint16_t *port)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&name, len) == 0);
    CHECK(listen(fd, 16) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&name, &len) == 0);
    *port = ntohs(name.sin_port);
    return fd;
}

/* A pair of connected sockets: *client blocks, the returned one, as accepted, does not. */
static inline int loopback_pair(int *client)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    uint16_t port = 0;
    int listener = loopback_listener(&port);
    to.sin_port = htons(port);
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(*client, (struct sockaddr *)&to, sizeof(to)) == 0);
    int served = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(served >= 0);
    close(listener);
    return served;
}
