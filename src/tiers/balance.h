#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/rand.h"
#include "tiers/catalog.h"
#include "tiers/telemetry.h"

/*
 * Which of the equally good members of a tier serves next, for the policies that look at all of
 * them (`least_load` needs two, see tiers/picker.c). Pure.
 *
 * round_robin: each in turn. weighted: at random, as often as its weight says. prefix and
 * session: the member with the highest rank for the key (rendezvous hashing, Thaler &
 * Ravishankar 1998, by weight), so that the same key meets the same backend, and only the keys
 * of one that leaves move; one that bears more than BALANCE_BOUND per cent of its share of the
 * load is passed over (Mirrokni et al. 2018), but never for fewer than BALANCE_LEAST attempts:
 * the one before it of the same client may not have quite ended.
 */

enum { BALANCE_BOUND = 125, BALANCE_LEAST = 2, BALANCE_MAX = 64 };

const char *load_kind_name(enum load_kind kind); /* "least_load", … */

struct candidate {
    const struct tier_member *member;
    uint64_t load;  /* attempts in flight, and what counts as such */
    bool is_spared; /* it bears a SPARED_PART of its weight, or of its turns */
};

struct balance {
    enum load_kind kind; /* not LOAD_LEAST */
    uint32_t turn;       /* round_robin */
    uint64_t key;        /* prefix and session */
};

/* Of count >= 1 candidates. */
const struct tier_member *balance_choose(const struct balance *b, const struct candidate *all,
                                         size_t count, struct rand *rand);

/* A backend's weight, at least 1. */
static inline uint32_t balance_weight(const struct backend *b)
{
    return b->weight > 0 ? b->weight : 1;
}
