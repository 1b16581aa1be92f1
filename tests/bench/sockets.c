#include "bench/sockets.h"

#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void send_at_once(int fd)
{
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        err(EXIT_FAILURE, "TCP_NODELAY");
    }
}

int socket_listen(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in at = loopback(*port);
    socklen_t len = sizeof(at);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0) {
        err(EXIT_FAILURE, "cannot listen on 127.0.0.1:%u", *port);
    }
    *port = ntohs(at.sin_port);
    return fd;
}

int socket_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        send_at_once(fd);
    }
    return fd;
}

int socket_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = loopback(port);
    if (fd < 0) {
        err(EXIT_FAILURE, "socket");
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }
    send_at_once(fd);
    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
        err(EXIT_FAILURE, "O_NONBLOCK");
    }
    return fd;
}

void socket_watch(int epoll, int fd, void *owner)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                             .data.ptr = owner};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) != 0) {
        err(EXIT_FAILURE, "epoll_ctl");
    }
}

uint64_t number_option(const char *name, const char *text, uint64_t max)
{
    uint64_t n = 0;
    if (str_to_u64(str_from(text), max, &n) != ERR_OK) {
        errx(2, "--%s: a number up to %llu is wanted, not '%s'", name, (unsigned long long)max,
             text);
    }
    return n;
}
