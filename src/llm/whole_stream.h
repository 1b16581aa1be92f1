#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/*
 * A chat.completion told as a stream, for clients that asked for one while the backend answered
 * in one piece. Pure.
 */

/*
 * *chunk: one chat.completion.chunk with the whole content in its deltas and every finish
 * reason. `body` must have been judged WHOLE_ANSWER. *usage_chunk: the chunk with the usage
 * (choices: []) when `include_usage` and the body has one, else empty. Both live as long as the
 * arena. ERR_RANGE when the body holds a number that the tree cannot (1e999).
 */
NODISCARD enum err whole_as_chunk(struct str body, bool include_usage, struct arena *a,
                                  struct str *chunk, struct str *usage_chunk);
