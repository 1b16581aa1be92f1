#pragma once

#include "gate/exchange.h"
#include "tiers/tally.h"

/*
 * What is counted of an exchange (tiers/tally.h), as one line at each door that it passes.
 * Nobody decides by these numbers.
 */

/* The client has a whole answer. */
void exchange_tally_whole(struct exchange *x);

/* The client has an answer that no backend made now. */
void exchange_tally_last_resort(struct exchange *x, enum last_resort kind);

/* The client gets x->error instead of an answer, or of its rest. */
void exchange_tally_error(struct exchange *x);

/* The client left before that. */
void exchange_tally_left(struct exchange *x);

/* The current attempt failed after content; before is_resuming is set. */
void exchange_tally_break(struct exchange *x);

/* What was collected for the client is given up, and another backend begins anew. */
void exchange_tally_lost(struct exchange *x);

/* The current attempt has new content for the client after a break. */
void exchange_tally_resumed(struct exchange *x);

/* An attempt failed for this reason, blamed or not; before anything else is done about it. */
void exchange_tally_failure(struct exchange *x, enum failure f);

/* It is left for another backend; before the attempt is dropped. */
void exchange_tally_leave(struct exchange *x);

/* An attempt was opened: perhaps at another backend than the one that was left. */
void exchange_tally_go_on(struct exchange *x);

/* The retry budget had no room for the next attempt. */
void exchange_tally_over_budget(struct exchange *x);

/* --- the gateway's own time: no clock is read but where it is taken --- */

/* What this turn does for the exchange is to be counted: it sends a request on its way, or has
 * the first content for the client. */
static inline void exchange_time_turn(struct exchange *x)
{
    x->is_timed = true;
}

/* At the end of such a turn: adds the time since the loop woke up. */
void exchange_time_take(struct exchange *x);

/* The exchange is over. */
void exchange_time_tally(const struct exchange *x);
