#include "tiers/incumbent.h"

static bool is_better(const struct incumbent *best, uint32_t tier, enum pick_rank rank,
                      enum state state)
{
    bool is_same = tier == best->tier && rank == best->rank;
    return rank < best->rank || (is_same && state < best->state);
}

struct incumbent incumbent_of(const struct model *m, const struct board *b, uint64_t now_ms)
{
    struct incumbent best = {.backend = NULL, .rank = PICK_RANK_NOBODY, .state = STATE_DOWN};
    for (uint32_t t = 0; t < m->tier_count; t++) {
        for (size_t k = 0; k < m->tiers[t].member_count; k++) {
            const struct tier_member *member = &m->tiers[t].members[k];
            struct pick_prospect p = pick_prospect(b, member, now_ms);
            enum pick_rank rank = pick_rank_of(&p);
            if (p.status == PICK_RISING && !best.rising) {
                best.rising = member->backend;
            }
            if (is_better(&best, t + 1, rank, p.backend.state)) {
                best.rank = rank;
                best.state = p.backend.state;
                best.backend = member->backend;
                best.tier = t + 1;
            }
        }
    }
    return best;
}

bool incumbent_has(const struct incumbent *i, const struct pick_prospect *p)
{
    return i->tier > 0 && pick_rank_of(p) == i->rank && p->backend.state == i->state;
}
