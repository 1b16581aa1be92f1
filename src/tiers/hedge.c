#include "tiers/hedge.h"

#include <stdatomic.h>

enum { ONE_HEDGE = 10000 };

uint64_t hedge_after_ms(const struct hedge_policy *p, const struct backend_figures *f)
{
    uint64_t samples = 0;
    if (!p->is_on) {
        return 0;
    }
    if (p->percentile == 0) {
        return p->after_ms;
    }
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        samples += f->first_token[i];
    }
    return samples < HEDGE_SAMPLES_MIN ? 0 : figures_first_token_ms(f, p->percentile / 100.0);
}

void hedge_budget_count(struct hedge_budget *b, const struct hedge_policy *p)
{
    const uint64_t full = (uint64_t)HEDGE_BURST * ONE_HEDGE;
    uint64_t filled = atomic_load_explicit(&b->filled, memory_order_relaxed);
    uint64_t more = 0;
    if (!p->is_on) {
        return;
    }
    do {
        more = filled + p->max_share_per_10k < full ? filled + p->max_share_per_10k : full;
    } while (filled != full && !atomic_compare_exchange_weak_explicit(&b->filled, &filled, more,
                                                                      memory_order_relaxed,
                                                                      memory_order_relaxed));
}

bool hedge_budget_take(struct hedge_budget *b)
{
    uint64_t filled = atomic_load_explicit(&b->filled, memory_order_relaxed);
    do {
        if (filled < ONE_HEDGE) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &b->filled, &filled, filled - ONE_HEDGE, memory_order_relaxed, memory_order_relaxed));
    return true;
}
