#pragma once

#include "ops/status.h"
#include "tiers/fit.h"

/* What the next request would meet, as JSON: for `explain`. */

/*
 * {"asked","model","next":["gpu1"],"panic","waits","policy","waiting","queue",
 *  "backends":[{"tier","name","model","verdict","why","until_s","breaker","share","relapses",
 *               "context","capabilities",
 *               "state","reason","since","for_s","held_for_s","verdicts"}]}:
 * which backend the next request would get (any of `next`) and why each other one would not.
 * `until_s` is null where no end is known. `panic`: there is no next, and the least bad is
 * tried within its budget. `waits`: there is none because all slots are taken. The last six are
 * the backend's, as in status. Empty str when no model has that name.
 */
struct explain_query {
    struct str asked;   /* a model, or what it is also called */
    struct needs needs; /* of the request that is asked about */
};
struct str explain_json(const struct status_source *s, const struct explain_query *q,
                        uint64_t now_ms, struct arena *a);
