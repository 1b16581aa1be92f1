#pragma once

#include "base/err.h"
#include "llm/chat_request.h"
#include "llm/json_out.h"
#include "llm/message_reader.h"

/*
 * `messages` from OpenAI's shape to Anthropic's: what system and developer say goes to
 * `system`, the rest becomes turns of user and assistant in blocks. Neighbours of one role
 * share a turn, so that the results of several calls stand together as they must; tool
 * arguments go from text to objects. Text is copied as it is written, escapes and all. Pure.
 */

/* The table, for the test and the documentation. */
const struct message_field *anthropic_message_fields(size_t *count);

/* Where it is written. */
struct anthropic_conversation {
    struct json_out *messages; /* the array */
    struct json_out *system; /* blocks with commas between them; nothing when there are none */
};

/* `messages` is checked JSON whose elements are objects; behind them comes the assistant's half
 * message `partial` (between the quotes of a JSON string) without the white space at its end,
 * unless nothing is left of it. ERR_UNSUPPORTED with *bad filled; then what was written is
 * useless. */
NODISCARD enum err anthropic_put_messages(const struct anthropic_conversation *out,
                                          struct str messages, struct str partial,
                                          struct bad_request *bad);
