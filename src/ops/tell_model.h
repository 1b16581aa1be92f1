#pragma once

#include <jansson.h>

#include "ops/model_watch.h"
#include "ops/status.h"

/*
 * How a model fares: who serves it, since when, and its last hour, as JSON. Private to ops.
 */

/* {"tier","backends","since","for_s"}; `tier` is null and `backends` empty where nobody does.
 */
json_t *tell_serving(const struct status_source *s, const struct model *m, uint64_t now_ms);

/* See ops/status.h. */
json_t *tell_trend(const struct trend *t);

/* What a backend's answers are made weaker by; null: nothing. */
json_t *tell_degrade(const struct degrade_policy *p);
