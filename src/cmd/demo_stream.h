#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "wire/url.h"

/*
 * One streamed chat answer, shown as it comes, and what a client would think of it.
 */

struct demo_stream_conf {
    struct url url;
    struct str request; /* JSON */
    uint32_t timeout_ms;
    int stop_fd;
    void (*on_content)(void *owner, struct str text); /* each piece, escaped */
    void *owner;
};

struct demo_stream {
    int status; /* 0: no answer */
    bool has_finish_reason;
    bool has_done;       /* [DONE] */
    bool has_clean_end;  /* the HTTP body was complete */
    bool is_resumed;     /* _resumed of the last chunk */
    struct str backend;  /* _backend of the last chunk, escaped; empty: none */
    struct str attempts; /* x-fallthrough-attempts, escaped; empty: none */
    struct str error;    /* code of an error event, escaped; empty: none */
    struct str message;  /* of that event, escaped */
    char why[128];       /* how the body ended, if not cleanly */
};

/* Texts in `out` live as long as the arena. */
void demo_stream_run(const struct demo_stream_conf *conf, struct demo_stream *out,
                     struct arena *a);
