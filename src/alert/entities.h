#pragma once

#include "base/mem.h"
#include "base/str.h"

/* Text of others for formats with markup: & and < and > become entities, for which Slack's
 * mrkdwn asks, and no others there; for HTML, also within quoted attributes, " and ' as well.
 * Live as long as the arena, followed by a NUL that does not count. Pure. */
struct str entities_for_slack(struct arena *a, struct str s);
struct str entities_for_html(struct arena *a, struct str s);
