#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/chat_request.h"
#include "llm/dialect.h"

/*
 * How many tokens is that? A question to a server that has the tokenizer and answers without
 * its engine (dialect.count_path; vLLM and llama.cpp: POST /tokenize). Pure; the caller carries
 * question and answer.
 */

/* The body that asks for the tokens of a text in two parts, each escaped as between the quotes
 * of a JSON string; `model` is the backend's own name for it. Lives as long as the arena. */
struct str token_count_ask(const struct dialect *d, struct str model, const struct str part[2],
                           struct arena *a);

/* The same for the prompt that the request becomes, template and tools included. Empty where
 * the dialect cannot be asked for that. */
struct str token_count_ask_prompt(const struct dialect *d, struct str model,
                                  const struct chat_request *q, struct arena *a);

/* Reads the answer: ERR_OK, or ERR_TYPE and others when it tells no count. */
NODISCARD enum err token_count_read(struct str body, uint64_t *count);
