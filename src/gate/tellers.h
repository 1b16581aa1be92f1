#pragma once

#include "gate/gateway.h"
#include "net/loop.h"

/*
 * Asks those who tell of the backends, on the control thread: GPU agents (a long poll, so that
 * a change is here at once), dcgm-exporters and guards (each `interval`). What they say goes
 * into the board's telemetry, and what follows from it to the gateway.
 *
 * Nobody of them is trusted: answers are bounded in size and time, and one that makes no sense
 * is ignored, with one warning until the next that does. Who has said nothing for three
 * intervals is not known any more.
 */

struct tellers;

/* `l` is the control thread's loop. */
struct tellers *tellers_start(struct gateway *g, struct loop *l);

/* From the control thread, when the loop no longer runs; cancels what runs. */
void tellers_stop(struct tellers **t);
