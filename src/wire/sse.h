#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Server-sent events (WHATWG HTML, section 9.2), pulled: the caller offers bytes, the decoder
 * takes them from the front and returns one event at a time. However the bytes are split, the
 * events are the same (fuzzed). CR, LF and CRLF end lines; a byte order mark at the start is
 * skipped; several data lines are joined by LF; comments are their own items, so that nobody
 * takes them for progress.
 *
 *     while ((e = sse_next(&d, &in, &ev)) == ERR_OK) { … use ev … }
 *     if (e == ERR_AGAIN) { flush what points into `in`; e = sse_keep(&d, &in); }
 *
 * Slices in an event live until the next sse_keep: they point into `in` or into the decoder.
 * Pure.
 */

enum sse_kind {
    SSE_EVENT,  /* a complete event with at least one data line */
    SSE_COMMENT /* a comment line, or an event without data (which clients ignore) */
};

struct sse_event {
    enum sse_kind kind;
    struct str data; /* payload; several lines are joined by LF */
    struct str name; /* of `event:`, empty when there is none */
    struct str raw;  /* the bytes as they came, with the blank line at the end (a comment: when
                      * that follows directly) */
    bool is_plain;   /* raw is just "data: …" or "data:…" and LF LF or CRLF CRLF */
};

struct sse_decoder {
    /* private: */
    struct buf carry; /* an event whose end has not come yet */
    size_t taken;     /* bytes of carry returned already: dropped at the next keep */
    bool started;
    bool after_cr;     /* swallow one LF that belongs to the last CR */
    bool has_joined;   /* something is in `joined` */
    struct buf joined; /* payload of several data lines */
};

/* `max`: the longest event in bytes; a longer one is ERR_TOO_LARGE. */
void sse_init(struct sse_decoder *d, size_t max);
void sse_fini(struct sse_decoder *d);

/* ERR_OK with an item; ERR_AGAIN when `in` holds no further complete one (in is left as it is:
 * call sse_keep); ERR_TOO_LARGE; ERR_UTF8 is not checked here (the JSON scanner does). */
NODISCARD enum err sse_next(struct sse_decoder *d, struct str *in, struct sse_event *ev);

/* Stores what is left of *in (an incomplete event) and empties it. ERR_TOO_LARGE. */
NODISCARD enum err sse_keep(struct sse_decoder *d, struct str *in);

/* True when bytes of an incomplete event (not just a comment) are held: the stream ended in the
 * middle. */
bool sse_is_inside(const struct sse_decoder *d);
