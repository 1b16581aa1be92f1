#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "bench/sockets.h"

/*
 * The least that a process between a client and a backend can cost: bytes go on as they come,
 * one thread, nothing is looked at. Each connection of a client has one of its own to the
 * target. What a gateway costs above this is what it does.
 *
 *   relay --target PORT [--port PORT]      prints "listening PORT" and runs until it is killed
 */

enum { BATCH = 256, READ_BYTES = 65536 };

struct pair;

struct end {
    int fd;
    struct pair *pair;
    char *late; /* read from the other end and not taken here yet; NULL: nothing */
    size_t late_len;
    size_t late_sent;
};

struct pair {
    struct end ends[2];
    bool is_over;
    struct pair *next_over; /* freed when the turn is over: both ends may have an event in it */
};

struct relay {
    int epoll;
    int listener;
    uint16_t target;
    struct pair *over;
};

static struct end *other(struct end *e)
{
    return e == &e->pair->ends[0] ? &e->pair->ends[1] : &e->pair->ends[0];
}

static void end_pair(struct relay *r, struct pair *p)
{
    if (p->is_over) {
        return;
    }
    p->is_over = true;
    p->next_over = r->over;
    r->over = p;
    close(p->ends[0].fd);
    close(p->ends[1].fd);
}

static void free_over(struct relay *r)
{
    while (r->over) {
        struct pair *p = r->over;
        r->over = p->next_over;
        free(p->ends[0].late);
        free(p->ends[1].late);
        free(p);
    }
}

/* What of `bytes` was sent; SIZE_MAX when the connection is gone. */
static size_t send_some(int fd, const char *bytes, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        ssize_t n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN ? sent : SIZE_MAX;
        }
        sent += (size_t)n;
    }
    return sent;
}

/* True when nothing waits here any more, so that the other end may be read. */
static bool flush(struct relay *r, struct end *e)
{
    if (!e->late) {
        return true;
    }
    size_t n = send_some(e->fd, e->late + e->late_sent, e->late_len - e->late_sent);
    if (n == SIZE_MAX) {
        end_pair(r, e->pair);
        return false;
    }
    e->late_sent += n;
    if (e->late_sent < e->late_len) {
        return false;
    }
    free(e->late);
    e->late = NULL;
    return true;
}

static void keep(struct end *e, const char *bytes, size_t len)
{
    e->late = malloc(len);
    CHECK(e->late != NULL);
    memcpy(e->late, bytes, len);
    e->late_len = len;
    e->late_sent = 0;
}

/* Reads `from` until there is no more, or the other end takes no more. */
static void pump(struct relay *r, struct end *from, bool has_ended)
{
    static char room[READ_BYTES];
    struct end *to = other(from);
    while (!from->pair->is_over && flush(r, to)) {
        ssize_t n = recv(from->fd, room, sizeof(room), 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN) {
                end_pair(r, from->pair);
            }
            return;
        }
        size_t sent = send_some(to->fd, room, (size_t)n);
        if (sent == SIZE_MAX) {
            end_pair(r, from->pair);
        } else if (sent < (size_t)n) {
            keep(to, room + sent, (size_t)n - sent);
        }
        if ((size_t)n < sizeof(room) && !has_ended) {
            return;
        }
    }
}

static void accept_all(struct relay *r)
{
    for (int fd = socket_accept(r->listener); fd >= 0; fd = socket_accept(r->listener)) {
        int to = socket_connect(r->target);
        if (to < 0) {
            close(fd);
            continue;
        }
        struct pair *p = calloc(1, sizeof(*p));
        CHECK(p != NULL);
        p->ends[0] = (struct end){.fd = fd, .pair = p};
        p->ends[1] = (struct end){.fd = to, .pair = p};
        socket_watch(r->epoll, fd, &p->ends[0]);
        socket_watch(r->epoll, to, &p->ends[1]);
    }
}

static void take_event(struct relay *r, struct end *e, unsigned what)
{
    if ((what & EPOLLOUT) && !e->pair->is_over && e->late && flush(r, e)) {
        pump(r, other(e), false); /* it waited for this */
    }
    if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !e->pair->is_over) {
        pump(r, e, what & EPOLLRDHUP);
    }
}

static void read_options(int argc, char **argv, uint16_t *port, uint16_t *target)
{
    static const struct option LIST[] = {{"port", required_argument, NULL, 'p'},
                                         {"target", required_argument, NULL, 't'},
                                         {NULL, 0, NULL, 0}};
    for (int which = getopt_long(argc, argv, "", LIST, NULL); which != -1;
         which = getopt_long(argc, argv, "", LIST, NULL)) {
        if (which == 'p') {
            *port = (uint16_t)number_option("port", optarg, UINT16_MAX);
        } else if (which == 't') {
            *target = (uint16_t)number_option("target", optarg, UINT16_MAX);
        } else {
            errx(2, "usage: relay --target PORT [--port PORT]");
        }
    }
    if (*target == 0) {
        errx(2, "usage: relay --target PORT [--port PORT]");
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[BATCH];
    struct relay r = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    uint16_t port = 0;
    read_options(argc, argv, &port, &r.target);
    r.listener = socket_listen(&port);
    socket_watch(r.epoll, r.listener, NULL);
    printf("listening %u\n", port);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(r.epoll, events, BATCH, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                take_event(&r, events[i].data.ptr, events[i].events);
            } else {
                accept_all(&r);
            }
        }
        free_over(&r);
    }
}
