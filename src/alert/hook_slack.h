#pragma once

#include <jansson.h>

#include "base/mem.h"
#include "base/str.h"
#include "tiers/alert.h"

/*
 * An alert for a Slack incoming webhook: blocks, and a text for notifications. Pure.
 * https://api.slack.com/reference/block-kit/blocks
 */

/* A new reference. */
json_t *hook_slack(const struct alert *alert, struct arena *a);
