#pragma once

#include "loopback.h"
#include "net/http_call.h"
#include "talk.h"

#define CALL_GET "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"

/* One call at a time to a scripted server, and what came of it. */
struct scene {
    struct loop *loop;
    struct upstream *upstream;
    struct talk peer;
    struct task task;
    struct task resume;
    struct timer later;
    struct http_call *call;
    struct str request;
    const struct rope *body;
    size_t head_max;
    uint64_t connect_ms;
    bool pauses; /* after each piece, for 5 ms */

    enum err head_end;
    enum err body_end;
    int status;
    char value[64]; /* of the header X */
    char *got;
    size_t got_len;
    size_t pieces;
    bool was_sent;
};

static inline void on_notify(void *owner)
{
    struct scene *s = owner;
    task_ready(s->loop, &s->task);
}

static inline void take_piece(struct scene *s, struct str piece)
{
    s->got = mem_resize(s->got, s->got_len + piece.len + 1);
    memcpy(s->got + s->got_len, piece.ptr, piece.len);
    s->got_len += piece.len;
    s->got[s->got_len] = '\0';
    s->pieces++;
}

/* What another user of the loop would do between two of our reads. */
static inline void spoil_scratch(struct scene *s)
{
    memset(loop_scratch(s->loop), '#', LOOP_SCRATCH);
}

static inline void pull_body(struct scene *s)
{
    struct str piece;
    s->body_end = http_call_body(s->call, &piece);
    while (s->body_end == ERR_OK) {
        take_piece(s, piece);
        spoil_scratch(s);
        if (s->pauses) {
            http_call_pause(s->call);
            timer_arm(s->loop, &s->later, loop_now_ms(s->loop) + 5);
            s->body_end = ERR_AGAIN;
            return;
        }
        s->body_end = http_call_body(s->call, &piece);
    }
    s->was_sent = http_call_is_sent(s->call);
    if (s->body_end != ERR_AGAIN) {
        enum err again = http_call_body(s->call, &piece);
        CHECK(again == s->body_end);
    }
}

static inline void run(struct task *t)
{
    struct scene *s = container_of(t, struct scene, task);
    const struct http_response *head = NULL;
    if (!s->call) {
        return;
    }
    s->head_end = http_call_head(s->call, &head);
    spoil_scratch(s);
    if (s->head_end == ERR_OK) {
        s->status = head->status;
        struct str x = http_find(head->header, head->header_count, "X");
        snprintf(s->value, sizeof(s->value), "%.*s", STR_FMT(x));
        pull_body(s);
    }
    bool is_over = s->head_end == ERR_OK ? s->body_end != ERR_AGAIN : s->head_end != ERR_AGAIN;
    if (is_over) {
        loop_stop(s->loop);
    }
}

static inline void on_later(struct timer *t)
{
    struct scene *s = container_of(t, struct scene, later);
    task_ready(s->loop, &s->resume);
}

static inline void run_resume(struct task *t)
{
    struct scene *s = container_of(t, struct scene, resume);
    http_call_resume(s->call);
}

static inline void open_scene(struct scene *s, const struct talk_line *lines)
{
    uint16_t port = 0;
    *s = (struct scene){.request = STR(CALL_GET), .head_max = 65536, .connect_ms = 2000};
    s->loop = loop_new();
    s->peer = (struct talk){.listener = loopback_listener(&port), .fd = -1};
    struct upstream_conf conf = {.host = STR("127.0.0.1"),
                                 .port = port,
                                 .idle_max = 4,
                                 .idle_ms = 4000,
                                 .age_ms = 300000};
    s->upstream = upstream_new(s->loop, &conf);
    task_init(&s->task, run);
    task_init(&s->resume, run_resume);
    timer_init(&s->later, on_later);
    talk_start(&s->peer, lines);
}

static inline void begin_call(struct scene *s)
{
    struct http_call_conf conf = {.upstream = s->upstream,
                                  .head = s->request,
                                  .body = s->body,
                                  .connect_due_ms = loop_now_ms(s->loop) + s->connect_ms,
                                  .head_max = s->head_max,
                                  .notify = on_notify,
                                  .owner = s};
    free(s->got);
    s->got = mem_alloc(1);
    s->got_len = 0;
    s->pieces = 0;
    s->head_end = ERR_AGAIN;
    s->body_end = ERR_AGAIN;
    s->status = 0;
    s->call = http_call_open(s->loop, &conf);
}

static inline void call(struct scene *s)
{
    begin_call(s);
    loop_run(s->loop);
    http_call_close(&s->call);
}

static inline void close_scene(struct scene *s)
{
    http_call_close(&s->call);
    upstream_free(&s->upstream);
    talk_join(&s->peer);
    talk_fini(&s->peer);
    timer_drop(s->loop, &s->later);
    loop_free(&s->loop);
    free(s->got);
}
