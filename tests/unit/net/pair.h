#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "end.h"
#include "rig.h"

/* Two connections over loopback, plain or TLS. */

struct pair {
    struct loop *loop;
    struct end client;
    struct end server;
    int server_fd;
};

static inline int listen_on_loopback(struct sockaddr_in *name)
{
    socklen_t len = sizeof(*name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    *name = (struct sockaddr_in){.sin_family = AF_INET};
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)name, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)name, &len), 0);
    return fd;
}

static inline struct pair *pair_new(SSL_CTX *client_tls, const char *server_name,
                                    SSL_CTX *server_tls)
{
    struct pair *p = calloc(1, sizeof(*p));
    struct sockaddr_in name;
    assert_non_null(p);
    int listening = listen_on_loopback(&name);
    p->loop = loop_new();
    init_end(&p->client);
    init_end(&p->server);
    const struct conn_target target = {.address = (struct sockaddr *)&name,
                                       .address_len = sizeof(name),
                                       .tls = client_tls,
                                       .server_name = server_name};
    assert_int_equal(conn_connect(p->loop, &target, on_event, &p->client, &p->client.conn),
                     ERR_OK);
    p->server_fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(p->server_fd >= 0);
    p->server.conn = conn_accepted(p->loop, p->server_fd, server_tls, on_event, &p->server);
    close(listening);
    return p;
}

static inline void pair_free(struct pair *p)
{
    fini_end(&p->client);
    fini_end(&p->server);
    loop_free(&p->loop);
    free(p);
}

static inline void step(struct pair *p)
{
    turn(p->loop);
    if (p->server.conn) {
        pull(&p->server);
        push(&p->server);
    }
    if (p->client.conn && conn_connected(p->client.conn) == ERR_OK) {
        pull(&p->client);
        push(&p->client);
    }
}

/* How connecting ended. */
static inline enum err settle(struct pair *p)
{
    for (int i = 0; i < 2000; i++) {
        step(p);
        enum err e = conn_connected(p->client.conn);
        if (e != ERR_AGAIN) {
            return e;
        }
        usleep(200);
    }
    return ERR_AGAIN;
}

/* By the clock and not by steps: the kernel may hold back small writes for 40 ms. */
static inline bool step_until_read(struct pair *p, const struct end *e, size_t size)
{
    uint64_t limit_ms = clock_mono_ms() + 10000;
    while (e->in_len < size && clock_mono_ms() < limit_ms) {
        step(p);
    }
    return e->in_len == size;
}

static inline bool step_until_end(struct pair *p, const struct end *e)
{
    for (int i = 0; i < 2000 && e->in_end == ERR_OK; i++) {
        step(p);
        usleep(100);
    }
    return e->in_end != ERR_OK;
}

static inline void send_bytes(struct end *e, const char *bytes, size_t size)
{
    e->out = bytes;
    e->out_len = size;
    e->out_sent = 0;
    e->out_blocked = 0;
}
