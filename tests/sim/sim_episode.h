#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim_oracle.h"
#include "sim_setup.h"

/*
 * A few exchanges at one gateway with the real workers and prober, from its start to its end:
 * all at once, one after the other on one connection, or anything between. What is replayed is
 * an episode, as its exchanges share what the gateway learns about its backends.
 */

enum { EPISODE_EXCHANGES = RECORD_EXCHANGES_MAX };

struct episode_result {
    uint64_t whole, resumed, errors, broken, left, cut, asks;
    uint64_t faults[SIM_FAULTS]; /* asks by fault */
    uint64_t failed;             /* number of the exchange that went wrong */
    char failure[1024];          /* empty: none */
};

/* Runs episode `number` of the seed. `loud`: says what happens. */
void episode_run(uint64_t seed, uint64_t number, const struct setup *setup, bool loud,
                 struct episode_result *out);
