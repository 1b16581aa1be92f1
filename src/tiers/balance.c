#include "tiers/balance.h"

#include <math.h>

#include "base/check.h"
#include "base/hash.h"

enum { WHOLE = 100, MANTISSA_BITS = 53 };

const char *load_kind_name(enum load_kind kind)
{
    switch (kind) {
    case LOAD_LEAST:
        return "least_load";
    case LOAD_ROUND_ROBIN:
        return "round_robin";
    case LOAD_WEIGHTED:
        return "weighted";
    case LOAD_PREFIX:
        return "prefix";
    case LOAD_SESSION:
        return "session";
    }
    BUG("no such load policy");
}

static const struct tier_member *draw_by_weight(const struct candidate *all, size_t count,
                                                struct rand *rand)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += balance_weight(all[i].member->backend);
    }
    uint32_t at = rand_below(rand, sum);
    size_t i = 0;
    for (; at >= balance_weight(all[i].member->backend); i++) {
        at -= balance_weight(all[i].member->backend);
    }
    return all[i].member;
}

/* Highest wins as often as its weight says. */
static double rank_for(uint64_t key, const struct backend *b)
{
    uint64_t hash = hash_mix(key, b->index);
    double unit =
        ((double)(hash >> (64 - MANTISSA_BITS)) + 0.5) / (double)(UINT64_C(1) << MANTISSA_BITS);
    return (double)balance_weight(b) / -log(unit);
}

/* Somebody always has room: the bounds of all are together more than there is. */
static const struct tier_member *rendezvous(uint64_t key, const struct candidate *all,
                                            size_t count)
{
    const struct tier_member *best = NULL;
    double best_rank = -1;
    uint64_t load = 1; /* the new one */
    uint64_t weights = 0;
    for (size_t i = 0; i < count; i++) {
        load += all[i].load;
        weights += balance_weight(all[i].member->backend);
    }
    for (size_t i = 0; i < count; i++) {
        const struct backend *b = all[i].member->backend;
        uint64_t share = load * balance_weight(b) * BALANCE_BOUND;
        uint64_t bound = (share + weights * WHOLE - 1) / (weights * WHOLE);
        double rank = rank_for(key, b);
        bound = bound > BALANCE_LEAST ? bound : BALANCE_LEAST;
        if (all[i].load < bound && rank > best_rank) {
            best = all[i].member;
            best_rank = rank;
        }
    }
    CHECK(best != NULL);
    return best;
}

const struct tier_member *balance_choose(const struct balance *b, const struct candidate *all,
                                         size_t count, struct rand *rand)
{
    CHECK(count > 0);
    switch (b->kind) {
    case LOAD_ROUND_ROBIN:
        return all[b->turn % count].member;
    case LOAD_WEIGHTED:
        return draw_by_weight(all, count, rand);
    case LOAD_PREFIX:
    case LOAD_SESSION:
        return rendezvous(b->key, all, count);
    case LOAD_LEAST:
        break;
    }
    BUG("not a policy that looks at all");
}
