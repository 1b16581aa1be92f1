#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/rand.h"
#include "sim_ask.h"
#include "sim_text.h"

/*
 * The bodies of answers, without HTTP around them, as the types of servers write them: events
 * (server-sent or lines) with the fault of the ask in them, and plain JSON. The layout is
 * drawn.
 */

enum { SPEECH_EVENTS_MAX = 1000 };

struct speech {
    struct ask *ask;
    struct rand *rand;
    enum spelling spelling;
    struct str id;
    uint64_t created;
    bool has_fingerprint;
    bool crlf;
    bool is_pretty; /* comments, event names, ids, several data lines */
    struct buf body;
    struct ask_marks marks;              /* in the body */
    bool is_spoilt;                      /* nothing behind here is understood */
    size_t event_end[SPEECH_EVENTS_MAX]; /* for chunks that hold one event */
    size_t event_count;
};

void speech_init(struct speech *s, struct ask *k, struct rand *r, struct arena *a);
void speech_fini(struct speech *s);

/* Also decides what the ask's answer is: `to` and `finish`. */
void speech_decide(struct ask *k);

void speak_events(struct speech *s);
void speak_plain(struct speech *s);

/* {"error":…} in the shape of the ask's type. */
void speak_error(struct buf *out, const struct ask *k, int status, const char *message);
