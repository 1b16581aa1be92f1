#pragma once

#include "net/http_server.h"
#include "talk.h"

#define HOST "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

enum { TALKS = 24, BIG = 12 << 20 };

/* A server whose handler does what the path says; see on_request. */
struct scene {
    struct loop *loop;
    struct http_server *server;
    _Atomic uint32_t count;
    struct http_limits limits;
    struct talk talk[TALKS];
    size_t talks;

    struct task task;   /* handles wakes */
    struct timer later; /* answers a held connection */
    struct http_conn *held;
    uint64_t later_ms;
    unsigned woken; /* all wakes so far */
    unsigned wakes; /* not handled yet */
    size_t big_left;

    size_t heads;
    size_t requests;
    size_t faults;
    int fault_status;
    char fault_path[64];
    char fault_code[64];
    char body[256]; /* the start of the last one */
    size_t body_len;
    char query[64];
    size_t empties;
};

static inline struct http_reply text_reply(int status)
{
    return (struct http_reply){.status = status, .content_type = STR("text/plain")};
}

static inline void on_wake(void *user, unsigned what)
{
    struct scene *s = user;
    s->woken |= what;
    s->wakes |= what;
    task_ready(s->loop, &s->task);
}

static inline void send_big(struct scene *s)
{
    static char part[65536];
    memset(part, 'b', sizeof(part));
    while (s->held && s->big_left > 0 && http_reply_pending(s->held) == 0) {
        size_t size = s->big_left < sizeof(part) ? s->big_left : sizeof(part);
        struct http_conn *c = s->held;
        s->big_left -= size;
        if (s->big_left == 0) {
            s->held = NULL;
        }
        http_reply_data(c, &(struct str){part, size}, 1, s->big_left == 0);
    }
}

static inline void run_wakes(struct task *t)
{
    struct scene *s = container_of(t, struct scene, task);
    unsigned wakes = s->wakes;
    s->wakes = 0;
    if (s->held && (wakes & HTTP_GONE)) {
        struct http_conn *c = s->held;
        s->held = NULL;
        http_reply_abort(c, false);
    } else if (wakes & HTTP_DRAINED) {
        send_big(s);
    }
}

static inline void answer_later(struct timer *t)
{
    struct scene *s = container_of(t, struct scene, later);
    struct http_reply r = text_reply(200);
    struct http_conn *c = s->held;
    s->held = NULL;
    if (c) {
        http_reply_whole(c, &r, STR("late"));
    }
}

static inline void hold(struct scene *s, struct http_conn *c)
{
    CHECK(!s->held);
    s->held = c;
    http_conn_attach(c, on_wake, s);
}
