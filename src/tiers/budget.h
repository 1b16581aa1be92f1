#pragma once

#include <stdint.h>

/*
 * How much of an exchange's time one attempt may use: of what is left, a slice is kept back for
 * every tier still to come, so that the last one is always reachable. Pure.
 */

/* `left_ms` of the exchange, `tiers_after` the current one that could still be asked: half of
 * what is left while there are others, all of it for the last. At least 1. */
uint64_t budget_share_ms(uint64_t left_ms, uint32_t tiers_after);

/* The same for a trial of a backend that may still be bad: half of that while there are others.
 */
uint64_t budget_trial_ms(uint64_t left_ms, uint32_t tiers_after);

/* Deadline for the first content: base + per_1k for each started 1,000 prompt tokens, estimated
 * as prompt_bytes / 4. Saturates. */
uint64_t budget_first_token_ms(uint32_t base_ms, uint32_t per_1k_ms, uint64_t prompt_bytes);

/* The same for a backend that loads its model first, which must not be cut short: three times
 * as long. Saturates. */
uint64_t budget_loading_ms(uint64_t first_token_ms);
