#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"

/*
 * Chance with a seed. Everything that is random in the simulation is drawn from a stream that
 * is named by the run's seed, by what it is for, and by a number, so that one exchange can be
 * replayed without those before it. Two draws of a stream never stand in one expression, as
 * compilers differ in which comes first: a seed means the same under all of them.
 */

enum draw_lane {
    LANE_SETTINGS,
    LANE_EPISODE,
    LANE_KERNEL,
    LANE_WORKER,
    LANE_PLAN,
    LANE_ASK,
    LANE_SLOTS
};

struct rand draw_stream(uint64_t seed, enum draw_lane lane, uint64_t number);

/* lo … hi, both included. */
uint32_t draw_between(struct rand *r, uint32_t lo, uint32_t hi);

/* True so often in a hundred. */
bool draw_percent(struct rand *r, uint32_t percent);
