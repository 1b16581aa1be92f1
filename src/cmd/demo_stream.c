#include "cmd/demo_stream.h"

#include <stdio.h>

#include "cmd/escape.h"
#include "cmd/fetch.h"
#include "wire/json.h"
#include "wire/sse.h"

enum { EVENT_MAX = 1024 * 1024 };

struct listening {
    const struct demo_stream_conf *conf;
    struct demo_stream *out;
    struct arena *arena;
    struct sse_decoder events;
};

/* The member's text, escaped; empty where it is none. */
static struct str shown_text(struct str object, const char *key, struct arena *a)
{
    struct str text;
    return json_text(json_get(object, key), a, &text) == ERR_OK ? escape_text(a, text, "")
                                                                : STR("");
}

static void take_event(struct listening *l, struct str payload)
{
    struct str content;
    size_t at = 0;
    if (str_eq(payload, STR("[DONE]"))) {
        l->out->has_done = true;
        return;
    }
    if (json_check(payload, &at) != ERR_OK) {
        return;
    }
    struct str error = json_get(json_value(payload), "error");
    if (json_type_of(error) == JSON_OBJECT) {
        l->out->error = shown_text(error, "code", l->arena);
        l->out->message = shown_text(error, "message", l->arena);
        return;
    }
    struct str choice = json_path(json_value(payload), "choices", "0", NULL);
    if (json_type_of(json_get(choice, "finish_reason")) == JSON_STRING) {
        l->out->has_finish_reason = true;
        l->out->backend = shown_text(json_value(payload), "_backend", l->arena);
        l->out->is_resumed = str_eq(json_get(json_value(payload), "_resumed"), STR("true"));
    }
    if (json_text(json_path(choice, "delta", "content", NULL), l->arena, &content) == ERR_OK &&
        content.len > 0) {
        l->conf->on_content(l->conf->owner, escape_text(l->arena, content, "\n\t"));
    }
}

static bool on_piece(void *owner, struct str piece)
{
    struct listening *l = owner;
    struct sse_event event;
    enum err e = sse_next(&l->events, &piece, &event);
    while (e == ERR_OK) {
        if (event.kind == SSE_EVENT) {
            take_event(l, event.data);
        }
        e = sse_next(&l->events, &piece, &event);
    }
    return e == ERR_AGAIN && sse_keep(&l->events, &piece) == ERR_OK;
}

void demo_stream_run(const struct demo_stream_conf *conf, struct demo_stream *out,
                     struct arena *a)
{
    struct listening l = {.conf = conf, .out = out, .arena = a};
    struct fetched got;
    struct fetch_conf f = {.method = "POST",
                           .url = conf->url,
                           .target = STR("/v1/chat/completions"),
                           .json = conf->request,
                           .timeout_ms = conf->timeout_ms,
                           .stop_fd = conf->stop_fd,
                           .on_piece = on_piece,
                           .owner = &l};
    *out = (struct demo_stream){
        .backend = STR(""), .attempts = STR(""), .error = STR(""), .message = STR("")};
    sse_init(&l.events, EVENT_MAX);
    out->has_clean_end = fetch(&f, &got) == ERR_OK;
    out->status = got.status;
    out->attempts = escape_text(a, fetched_header(&got, "x-fallthrough-attempts"), "");
    (void)snprintf(out->why, sizeof(out->why), "%s", got.why);
    fetched_fini(&got);
    sse_fini(&l.events);
}
