#include "llm/anthropic.h"

#include "llm/anthropic_reply.h"
#include "llm/anthropic_request.h"

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .chat_path = "/v1/messages",
    .probe_path = "/v1/models",
    .key_header = "x-api-key",
    .fixed_header = {.name = STR_INIT("anthropic-version"), .value = STR_INIT("2023-06-01")},
    .framing = REPLY_SSE,
    .always_streams = true,
    .can_continue = true,
    .trims_partial = true,
    .build = anthropic_build,
    .read_event = anthropic_read_event,
    .read_error = anthropic_read_error,
};
