#pragma once

#include "gate/gateway.h"
#include "net/loop.h"

/*
 * Health requests beside the traffic, on the control thread: at each backend one probe at a
 * time, when the board says that one is due, on a connection of its own. It owns no judgement:
 * what was seen goes to the board.
 */

struct prober;

/* Starts probing all backends at once (spread over at most a second). `l` is the control
 * thread's loop; the gateway's wake_prober is set to this prober. */
struct prober *prober_start(struct gateway *g, struct loop *l);

/* From the control thread, when the loop no longer runs or before it ends; cancels what runs.
 */
void prober_stop(struct prober **p);
