#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/event_filter.h"
#include "tiers/event.h"

/*
 * The last events, in memory, numbered from 1 without gaps: what history still has to write,
 * what live readers follow, and all there is where no history is kept. One writer (control),
 * any reader; one short lock.
 */

enum { EVENT_RING_ROOM = 10000 };

struct event_ring;

struct event_ring *event_ring_new(void);
void event_ring_free(struct event_ring **r);

/* Gives the event its number and keeps it in the place of the oldest. */
void event_ring_push(struct event_ring *r, struct event *e);

/* Those numbered above `after`, the oldest first, at most `room`; how many. */
size_t event_ring_read(struct event_ring *r, uint64_t after, struct event *out, size_t room);

/* Those that match, the oldest first, at most f->limit; how many. `out` has room for them. */
size_t event_ring_find(struct event_ring *r, const struct event_filter *f, struct event *out);

/* Numbers of the oldest that is kept, and of the newest; first > last: there are none. */
struct event_span {
    uint64_t first;
    uint64_t last;
    uint64_t shift;          /* what event_ring_renumber has added to all numbers */
    uint64_t incident_shift; /* … and to those of incidents */
};
struct event_span event_ring_span(struct event_ring *r);

/* All numbers, past and to come, go on from what an earlier process gave: once, by history. */
void event_ring_renumber(struct event_ring *r, uint64_t last_event, uint64_t last_incident);
