#pragma once

#include "llm/dialect.h"

/*
 * Request bodies for backends that speak OpenAI's language: the client's own bytes with what
 * must differ spliced in. Pure.
 */

/* dialect.build of a backend that cannot continue an answer: ERR_UNSUPPORTED for a partial. */
enum err openai_build(const struct chat_request *q, const struct chat_edit *ed, struct arena *a,
                      struct rope *out, struct bad_request *bad);

/* dialect.build of vLLM and llama.cpp: a partial becomes the last message, to be continued.
 * Both flags are needed; one alone is a 400 on both. */
enum err openai_build_continuing(const struct chat_request *q, const struct chat_edit *ed,
                                 struct arena *a, struct rope *out, struct bad_request *bad);
