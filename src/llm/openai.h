#pragma once

#include "llm/dialect.h"

/*
 * Backends that speak OpenAI's chat completions: vLLM, llama.cpp's server, OpenAI and whoever
 * is compatible. Requests and replies pass as they came; only what must differ is spliced in,
 * and a reply is only looked at. Private to the room. Pure.
 */

extern const struct dialect dialect_vllm;
extern const struct dialect dialect_llamacpp;
extern const struct dialect dialect_openai;

/* reply_read_whole for these dialects. */
enum whole_kind openai_read_whole(struct reply *r, struct str body,
                                  struct upstream_error *error);
