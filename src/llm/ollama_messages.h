#pragma once

#include "base/err.h"
#include "llm/chat_request.h"
#include "llm/json_out.h"
#include "llm/message_reader.h"

/*
 * `messages` from OpenAI's shape to Ollama's: parts joined to one text and bare base64 images,
 * tool arguments from text to objects, tool results named after their call. Text is copied as
 * it is written, escapes and all. Pure.
 */

/* The table, for the test and the documentation. */
const struct message_field *ollama_message_fields(size_t *count);

/* Writes the array `messages` (checked JSON, elements are objects), and behind it the
 * assistant's half message `partial` (between the quotes of a JSON string) unless it is empty.
 * ERR_UNSUPPORTED with *bad filled; then what was written is useless. */
NODISCARD enum err ollama_put_messages(struct json_out *out, struct str messages,
                                       struct str partial, struct bad_request *bad);
