#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tiers/catalog.h"

/*
 * How many attempts beyond the first one model may draw, so that a brown-out (backends that
 * live, but fail what they are given) is not amplified by our own further attempts: within 10
 * seconds at most `share` of the exchanges that began in them, and `per_second` a second on top
 * of it. Which attempts count says tiers/verdict.h. One for each model, shared by all workers:
 * time is an argument, any thread may call anything here.
 *
 *     slots of a second:   … │ -10 │ -9 │ -8 │ … │ -1 │ now │
 *     attempts counted:      └─────────────────────────────┘   11 slots: 10 s or more
 *     exchanges counted:           └───────────────────────┘   10 slots: 10 s or less
 *
 * So the limit holds for the 10 s before any attempt, wherever in a slot they begin.
 */

struct retry_budget;

struct retry_budget *retry_budget_new(const struct retry_budget_policy *p);
void retry_budget_free(struct retry_budget **b);

/* An exchange begins. Lock-free. */
void retry_budget_count(struct retry_budget *b, uint64_t now_ms);

/* True: the attempt may be made, and is counted. One short lock. */
NODISCARD bool retry_budget_take(struct retry_budget *b, uint64_t now_ms);

/* After a refusal: how many there were since this last told, or 0 while it is not yet time to
 * tell again (once in RETRY_BUDGET_TELL_MS). */
uint64_t retry_budget_tell(struct retry_budget *b, uint64_t now_ms);
enum { RETRY_BUDGET_TELL_MS = 10000 };
