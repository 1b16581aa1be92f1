#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/board.h"
#include "tiers/catalog.h"

/*
 * Hedging (Dean & Barroso, "The Tail at Scale", 2013): when the first token of an answer is
 * late, a second attempt is made at another backend, and the first content wins. How late is
 * late, and how many such attempts there may be: a bucket takes `max_share` of a hedge from
 * every exchange and holds HEDGE_BURST, so that over any time hedges are at most that share of
 * the exchanges, and HEDGE_BURST more. Time and figures are arguments; any thread may call
 * anything here.
 */

enum { HEDGE_BURST = 10, HEDGE_SAMPLES_MIN = 20 };

/* How long the first token is waited for before a hedge; 0: not known, fewer than
 * HEDGE_SAMPLES_MIN first tokens of that backend were seen (a percentile wants them), or off.
 */
uint64_t hedge_after_ms(const struct hedge_policy *p, const struct backend_figures *f);

struct hedge_budget {
    _Atomic uint64_t filled; /* hundredths of a percent of a hedge */
};

/* An exchange begins. */
void hedge_budget_count(struct hedge_budget *b, const struct hedge_policy *p);

/* True: a hedge may be made, and is paid for. */
bool hedge_budget_take(struct hedge_budget *b);
