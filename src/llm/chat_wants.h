#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "wire/json.h"

/*
 * What members of a chat completion's body ask for that not every backend can do
 * (llm/chat_request fills struct chat_wants with it). Values are checked JSON, empty when
 * absent. Pure.
 */

/* The bytes of image URLs (most often the images themselves, as base64) in `messages`, an array
 * of objects; *has_image is set when there is one, and left alone else. `tape` is the body's:
 * where it shows plain texts only, nothing is read again, and any other body without images is
 * only glanced over. */
uint64_t chat_wants_image_bytes(const struct json_tape *tape, struct str messages,
                                bool *has_image);

/* A list with something in it. */
bool chat_wants_list(struct str value);

bool chat_wants_schema(struct str response_format);

/* logprobs that is true, or a number of them that is not 0. */
bool chat_wants_logprobs(struct str logprobs, struct str top_logprobs);
