#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "llm/chat_request.h"
#include "llm/dialect.h"
#include "llm/refusal.h"
#include "wire/json_edit.h"

/*
 * An OpenAI chat request as the body of Anthropic's POST /v1/messages. One table says what
 * becomes of every field; docs/anthropic.md shows it to people and a test compares the two. A
 * field that is not in the table is refused, so nothing is dropped in silence. Pure.
 */

enum { ANTHROPIC_MAX_TOKENS = 4096 }; /* where nobody says how many: every model can as many */

struct anthropic_request; /* one translation */

struct anthropic_field {
    const char *name;
    enum field_handling handling;
    enum err (*take)(struct anthropic_request *rq, const struct anthropic_field *f,
                     struct str value);
    double neutral; /* the number that changes nothing, for fields that are one */
};

/* The table, for the test and the documentation. */
const struct anthropic_field *anthropic_fields(size_t *count);

/* dialect.build */
enum err anthropic_build(const struct chat_request *q, const struct chat_edit *ed,
                         struct arena *a, struct rope *out, struct bad_request *bad);
