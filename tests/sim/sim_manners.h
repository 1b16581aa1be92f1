#pragma once

#include "sim_server.h"

/*
 * How the gateway behaves towards backends: whom it asks, when, and whom not any more. Judged
 * at each request, by what the scripts know at that moment.
 */

/* `k` has just come to `sv` for `x` and is not among its asks yet. */
void manners_judge(const struct server *sv, struct sim_exchange *x, const struct ask *k);

/* A probe has just come. */
void manners_judge_probe(struct server *sv);
