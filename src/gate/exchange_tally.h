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
