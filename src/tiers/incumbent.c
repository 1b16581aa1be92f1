#include "tiers/incumbent.h"

#include "tiers/pick_status.h"

struct incumbent incumbent_of(const struct model *m, const struct board *b, uint64_t now_ms)
{
    struct incumbent best = {.backend = NULL};
    enum pick_rank best_rank = PICK_RANK_NOBODY;
    for (size_t t = 0; t < m->tier_count; t++) {
        for (size_t k = 0; k < m->tiers[t].member_count; k++) {
            const struct tier_member *member = &m->tiers[t].members[k];
            struct pick_prospect p = pick_prospect(b, member, now_ms);
            enum pick_rank rank = pick_rank_of(&p);
            if (p.status == PICK_RISING && !best.rising) {
                best.rising = member->backend;
            }
            if (rank < best_rank) {
                best_rank = rank;
                best.backend = member->backend;
                best.tier = (uint32_t)t + 1;
            }
        }
    }
    return best;
}
