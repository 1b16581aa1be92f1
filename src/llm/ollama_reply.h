#pragma once

#include "llm/dialect.h"

/*
 * Lines of Ollama's /api/chat as OpenAI chunks. Text goes over as it is written in the line,
 * escapes and all: no tree, one copy. Pure.
 *
 *     {"message":{"content":"Hi"},"done":false}      → delta.content
 *     {"message":{"thinking":"Hm"},"done":false}     → delta.reasoning_content
 *     {"done":true,"done_reason":"stop",…_count}     → finish_reason, usage
 *     {"error":"text"}                               → is_error
 */

/* dialect.read_event: the event is made in r->scratch. ERR_TYPE for JSON that is no such line.
 */
enum err ollama_read_line(struct reply *r, struct str line, struct reply_event *ev);

/* dialect.read_error: {"error":"text"} or {"error":{…}}; checks the body itself. */
bool ollama_read_error(struct str body, struct arena *a, struct upstream_error *out);
