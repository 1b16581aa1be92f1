#pragma once

#include "server_state.h"

/* Answers by path. */

static inline bool path_is(const struct http_conn *c, const char *path)
{
    return str_eq(http_conn_request(c)->path, str_from(path));
}

static inline void on_head(void *owner, struct http_conn *c)
{
    struct scene *s = owner;
    struct http_reply r = text_reply(401);
    s->heads++;
    memset(loop_scratch(s->loop), '#', LOOP_SCRATCH); /* as a read would */
    if (path_is(c, "/early")) {
        http_reply_whole(c, &r, STR("no key"));
    } else if (path_is(c, "/early-stream")) {
        r.is_stream = true;
        http_reply_begin(c, &r);
        http_reply_data(c, &STR("no"), 1, false);
        hold(s, c);
    } else if (path_is(c, "/attached")) {
        hold(s, c);
    }
}

static inline void stream_two(struct http_conn *c)
{
    struct http_reply r = text_reply(200);
    r.is_stream = true;
    r.extra = STR("X-Extra: yes\r\n");
    struct str parts[] = {STR("one"), STR("-"), STR("two")};
    http_reply_begin(c, &r);
    http_reply_data(c, parts, 3, false);
    http_reply_data(c, NULL, 0, false);
    http_reply_data(c, &STR("three"), 1, true);
}

static inline void open_stream(struct scene *s, struct http_conn *c)
{
    struct http_reply r = text_reply(200);
    r.is_stream = true;
    http_reply_begin(c, &r);
    http_reply_data(c, &STR("begun"), 1, false);
    hold(s, c);
}

static inline void start_big(struct scene *s, struct http_conn *c)
{
    struct http_reply r = text_reply(200);
    r.length = BIG;
    s->big_left = BIG;
    http_reply_begin(c, &r);
    hold(s, c);
    send_big(s);
}

static inline void many_parts(struct http_conn *c)
{
    struct http_reply r = text_reply(200);
    struct str parts[150];
    for (size_t i = 0; i < 150; i++) {
        parts[i] = str_of(&"0123456789"[i % 10], 1);
    }
    r.length = 150;
    http_reply_begin(c, &r);
    http_reply_data(c, parts, 150, true);
}

static inline void break_off(struct http_conn *c, bool polite)
{
    struct http_reply r = text_reply(200);
    r.is_stream = true;
    http_reply_begin(c, &r);
    http_reply_data(c, &STR("half"), 1, false);
    http_reply_abort(c, polite);
}

static inline void echo(struct http_conn *c)
{
    struct http_reply r = text_reply(200);
    r.close = path_is(c, "/close");
    if (path_is(c, "/empty")) {
        r.status = 204;
    }
    http_reply_whole(c, &r, http_conn_body(c));
}

static inline void note_request(struct scene *s, struct http_conn *c)
{
    struct str body = http_conn_body(c);
    s->requests++;
    s->body_len = body.len;
    snprintf(s->body, sizeof(s->body), "%.*s", body.len < 200 ? (int)body.len : 200, body.ptr);
    snprintf(s->query, sizeof(s->query), "%.*s", STR_FMT(http_conn_request(c)->query));
}

static inline void on_request(void *owner, struct http_conn *c)
{
    struct scene *s = owner;
    note_request(s, c);
    if (path_is(c, "/stream")) {
        stream_two(c);
    } else if (path_is(c, "/later")) {
        hold(s, c);
        timer_arm(s->loop, &s->later, loop_now_ms(s->loop) + s->later_ms);
    } else if (path_is(c, "/open")) {
        open_stream(s, c);
    } else if (path_is(c, "/silence")) {
        hold(s, c);
    } else if (path_is(c, "/big")) {
        start_big(s, c);
    } else if (path_is(c, "/parts")) {
        many_parts(c);
    } else if (path_is(c, "/cut")) {
        break_off(c, false);
    } else if (path_is(c, "/polite")) {
        break_off(c, true);
    } else {
        echo(c);
    }
}

static inline void on_fault(void *owner, struct http_conn *c, int status, const char *code,
                            const char *why)
{
    struct scene *s = owner;
    struct http_reply r = text_reply(status);
    CHECK(why && why[0] != '\0');
    s->faults++;
    s->fault_status = status;
    s->held = NULL;
    snprintf(s->fault_path, sizeof(s->fault_path), "%.*s", STR_FMT(http_conn_request(c)->path));
    snprintf(s->fault_code, sizeof(s->fault_code), "%s", code);
    http_reply_whole(c, &r, str_from(code));
}
