#pragma once

#include <stdint.h>

#include "tiers/health.h"

/*
 * Words of the board (for board.c only): what belongs together is packed into one, so that one
 * load tells it all. Pure.
 */

_Static_assert(FAILURE_COUNT <= UINT16_MAX, "a failure must fit in 16 bits of the judgement");

enum { NEEDS_TOKEN_BIT = 48 };

static inline uint64_t pack_judgement(const struct health *h)
{
    return (uint64_t)h->state | (uint64_t)h->cause.kind << 8 |
           (uint64_t)h->cause.failure << 16 | (uint64_t)h->cause.status << 32 |
           (uint64_t)h->needs_token << NEEDS_TOKEN_BIT;
}

static inline enum state unpack_state(uint64_t word)
{
    return (enum state)(word & 0xff);
}

static inline struct cause unpack_cause(uint64_t word)
{
    return (struct cause){
        .kind = (enum cause_kind)(word >> 8 & 0xff),
        .failure = (enum failure)(word >> 16 & 0xffff),
        .status = (uint16_t)(word >> 32 & 0xffff),
    };
}

/* Recent failures: the count above, the time of its last halving below (40 bits: 34 years). */
enum { RECENT_AT_BITS = 40, RECENT_MAX = 0xffffff, HALF_LIFE_MS = 1000 };
static const uint64_t RECENT_AT_MASK = (UINT64_C(1) << RECENT_AT_BITS) - 1;

/* Whole half-lives since; none when another thread's clock was ahead of ours. */
static inline uint64_t halvings(uint64_t word, uint64_t now_ms)
{
    uint64_t passed = (now_ms - (word & RECENT_AT_MASK)) & RECENT_AT_MASK;
    return passed > RECENT_AT_MASK / 2 ? 0 : passed / HALF_LIFE_MS;
}

static inline uint64_t recent_count(uint64_t word, uint64_t now_ms)
{
    uint64_t times = halvings(word, now_ms);
    return times < 24 ? (word >> RECENT_AT_BITS) >> times : 0;
}

static inline uint64_t recent_add(uint64_t word, uint64_t now_ms)
{
    uint64_t count = recent_count(word, now_ms);
    /* The begun half-life goes on, or failures at short intervals would never decay. */
    uint64_t at = count > 0 ? word + halvings(word, now_ms) * HALF_LIFE_MS : now_ms;
    if (count < RECENT_MAX) {
        count++;
    }
    return count << RECENT_AT_BITS | (at & RECENT_AT_MASK);
}
