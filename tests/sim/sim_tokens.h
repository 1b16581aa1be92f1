#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim_record.h"

/*
 * POST /tokenize: what the scripted servers know of the tokens in a text. All have the same
 * tokenizer; the text is that of some exchange, as far as it has come.
 */

struct token_question {
    struct sim_exchange
        *exchange; /* whose answer or prompt it is; NULL: nobody's, or unclear */
    bool is_prompt;
    uint64_t tokens;
    uint32_t given; /* of choice 0, in the text */
};

/* False: it is no question that such a server understands. */
bool tokens_read(struct record *rec, struct str body, struct token_question *out);
