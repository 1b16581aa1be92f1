#pragma once

#include "gate/gateway.h"
#include "net/loop.h"

/*
 * The processes of managed backends, on the control thread: each has a guard
 * (gate/managed_child) while tiers/demand wants it, and this gives the guards their turns. What
 * they tell goes to the board (a backend without a process is put off) and to
 * gateway->processes.
 */

struct manager;

/* Nothing to do where no backend is managed: then it costs nothing. */
struct manager *manager_start(struct gateway *g, struct loop *l);

/* After the loop has ended and no worker runs any more: stops all processes and waits for them;
 * from `hurry_ms` on by force. What cannot be killed even then is left, and logged. */
void manager_stop(struct manager **m, uint64_t hurry_ms);
