#include "tiers/figures.h"

#include "base/check.h"

/* The first i with took < 2^(i/2), which is took² < 2^i: the number of bits in took². */
uint32_t figures_bucket_of(uint64_t took_ms)
{
    if (took_ms == 0) {
        return 0;
    }
    if (took_ms > UINT16_MAX) {
        return FIRST_TOKEN_BUCKETS - 1;
    }
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(took_ms * took_ms);
    return bits < FIRST_TOKEN_BUCKETS ? bits : FIRST_TOKEN_BUCKETS - 1;
}

/* The least whole u with u >= 2^(i/2). */
static uint64_t bucket_bound(uint32_t bucket)
{
    uint64_t bound = UINT64_C(1) << (bucket / 2);
    while (bound * bound < UINT64_C(1) << bucket) {
        bound++;
    }
    return bound;
}

uint64_t board_first_token_most_ms(uint32_t bucket)
{
    CHECK(bucket < FIRST_TOKEN_BUCKETS);
    return bucket == FIRST_TOKEN_BUCKETS - 1 ? UINT64_MAX : bucket_bound(bucket) - 1;
}

/* How many of `total` a share of them is, rounded up, within 1 … total. */
static uint64_t rank_of(uint64_t total, double share)
{
    double wanted = share * (double)total;
    if (!(wanted > 1.0)) {
        return 1;
    }
    if (wanted >= (double)total) {
        return total;
    }
    uint64_t rank = (uint64_t)wanted;
    return (double)rank < wanted ? rank + 1 : rank;
}

uint64_t figures_first_token_ms(const struct backend_figures *f, double share)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < FIRST_TOKEN_BUCKETS; i++) {
        total += f->first_token[i];
    }
    if (total == 0) {
        return 0;
    }
    uint64_t rank = rank_of(total, share);
    uint64_t seen = 0;
    uint32_t bucket = 0;
    while (bucket < FIRST_TOKEN_BUCKETS - 1 && seen + f->first_token[bucket] < rank) {
        seen += f->first_token[bucket];
        bucket++;
    }
    return bucket_bound(bucket);
}
