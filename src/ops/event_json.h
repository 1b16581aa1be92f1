#pragma once

#include <jansson.h>

#include "tiers/event.h"

/*
 * An event as GET /events tells it: {"id","at","kind","severity","incident","backend","other",
 * "model","word","was","cause","text","times","numbers":{…}}. What it has not is null;
 * `numbers` has those of its kind.
 */
json_t *event_json(const struct event *e);
