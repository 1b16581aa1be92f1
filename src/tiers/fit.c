#include "tiers/fit.h"

#include "base/check.h"

enum {
    LEARNT_FROM_BYTES = 512, /* below, what templates add is too much of it */
    LIKELY_LEAST = BYTES_PER_TOKEN_SCALE / 2,
    LIKELY_MOST = 12 * BYTES_PER_TOKEN_SCALE,
    RISE_BY = 4,
    FALL_BY = 16,
    SLACK = 10 /* a tenth */
};

const char *feature_name(enum feature f)
{
    switch (f) {
    case FEATURE_TOOLS:
        return "tools";
    case FEATURE_VISION:
        return "vision";
    case FEATURE_JSON_SCHEMA:
        return "json_schema";
    case FEATURE_LOGPROBS:
        return "logprobs";
    }
    BUG("no such feature");
}

enum feature feature_at(unsigned place)
{
    CHECK(place < FEATURES);
    return (enum feature)(1U << place);
}

/* Bodies are bounded far below where this would overflow. */
static uint64_t estimate(const struct needs *n, const struct offer *o)
{
    uint32_t bytes_per_token = o->bytes_per_token > 0 ? o->bytes_per_token : 1;
    return n->prompt_bytes * BYTES_PER_TOKEN_SCALE / bytes_per_token;
}

uint64_t fit_prompt_tokens(const struct needs *n, const struct offer *o)
{
    return n->prompt_tokens + estimate(n, o);
}

uint64_t fit_answer_tokens(const struct needs *n, const struct offer *o)
{
    return n->max_tokens < o->answer_max ? n->max_tokens : o->answer_max;
}

uint32_t fit_missing(const struct needs *n, const struct offer *o)
{
    return n->features & o->known & ~o->can;
}

/* estimate * SLACK / (SLACK + 1) is more than what is left, without dividing: this is asked at
 * each pick. */
static bool is_too_long(const struct needs *n, const struct offer *o)
{
    uint64_t fixed = n->prompt_tokens + fit_answer_tokens(n, o);
    if (fixed > o->context) {
        return true;
    }
    uint64_t left = o->context - fixed;
    return n->prompt_bytes * BYTES_PER_TOKEN_SCALE * SLACK >
           left * o->bytes_per_token * (SLACK + 1);
}

enum fit fit_judge(const struct needs *n, const struct offer *o)
{
    if (fit_missing(n, o) != 0) {
        return FIT_INCAPABLE;
    }
    if (o->context == 0) {
        return FIT_WELL;
    }
    if (o->context + (uint64_t)o->context / SLACK < n->refused_context) {
        return FIT_REFUSED;
    }
    return is_too_long(n, o) ? FIT_TOO_LONG : FIT_WELL;
}

uint32_t fit_learn(uint32_t bytes_per_token, uint64_t bytes, uint64_t tokens)
{
    if (bytes < LEARNT_FROM_BYTES || tokens == 0) {
        return bytes_per_token;
    }
    uint64_t seen = bytes * BYTES_PER_TOKEN_SCALE / tokens;
    if (seen < LIKELY_LEAST || seen > LIKELY_MOST) {
        return bytes_per_token;
    }
    uint32_t now = (uint32_t)seen;
    if (now > bytes_per_token) {
        return bytes_per_token + (now - bytes_per_token + RISE_BY - 1) / RISE_BY;
    }
    return bytes_per_token - (bytes_per_token - now) / FALL_BY;
}
