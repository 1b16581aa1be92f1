#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether a request fits a backend with one of its models: is its context long enough, and can
 * it do what the request asks for. Nobody is refused for what is not known, and lengths are
 * estimates: only what surely does not fit is told so. Pure.
 */

/* What a request may ask for and not every backend can. */
enum feature {
    FEATURE_TOOLS = 1,
    FEATURE_VISION = 2,
    FEATURE_JSON_SCHEMA = 4,
    FEATURE_LOGPROBS = 8
};
enum { FEATURES = 4 };

/* Of one bit: "tools", "vision", "json_schema", "logprobs". */
const char *feature_name(enum feature f);

/* The bit at this place, below FEATURES. */
enum feature feature_at(unsigned place);

/* What a request needs. Zeroed: nothing. */
struct needs {
    uint32_t features;        /* enum feature bits */
    uint64_t prompt_bytes;    /* of text, to be estimated from */
    uint64_t prompt_tokens;   /* known to be on top of that */
    uint64_t max_tokens;      /* asked for explicitly; 0: no limit was named */
    uint32_t refused_context; /* the longest context that turned out too short for it */
};

enum {
    BYTES_PER_TOKEN_SCALE = 64,
    BYTES_PER_TOKEN_FIRST = 4 * BYTES_PER_TOKEN_SCALE,
    CONTEXT_MAX = 1 << 30 /* more is not believed */
};

/* What a backend can take with one of its models. */
struct offer {
    uint32_t context;         /* tokens, of prompt and answer together; 0: not known */
    uint32_t answer_max;      /* a request's max_tokens counts against the context, at most so
                                 much of it; 0: it does not count */
    uint32_t embeddings;      /* width of its vectors; 0: not known */
    uint32_t known;           /* enum feature bits */
    uint32_t can;             /* of those known */
    uint32_t bytes_per_token; /* of prompts, as seen so far; in 1/BYTES_PER_TOKEN_SCALE */
};

enum fit {
    FIT_WELL,     /* as far as is known */
    FIT_TOO_LONG, /* by an estimate that is over by more than a tenth */
    FIT_REFUSED, /* a backend with more room, by over a tenth, has refused it: tokens of another
                    model may be longer, but not that much */
    FIT_INCAPABLE, /* it asks for what is not to be had here */
};

enum fit fit_judge(const struct needs *n, const struct offer *o);

/* The features that it asks for and that are known not to be had here. */
uint32_t fit_missing(const struct needs *n, const struct offer *o);

/* The prompt's length by the estimate. */
uint64_t fit_prompt_tokens(const struct needs *n, const struct offer *o);

/* How much of the answer counts against the context. */
uint64_t fit_answer_tokens(const struct needs *n, const struct offer *o);

/* `bytes_per_token` after a prompt of so many bytes turned out to be so many tokens. It rises
 * sooner than it falls: who is asked in vain says so, who is passed over wrongly cannot. Short
 * prompts and what cannot be true change nothing. */
uint32_t fit_learn(uint32_t bytes_per_token, uint64_t bytes, uint64_t tokens);
