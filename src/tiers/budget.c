#include "tiers/budget.h"

#include <stdbool.h>

enum { BYTES_A_TOKEN = 4, TOKENS_A_STEP = 1000, LOADING_TIMES = 3 };

uint64_t budget_share_ms(uint64_t left_ms, uint32_t tiers_after)
{
    uint64_t share = tiers_after > 0 ? left_ms / 2 : left_ms;
    return share > 0 ? share : 1;
}

uint64_t budget_trial_ms(uint64_t left_ms, uint32_t tiers_after)
{
    return budget_share_ms(tiers_after > 0 ? left_ms / 2 : left_ms, tiers_after);
}

uint64_t budget_first_token_ms(uint32_t base_ms, uint32_t per_1k_ms, uint64_t prompt_bytes)
{
    uint64_t tokens = prompt_bytes / BYTES_A_TOKEN;
    uint64_t steps = tokens / TOKENS_A_STEP + (tokens % TOKENS_A_STEP != 0);
    uint64_t more = 0;
    uint64_t sum = 0;
    if (__builtin_mul_overflow(steps, (uint64_t)per_1k_ms, &more) ||
        __builtin_add_overflow(more, (uint64_t)base_ms, &sum)) {
        return UINT64_MAX;
    }
    return sum;
}

uint64_t budget_loading_ms(uint64_t first_token_ms)
{
    uint64_t longer = 0;
    bool is_too_long = __builtin_mul_overflow(first_token_ms, (uint64_t)LOADING_TIMES, &longer);
    return is_too_long ? UINT64_MAX : longer;
}
