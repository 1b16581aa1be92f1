#pragma once

#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "llm/dialect.h"
#include "wire/json_edit.h"

/*
 * A request for one token: does the engine behind the server still compute? Pure; the caller
 * carries request and answer.
 */

enum token_answer {
    TOKEN_CAME,    /* a token, or a whole answer */
    TOKEN_NONE,    /* an error, or an answer without one */
    TOKEN_BUSY,    /* 429: alive enough to say so, but nothing was computed */
    TOKEN_LOADING, /* 503 of a server that loads its model */
    TOKEN_REFUSED  /* the question itself is refused (other 4xx, 501): asking is no use */
};

/* The body of the request, for `model`, a backend's own name; lives as long as the arena.
 * `salt`: random; stands at the prompt's beginning, so that no cache of prompts or of answers
 * has it. */
void token_probe_ask(const struct dialect *d, struct str model, uint64_t salt, struct arena *a,
                     struct rope *body);

/* Judges its answer: HTTP status and whole body. */
enum token_answer token_probe_answer(const struct dialect *d, int status, struct str body);
