#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "llm/chat_request.h"
#include "llm/json_out.h"

/*
 * `tools`, `tool_choice` and `parallel_tool_calls` from OpenAI's shape to Anthropic's. Pure.
 */

/* What the request has of them, as JSON text; empty: absent. */
struct anthropic_tool_wish {
    struct str tools;
    struct str choice;
    bool is_serial; /* parallel_tool_calls false */
};

/* Writes the members `tools` and `tool_choice` into the object that is open, or nothing where
 * no tools are offered. ERR_UNSUPPORTED with *bad filled. */
NODISCARD enum err anthropic_put_tools(struct json_out *out,
                                       const struct anthropic_tool_wish *wish,
                                       struct bad_request *bad);
