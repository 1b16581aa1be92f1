#include "llm/reply_events.h"

#include "wire/ndjson.h"
#include "wire/sse.h"

typedef void on_event_fn(void *owner, struct str payload);

static void each_line(struct str body, on_event_fn *on_event, void *owner)
{
    struct ndjson_decoder d;
    struct str line;
    ndjson_init(&d, body.len + 1);
    enum err e = ndjson_next(&d, &body, &line);
    while (e == ERR_OK) {
        on_event(owner, line);
        e = ndjson_next(&d, &body, &line);
    }
    e = e == ERR_AGAIN ? ndjson_keep(&d, &body) : e;
    if (e == ERR_OK && ndjson_last(&d, &line) == ERR_OK) {
        on_event(owner, line);
    }
    ndjson_fini(&d);
}

static void each_sse(struct str body, on_event_fn *on_event, void *owner)
{
    struct sse_decoder d;
    struct sse_event ev;
    sse_init(&d, body.len + 1);
    while (sse_next(&d, &body, &ev) == ERR_OK) {
        if (ev.kind == SSE_EVENT) {
            on_event(owner, ev.data);
        }
    }
    sse_fini(&d);
}

void reply_each_event(const struct dialect *d, struct str body,
                      void (*on_event)(void *owner, struct str payload), void *owner)
{
    if (d->framing == REPLY_NDJSON) {
        each_line(body, on_event, owner);
    } else {
        each_sse(body, on_event, owner);
    }
}
