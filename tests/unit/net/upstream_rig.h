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

#include "net/upstream.h"
#include "rig.h"

/* A server that listens on a loopback address, an upstream that points there, and one dial. */
struct rig {
    struct loop *loop;
    struct upstream *upstream;
    int listening;
    struct sockaddr_in name;
    struct dial *dial;
    int done_calls;
    enum err result;
    struct conn *conn;
    unsigned told;
};

static inline void on_event(void *owner, unsigned events)
{
    struct rig *r = owner;
    r->told |= events;
}

static inline void on_done(void *owner, enum err e, struct conn *c)
{
    struct rig *r = owner;
    r->done_calls++;
    r->result = e;
    r->conn = c;
    r->dial = NULL;
    if (c) {
        conn_set_owner(c, on_event, r);
    }
}

static inline int listen_at(struct sockaddr_in *name, int backlog)
{
    socklen_t len = sizeof(*name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    *name = (struct sockaddr_in){.sin_family = AF_INET};
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)name, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)name, &len), 0);
    return fd;
}

static inline struct upstream *make_upstream(struct rig *r, const char *host, SSL_CTX *tls)
{
    const struct upstream_conf conf = {.host = str_from(host),
                                       .port = ntohs(r->name.sin_port),
                                       .tls = tls,
                                       .idle_max = 3,
                                       .idle_ms = 4000,
                                       .age_ms = 300000};
    return upstream_new(r->loop, &conf);
}

static inline int make_rig(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    r->loop = loop_new();
    r->listening = listen_at(&r->name, 16);
    r->upstream = make_upstream(r, "127.0.0.1", NULL);
    *state = r;
    return 0;
}

static inline int free_rig(void **state)
{
    struct rig *r = *state;
    dial_cancel(&r->dial);
    conn_close(&r->conn);
    upstream_free(&r->upstream);
    loop_free(&r->loop);
    close(r->listening);
    free(r);
    return 0;
}

static inline void start(struct rig *r, uint64_t in_ms)
{
    r->done_calls = 0;
    r->dial = dial_start(r->upstream, loop_now_ms(r->loop) + in_ms, on_done, r);
}

static inline bool is_done(void *arg)
{
    const struct rig *r = arg;
    return r->done_calls > 0;
}

static inline enum err dial_to_the_end(struct rig *r)
{
    start(r, 1500);
    assert_int_equal(r->done_calls, 0); /* never from inside dial_start */
    assert_true(turn_until(r->loop, is_done, r));
    turn_times(r->loop, 3);
    assert_int_equal(r->done_calls, 1);
    assert_int_equal(r->result == ERR_OK, r->conn != NULL);
    return r->result;
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, make_rig, free_rig)
