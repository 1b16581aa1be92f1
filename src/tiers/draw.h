#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "tiers/balance.h"
#include "tiers/picker.h"

/*
 * Who of those that a tier offers is picked, by the model's policy: `least_load` needs two,
 * drawn at random (Mitzenmacher 2001), the others see all. For tiers/picker.c.
 */

/* Two of the members offered, at random (reservoir sampling), so that one pass over a tier is
 * enough. */
struct draw {
    uint32_t offered;
    struct {
        const struct tier_member *member;
        uint64_t load; /* with the one to be placed */
    } kept[2];
};

void draw_init(struct draw *d);

/* At place 0 or 1. */
void draw_put(struct draw *d, uint32_t place, const struct pick_query *q,
              const struct tier_member *member, const struct backend_view *v);

/* At least one was put. */
const struct tier_member *draw_best(const struct draw *d, struct rand *rand);

/* Two of the members offered for `least_load`, all of them for the other policies. */
struct entrants {
    enum load_kind kind;
    struct draw draw;
    struct candidate all[BALANCE_MAX];
    uint32_t count;
};

/* Without a key the policies that need one balance as the default does. */
void entrants_init(struct entrants *f, const struct pick_query *q);

void entrants_offer(struct entrants *f, const struct pick_query *q,
                    const struct tier_member *member, const struct backend_view *v,
                    struct rand *rand);
bool entrants_is_empty(const struct entrants *f);

/* At least one was offered. */
const struct tier_member *entrants_best(const struct entrants *f, const struct pick_query *q,
                                        uint32_t tier, struct rand *rand);
