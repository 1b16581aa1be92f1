#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ops/trend.h"
#include "tiers/board.h"
#include "tiers/catalog.h"
#include "tiers/tally.h"

/*
 * What has to be remembered of each model to tell people how it fares: since when which tier
 * serves it, and the figures of the last hour. Belongs to one thread (control), which takes a
 * sample about once a second. Time is an argument.
 */

struct model_watch;

/* The catalog must outlive it. */
struct model_watch *model_watch_new(const struct catalog *c, uint64_t now_ms);
void model_watch_free(struct model_watch **w);

void model_watch_sample(struct model_watch *w, const struct board *b, const struct tally *t,
                        uint64_t now_ms);

/* Since when it is that tier; at most a second late. At the latest the first sample. */
uint64_t model_watch_since_ms(const struct model_watch *w, const struct model *m, uint32_t tier,
                              uint64_t now_ms);

/* Its tokens and first tokens are those of all its backends, whatever model they answered for.
 * Lives as long as the watch. */
const struct trend *model_watch_trend(const struct model_watch *w, const struct model *m);
