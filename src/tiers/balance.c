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

/* In parts, so that a part of a weight is a whole number. */
static uint32_t parts_of(const struct candidate *c)
{
    return balance_weight(c->member->backend) * (c->is_spared ? 1 : SPARED_PART);
}

/* Whoever is spared gives most of his turns to the next. */
static const struct tier_member *take_turn(uint32_t turn, const struct candidate *all,
                                           size_t count)
{
    size_t at = turn % count;
    bool is_given = (turn / count) % SPARED_PART != 0;
    for (size_t i = 0; is_given && i < count && all[at].is_spared; i++) {
        at = (at + 1) % count;
    }
    return all[at].member;
}

static const struct tier_member *draw_by_weight(const struct candidate *all, size_t count,
                                                struct rand *rand)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += parts_of(&all[i]);
    }
    uint32_t at = rand_below(rand, sum);
    size_t i = 0;
    for (; at >= parts_of(&all[i]); i++) {
        at -= parts_of(&all[i]);
    }
    return all[i].member;
}

/* Highest wins as often as its weight says. */
static double rank_for(uint64_t key, const struct candidate *c)
{
    uint64_t hash = hash_mix(key, c->member->backend->index);
    double unit =
        ((double)(hash >> (64 - MANTISSA_BITS)) + 0.5) / (double)(UINT64_C(1) << MANTISSA_BITS);
    return (double)parts_of(c) / -log(unit);
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
        weights += parts_of(&all[i]);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t share = load * parts_of(&all[i]) * BALANCE_BOUND;
        uint64_t bound = (share + weights * WHOLE - 1) / (weights * WHOLE);
        double rank = rank_for(key, &all[i]);
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
        return take_turn(b->turn, all, count);
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
