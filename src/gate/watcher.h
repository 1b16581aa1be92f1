#pragma once

#include "gate/gateway.h"
#include "net/loop.h"

/*
 * Looks after signs of life (tiers/vitals.h) on the control thread: reads the counters of each
 * backend's engine where it has any, asks one that is in doubt for a token, and tells the board
 * who hangs and who makes tokens again.
 *
 *      look (hang_after / 20) ──▶ doubt? ──▶ generation probe, one a backend
 *      counters (health.counters) ──▶ GET /metrics, /slots
 *
 * What goes wrong with the counters blames nobody. Nobody who is paid is asked for anything; a
 * server that loads models at need is asked only for one that it has in memory.
 */

struct watcher;

/* `l` is the control thread's loop. */
struct watcher *watcher_start(struct gateway *g, struct loop *l);

/* From the control thread, when the loop no longer runs; cancels what runs. */
void watcher_stop(struct watcher **w);
