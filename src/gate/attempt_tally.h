#pragma once

#include "gate/attempt.h"

/* What is counted of an attempt for metrics alone (tiers/meters.h), at its end: the usage that
 * the backend told, and how long its pieces took. */
void attempt_tally(const struct attempt *a);
