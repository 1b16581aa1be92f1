#pragma once

#include <jansson.h>

#include "base/mem.h"
#include "base/str.h"
#include "tiers/alert.h"

/*
 * An alert as an event of PagerDuty's Events API v2: one of ours is one of theirs, by its
 * `dedup_key`; its end resolves it. Pure.
 * https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
 */

/* A new reference. */
json_t *hook_pagerduty(const struct alert *alert, struct str routing_key, struct arena *a);
