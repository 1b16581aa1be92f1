#pragma once

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop.h"

/*
 * The other side of a connection in tests: a thread that plays a script on a blocking loopback
 * socket and writes down what it hears. It asserts nothing; the test does, when it has ended.
 */

enum talk_op {
    TALK_END,
    TALK_ACCEPT, /* waits for a connection (servers) */
    TALK_SAY,    /* text */
    TALK_DRIP,   /* text, byte by byte */
    TALK_FLOOD,  /* number bytes 'x' */
    TALK_HEAR,   /* reads until text has come, after what was heard before */
    TALK_ALL,    /* reads to the end */
    TALK_WAIT,   /* number ms */
    TALK_FIN,    /* ends sending */
    TALK_CLOSE,
    TALK_RST
};

struct talk_line {
    enum talk_op op;
    const char *text;
    size_t number;
};

enum talk_ending { TALK_OPEN, TALK_FINISHED, TALK_RESET, TALK_TIMEOUT };

struct talk {
    const struct talk_line *lines;
    struct loop *stops; /* stopped at the end of the script; may be NULL */
    int listener;       /* -1: none */
    int fd;             /* -1: none */
    pthread_t thread;
    char *heard; /* NUL-terminated */
    size_t len;
    size_t seen; /* of it, by TALK_HEAR */
    enum talk_ending ending;
    size_t accepted;
};

static void talk_fresh_socket(struct talk *t, int fd)
{
    int on = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    t->fd = fd;
    t->ending = TALK_OPEN;
}

static void talk_send(struct talk *t, const char *text, size_t len)
{
    while (len > 0) {
        struct pollfd p = {.fd = t->fd, .events = POLLOUT};
        if (poll(&p, 1, 3000) != 1) {
            t->ending = TALK_TIMEOUT;
            return;
        }
        ssize_t n = send(t->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            continue;
        }
        if (n < 0) {
            return; /* reading tells how it ended */
        }
        text += n;
        len -= (size_t)n;
    }
}

/* One read; false at any end. */
static bool talk_listen(struct talk *t)
{
    char part[65536];
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    if (poll(&p, 1, 3000) != 1) {
        t->ending = TALK_TIMEOUT;
        return false;
    }
    ssize_t n = recv(t->fd, part, sizeof(part), 0);
    if (n <= 0) {
        t->ending = n == 0 ? TALK_FINISHED : TALK_RESET;
        return false;
    }
    t->heard = mem_resize(t->heard, t->len + (size_t)n + 1);
    memcpy(t->heard + t->len, part, (size_t)n);
    t->len += (size_t)n;
    t->heard[t->len] = '\0';
    return true;
}

static void talk_hear(struct talk *t, const char *text)
{
    const char *found = strstr(t->heard + t->seen, text);
    while (!found && talk_listen(t)) {
        found = strstr(t->heard + t->seen, text);
    }
    if (found) {
        t->seen = (size_t)(found - t->heard) + strlen(text);
    }
}

static void talk_flood(struct talk *t, size_t size)
{
    char part[16384];
    memset(part, 'x', sizeof(part));
    while (size > 0 && t->ending == TALK_OPEN) {
        size_t n = size < sizeof(part) ? size : sizeof(part);
        talk_send(t, part, n);
        size -= n;
    }
}

static void talk_hang_up(struct talk *t, bool reset)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (t->fd >= 0 && reset) {
        CHECK(setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
    }
    if (t->fd >= 0) {
        close(t->fd);
    }
    t->fd = -1;
}

static void talk_accept(struct talk *t)
{
    struct pollfd p = {.fd = t->listener, .events = POLLIN};
    talk_hang_up(t, false);
    if (poll(&p, 1, 3000) != 1) {
        t->ending = TALK_TIMEOUT;
        return;
    }
    int fd = accept(t->listener, NULL, NULL);
    CHECK(fd >= 0);
    t->accepted++;
    talk_fresh_socket(t, fd);
}

static void talk_play(struct talk *t, const struct talk_line *line)
{
    switch (line->op) {
    case TALK_END:
        break;
    case TALK_ACCEPT:
        talk_accept(t);
        break;
    case TALK_SAY:
        talk_send(t, line->text, strlen(line->text));
        break;
    case TALK_DRIP:
        for (const char *at = line->text; *at; at++) {
            talk_send(t, at, 1);
            usleep(100);
        }
        break;
    case TALK_FLOOD:
        talk_flood(t, line->number);
        break;
    case TALK_HEAR:
        talk_hear(t, line->text);
        break;
    case TALK_ALL:
        while (talk_listen(t)) {
        }
        break;
    case TALK_WAIT:
        usleep((useconds_t)line->number * 1000);
        break;
    case TALK_FIN:
        shutdown(t->fd, SHUT_WR);
        break;
    case TALK_CLOSE:
    case TALK_RST:
        talk_hang_up(t, line->op == TALK_RST);
        break;
    }
}

static void *talk_run(void *arg)
{
    struct talk *t = arg;
    for (const struct talk_line *line = t->lines; line->op != TALK_END; line++) {
        talk_play(t, line);
    }
    if (t->stops) {
        loop_stop(t->stops);
    }
    return NULL;
}

static void talk_start(struct talk *t, const struct talk_line *lines)
{
    t->lines = lines;
    t->heard = mem_alloc(1);
    CHECK(pthread_create(&t->thread, NULL, talk_run, t) == 0);
}

/* Waits for the script's end. */
static void talk_join(struct talk *t)
{
    CHECK(pthread_join(t->thread, NULL) == 0);
    talk_hang_up(t, false);
}

static void talk_fini(struct talk *t)
{
    free(t->heard);
    if (t->listener >= 0) {
        close(t->listener);
    }
}

/* A listening socket on loopback; *port is the kernel's choice. */
static int talk_listener(uint16_t *port)
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
