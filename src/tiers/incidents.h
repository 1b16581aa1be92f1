#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/catalog.h"
#include "tiers/event.h"

/*
 * Which events are one story. An incident belongs to a subject, a backend or a model:
 *
 *              an event of severity warning or error
 *     none ────────────────────────────────────────▶ open ──▶ every event of the subject joins
 *       ▲                                             │
 *       └── well, and nothing bad or new for settle_ms ┘      (an EVENT_KIND_closed tells it)
 *
 * A backend is well when its state is HEALTHY, no breaker of it is open and its GPU ails from
 * nothing. A model is well by itself: each bad event of it starts the wait anew. What happens
 * to a model while a backend of it has an incident belongs to that one (the oldest).
 *
 * Pure; one thread; time is an argument.
 */

struct incidents;

/* The catalog must outlive it. Numbers start at 1. */
struct incidents *incidents_new(const struct catalog *c, uint32_t settle_ms);
void incidents_free(struct incidents **i);

/* Takes in the event and sets its incident. */
void incidents_take(struct incidents *i, struct event *e);

/* Closes the next incident that is over and fills in the event that tells it. False: none is.
 */
bool incidents_close(struct incidents *i, uint64_t wall_ms, uint64_t now_ms, struct event *out);

/* When the next may be over; UINT64_MAX: none is waiting for that. */
uint64_t incidents_due_ms(const struct incidents *i);

uint32_t incidents_open(const struct incidents *i);
