#pragma once

#include <stdint.h>

#include "base/str.h"

/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): a short hash of text under a secret key, so that
 * nobody outside can choose texts that fall together, nor learn the text from it. Pure but for
 * hash_seed.
 */

struct hash_key {
    uint64_t k0;
    uint64_t k1;
};

/* From the kernel (getrandom). */
void hash_seed(struct hash_key *key);

uint64_t hash_text(const struct hash_key *key, struct str text);

/* Two numbers to one, evenly spread; no secret in it. */
uint64_t hash_mix(uint64_t a, uint64_t b);
