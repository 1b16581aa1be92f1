#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tiers/account.h"
#include "wire/protobuf.h"

/*
 * Accounts as an ExportTraceServiceRequest of OpenTelemetry's protocol
 * (opentelemetry-proto 1.x, trace/v1/trace.proto): a span of kind SERVER for each exchange, one
 * of kind CLIENT for each of its attempts. Names follow the semantic conventions for generative
 * AI (1.41, which are still in development); what those do not have begins with "fallthrough.".
 * docs/traces.md has the list. Pure.
 *
 *     span_message_begin → span_message_put for each account → span_message_end
 */

struct span_message {
    struct protobuf p; /* is_cut: the buffer was too small, and it is no message */
    size_t spans;      /* in it */
    /* private: */
    size_t resource;
    size_t scope;
};

void span_message_begin(struct span_message *m, struct buf *out, struct str service);
void span_message_put(struct span_message *m, const struct account *r);
void span_message_end(struct span_message *m);

/* How many spans of the answer's the collector has refused (ExportTraceServiceResponse,
 * partial_success.rejected_spans); 0 when it does not say. */
uint64_t span_message_rejected(struct str answer);
