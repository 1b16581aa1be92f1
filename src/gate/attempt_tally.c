#include "gate/attempt_tally.h"

#include "tiers/meters.h"

void attempt_tally(const struct attempt *a)
{
    struct meters *m = tally_meters(a->worker->gateway->tally);
    meters_usage(m, a->backend->index, a->reply.prompt_tokens, a->reply.completion_tokens);
    if (a->shape == SHAPE_EVENTS && a->tokens >= 2) {
        meters_token(m, a->backend->index, a->progress_ms - a->first_content_ms, a->tokens);
    }
}
