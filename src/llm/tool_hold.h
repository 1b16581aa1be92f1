#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "llm/dialect.h"
#include "llm/tool_calls.h"

/*
 * Holds the tool calls of a stream back until each is complete: half a call cannot be continued
 * elsewhere, and half its arguments are of no use to a client. What breaks off inside a call
 * has given nothing of it, so that the answer can go on from the text before it. A call is
 * complete when the next one begins or the choice finishes. Between dialect and seam; for
 * answers of one choice; one for each attempt. Pure.
 *
 *      reply_read_event(&reply, payload, &ev);
 *      tool_hold_event(&hold, &reply.scratch, &ev);
 *      seam_event(…, &ev);
 *      … send ev.tool_chunk, ev.chunk, ev.usage_chunk …
 */

enum { TOOL_HOLD_MAX = 4 << 20, TOOL_HOLD_CALLS = 1024 };

struct tool_hold {
    struct fields_budget budget;
    size_t left;
    struct tool_calls open; /* pieces are still to come */
};

void tool_hold_init(struct tool_hold *h);
void tool_hold_fini(struct tool_hold *h);

/*
 * Takes pieces of calls out of the event, and puts those that are complete by it into
 * `tool_chunk` and `calls` (one record each, see reply_event). Costs nothing for events that
 * have to do with neither. What it makes lives as long as the arena.
 *
 * ERR_TYPE when the pieces are not of a shape that can be put together, ERR_TOO_LARGE over
 * TOOL_HOLD_MAX or TOOL_HOLD_CALLS. The hold must stay where it is: `open` points into it.
 */
NODISCARD enum err tool_hold_event(struct tool_hold *h, struct arena *a,
                                   struct reply_event *ev);

/* The record that ends at the next '\n' (with it) is cut off the front. */
struct str tool_record_next(struct str *records);
