#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "gate/worker.h"
#include "wire/trace_context.h"

/*
 * The trace that a request belongs to (W3C Trace Context): the client's where it has one, else
 * one of our own where traces are on. The client's decision whether it is sampled counts more
 * than ours. Belongs to its worker's thread.
 */

struct exchange_trace {
    bool is_known;                /* there is a context to pass on */
    bool is_sampled;              /* by us: spans are made */
    struct trace_context context; /* of the client, or ours; its span is what backends are told
                                     as their caller where no spans are made */
    uint64_t parent;              /* sampled: the client's span, 0: none */
    struct str state;
};

/* False: there is nothing to pass on and nothing to make. What it keeps lives in the arena. */
bool exchange_trace_begin(struct exchange_trace *t, struct worker *w,
                          const struct http_request *q, struct arena *a);

/* The id of a new span; never 0. */
uint64_t exchange_trace_span(struct worker *w);

/* Header lines for a backend, each after a line end; `span`: the attempt's, used where it is
 * sampled. Lives as long as the arena. */
struct str exchange_trace_lines(const struct exchange_trace *t, uint64_t span, struct arena *a);
