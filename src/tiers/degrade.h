#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"

/*
 * Shorter, cheaper answers on weaker backends, and saying so. Pure.
 */

enum { DEGRADE_ASSUMED_TOKENS = 500 }; /* when the client names no max_tokens */

struct degrade_plan {
    bool set_max_tokens;
    uint64_t max_tokens;
    bool set_temperature;
    double temperature;
    bool is_degraded; /* something was changed, or the backend has a notice */
};

/* `requested` counts when has_requested; likewise temperature. A request that is already within
 * the cap or has that temperature is not changed. */
struct degrade_plan degrade_decide(const struct degrade_policy *p, bool has_requested,
                                   uint64_t requested, bool has_temperature,
                                   double temperature);

/* "max_tokens,temperature", "max_tokens", "temperature", or "notice" when only that applies;
 * "" when not degraded. Static storage. */
const char *degrade_words(const struct degrade_plan *plan);
