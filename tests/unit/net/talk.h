#pragma once

#include <errno.h>
#include <poll.h>
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
#include "talk_script.h"

/*
 * The other side of a connection in tests: a thread that plays a script on a blocking loopback
 * socket and writes down what it hears. It asserts nothing; the test does, when it has ended.
 */

/* Without a byte; longer than a busy machine lets the other side wait. */
enum { TALK_LIMIT_MS = 20000 };

static inline void talk_fresh_socket(struct talk *t, int fd)
{
    int on = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    t->fd = fd;
    t->ending = TALK_OPEN;
}

static inline void talk_send(struct talk *t, const char *text, size_t len)
{
    while (len > 0) {
        struct pollfd p = {.fd = t->fd, .events = POLLOUT};
        if (poll(&p, 1, TALK_LIMIT_MS) != 1) {
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
        t->sent += (size_t)n;
    }
}

/* One read; false at any end. */
static inline bool talk_listen(struct talk *t)
{
    char part[65536];
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    if (poll(&p, 1, TALK_LIMIT_MS) != 1) {
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

static inline void talk_hear(struct talk *t, const char *text)
{
    const char *found = strstr(t->heard + t->seen, text);
    while (!found && talk_listen(t)) {
        found = strstr(t->heard + t->seen, text);
    }
    if (found) {
        t->seen = (size_t)(found - t->heard) + strlen(text);
    }
}

static inline void talk_flood(struct talk *t, size_t size)
{
    char part[16384];
    memset(part, 'x', sizeof(part));
    while (size > 0 && t->ending == TALK_OPEN) {
        size_t n = size < sizeof(part) ? size : sizeof(part);
        talk_send(t, part, n);
        size -= n;
    }
}

static inline void talk_hang_up(struct talk *t, bool reset)
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

static inline void talk_accept(struct talk *t)
{
    struct pollfd p = {.fd = t->listener, .events = POLLIN};
    talk_hang_up(t, false);
    if (poll(&p, 1, TALK_LIMIT_MS) != 1) {
        t->ending = TALK_TIMEOUT;
        return;
    }
    int fd = accept(t->listener, NULL, NULL);
    CHECK(fd >= 0);
    t->accepted++;
    talk_fresh_socket(t, fd);
}

static inline void talk_play(struct talk *t, const struct talk_line *line)
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

static inline void *talk_run(void *arg)
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

static inline void talk_start(struct talk *t, const struct talk_line *lines)
{
    t->lines = lines;
    t->heard = mem_alloc(1);
    CHECK(pthread_create(&t->thread, NULL, talk_run, t) == 0);
}

/* Waits for the script's end. */
static inline void talk_join(struct talk *t)
{
    CHECK(pthread_join(t->thread, NULL) == 0);
    talk_hang_up(t, false);
}

static inline void talk_fini(struct talk *t)
{
    free(t->heard);
    if (t->listener >= 0) {
        close(t->listener);
    }
}
