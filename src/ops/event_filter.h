#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "tiers/event.h"

/*
 * Which events somebody wants: the query of GET /events, as plain values. Pure.
 */

enum { EVENTS_LIMIT = 200, EVENTS_LIMIT_MAX = 2000 };

struct event_filter {
    uint64_t since_ms; /* wall time; 0: from the first */
    uint64_t until_ms; /* wall time, inclusive; UINT64_MAX: to the last */
    uint64_t after;    /* only higher numbers */
    uint64_t incident; /* 0: any */
    struct str backend, model;
    enum event_kind kind;   /* EVENT_KINDS: any */
    enum severity severity; /* and worse */
    uint32_t limit;
    bool is_forward; /* the first that match, not the last ones */
};

/*
 * Reads `since=2h&until=…&backend=…&model=…&kind=…&severity=…&incident=…&after=…&limit=…`;
 * times are durations before now, or as in 2026-11-21T05:24:02Z. Other keys are left alone.
 * Texts live in the arena. NULL, or what is wrong, in words (static).
 */
const char *event_filter_read(struct str query, uint64_t wall_ms, struct event_filter *out,
                              struct arena *a);

/* The limit aside. */
bool event_filter_matches(const struct event_filter *f, const struct event *e);
