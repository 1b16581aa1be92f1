#pragma once

#include <cmocka.h>

#include "loopback.h"
#include "rig.h"
#include "server_handler.h"

static inline void open_scene(struct scene *s)
{
    *s = (struct scene){.limits = {.header_bytes = 1000,
                                   .body_bytes = 8 << 20,
                                   .connections = 100,
                                   .header_ms = 20000,
                                   .body_ms = 20000,
                                   .idle_ms = 20000,
                                   .send_ms = 20000},
                        .later_ms = 15};
    s->loop = loop_new();
    task_init(&s->task, run_wakes);
    timer_init(&s->later, answer_later);
}

static inline void start_server(struct scene *s)
{
    struct http_handler h = {
        .owner = s, .on_head = on_head, .on_request = on_request, .on_fault = on_fault};
    s->server = http_server_new(s->loop, &s->limits, &h, NULL, &s->count);
}

/* A connected client, which begins to play; the server's end is accepted. `stops`: see talk.h.
 */
static inline struct talk *add_client(struct scene *s, const struct talk_line *lines,
                                      struct loop *stops)
{
    struct talk *t = &s->talk[s->talks++];
    int fd = -1;
    int served = loopback_pair(&fd);
    *t = (struct talk){.listener = -1, .stops = stops};
    talk_fresh_socket(t, fd);
    http_server_accept(s->server, served);
    talk_start(t, lines);
    return t;
}

static inline void note_empty(void *arg)
{
    struct scene *s = arg;
    s->empties++;
    loop_stop(s->loop);
}

static inline void close_scene(struct scene *s)
{
    for (size_t i = 0; i < s->talks; i++) {
        talk_join(&s->talk[i]);
    }
    http_server_cut(s->server);
    http_server_drain(s->server, note_empty, s);
    loop_run(s->loop);
    assert_int_equal(s->count, 0);
    assert_int_equal(http_server_connections(s->server), 0);
    http_server_free(&s->server);
    assert_null(s->server);
    timer_drop(s->loop, &s->later);
    loop_free(&s->loop);
    for (size_t i = 0; i < s->talks; i++) {
        talk_fini(&s->talk[i]);
    }
}

/* One client, from its first line to its last. */
static inline struct talk *play(struct scene *s, const struct talk_line *lines)
{
    struct talk *t = add_client(s, lines, s->loop);
    loop_run(s->loop);
    return t;
}

static inline bool has(const struct talk *t, const char *text)
{
    return strstr(t->heard, text) != NULL;
}

static inline size_t times(const struct talk *t, const char *text)
{
    size_t n = 0;
    for (const char *at = strstr(t->heard, text); at; at = strstr(at + 1, text)) {
        n++;
    }
    return n;
}

/* Turns the loop until all connections are gone. */
static inline void turn_until_empty(struct scene *s)
{
    while (http_server_connections(s->server) > 0) {
        turn(s->loop);
    }
}
