#pragma once

#include <jansson.h>

#include "base/mem.h"
#include "tiers/alert.h"

/*
 * The plain form of an alert, for programs of one's own. Its members are documented in
 * docs/alerts.md; one may be added, none changes its meaning while `version` is 1. Pure.
 */

/* A new reference. */
json_t *hook_json(const struct alert *alert, struct arena *a);

/* For all formats: a clean text of `z` as a string; RFC 3339 of a wall time, or null for 0;
 * the figures of what users felt as an object. */
json_t *hook_json_text(const char *z, struct arena *a);
json_t *hook_json_time(uint64_t wall_ms);
json_t *hook_json_felt(const struct alert_felt *felt);
