#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/chat_request.h"
#include "llm/dialect.h"
#include "llm/refusal.h"
#include "wire/json_edit.h"

/*
 * An OpenAI chat request as the body of Ollama's POST /api/chat. One table says what becomes of
 * every field; docs/ollama.md shows it to people and a test compares the two. A field that is
 * not in the table is refused, so nothing is dropped in silence. Pure.
 */

struct ollama_request; /* one translation */

struct ollama_field {
    const char *name;
    enum field_handling handling;
    enum err (*take)(struct ollama_request *rq, const struct ollama_field *f, struct str value);
    const char *option; /* its name among Ollama's options, for fields that are one */
};

/* The table, for the test and the documentation. */
const struct ollama_field *ollama_fields(size_t *count);

/* dialect.build */
enum err ollama_build(const struct chat_request *q, const struct chat_edit *ed, struct arena *a,
                      struct rope *out, struct bad_request *bad);
