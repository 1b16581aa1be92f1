#pragma once

#include <stdint.h>

#include "tiers/board.h"

/*
 * Tokens a second of each backend, smoothed over a few seconds from samples of the board's
 * counters. Belongs to one thread (control). Time is an argument.
 */

struct rates;

struct rates *rates_new(size_t backend_count);
void rates_free(struct rates **r);

/* Takes a sample; call about once a second. */
void rates_sample(struct rates *r, const struct board *b, uint64_t now_ms);

double rates_tokens_per_s(const struct rates *r, uint32_t backend);
