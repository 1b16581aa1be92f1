#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/http_head.h"

/*
 * W3C Trace Context, Level 1: the headers `traceparent` and `tracestate`. Strict: what is not
 * exactly of the form is no trace context, and its request begins a trace of its own. Pure; any
 * thread.
 *
 *     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *     version, trace id, span id of the caller, flags
 */

enum {
    TRACE_FLAG_SAMPLED = 1,
    TRACEPARENT_LEN = 55,
    TRACESTATE_MAX = 512 /* what everybody must carry (3.3.1.5); longer lists lose their end */
};

/* Never both halves of the trace id 0, nor the span id. */
struct trace_context {
    uint64_t trace_high;
    uint64_t trace_low;
    uint64_t span;
    uint8_t flags; /* other than TRACE_FLAG_SAMPLED: 0 */
};

/*
 * ERR_OK, or ERR_SYNTAX: not of the form, an id of zeros, or version ff. A later version than
 * 00 may have more behind the flags, after another '-'; it is read as far as it is known.
 */
NODISCARD enum err trace_context_read(struct str traceparent, struct trace_context *out);

/* As version 00. */
void trace_context_write(const struct trace_context *t, char out[TRACEPARENT_LEN]);

/*
 * What is to be passed on of the request's tracestate headers: all of them joined by commas,
 * cut after a whole entry at TRACESTATE_MAX bytes. Written into `room`, which the result points
 * into; an entry with bytes that no tracestate has ends it, too.
 */
struct str trace_state_join(const struct http_header *headers, size_t count,
                            char room[TRACESTATE_MAX]);
