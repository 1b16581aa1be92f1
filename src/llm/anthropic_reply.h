#pragma once

#include "llm/dialect.h"

/*
 * Events of Anthropic's streams as OpenAI chunks. Text goes over as it is written in the event,
 * escapes and all: no tree, one copy.
 *
 *     message_start        {message:{model,usage}}             → delta.role
 *     content_block_start  {content_block:{type,…}}            → a tool call's id and name
 *     content_block_delta  {delta:{type:text_delta,text}}      → delta.content
 *                          {delta:{type:thinking_delta,…}}     → delta.reasoning_content
 *                          {delta:{type:input_json_delta,…}}   → a tool call's arguments
 *     content_block_stop                                       → {} for a call without
 * arguments message_delta        {delta:{stop_reason},usage}         → finish_reason, usage
 *     message_stop                                             → is_done
 *     error                {error:{type,message}}              → is_error
 *     ping, and all others                                     → nothing
 *
 * The event's name is in its data, too, and read there. Pure.
 */

/* dialect.read_event: the event is made in r->scratch. ERR_TYPE for JSON that is no such event.
 */
enum err anthropic_read_event(struct reply *r, struct str payload, struct reply_event *ev);

/* dialect.read_error: {"type":"error","error":{"type","message"}}; checks the body itself. */
bool anthropic_read_error(struct str body, struct arena *a, struct upstream_error *out);
