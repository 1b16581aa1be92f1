#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim_reply.h"
#include "sim_server.h"

/*
 * POST /tokenize: what the scripted servers know of the tokens in a text. All have the same
 * tokenizer; the text is that of some exchange, as far as it has come.
 */

struct token_question {
    struct sim_exchange
        *exchange; /* whose answer or prompt it is; NULL: nobody's, or unclear */
    bool is_prompt;
    uint64_t tokens;
    uint32_t given;    /* of choice 0, in the text */
    uint64_t asked_ms; /* when it came */
};

/* Takes in the question and writes this server's answer. False: it stays silent. */
bool tokens_answer(struct server *sv, struct str body, struct token_question *out,
                   struct reply_script *script);
