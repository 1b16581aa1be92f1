#pragma once

#include <stdint.h>

/*
 * Random numbers for spreading load and for naming things; not for secrets. The state is the
 * caller's, so that tests can seed it. (splitmix64, Steele, Lea, Flood 2014.)
 */

struct rand {
    uint64_t state;
};

/* Seeded from the kernel (getrandom). */
void rand_seed(struct rand *r);

uint64_t rand_next(struct rand *r);

/* 0 … below-1; below > 0. */
uint32_t rand_below(struct rand *r, uint32_t below);
