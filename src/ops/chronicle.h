#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"
#include "ops/event_ring.h"
#include "ops/history.h"
#include "tiers/catalog.h"
#include "tiers/journal.h"

/*
 * Keeps what happens: takes the events out of the journal, gives each its number and its
 * incident, keeps the last ones in memory and, where there is a file, all of them in the
 * history. Lives on the control thread's loop.
 */

struct chronicle_conf {
    struct loop *loop;
    struct journal *journal; /* borrowed, as the catalog: both outlive it */
    const struct catalog *catalog;
    uint32_t settle_ms;
    uint32_t workers;
    struct str path; /* empty: in memory only */
    uint64_t keep_ms;
    uint64_t max_bytes;
};

struct chronicle;

/* Tells that the gateway has started. Before other threads start. */
struct chronicle *chronicle_start(const struct chronicle_conf *conf);
/* After the loop has ended; tells that the gateway stops. */
void chronicle_stop(struct chronicle **c);

/* Who is told of each batch of new events, on the loop; NULL: nobody. */
void chronicle_set_reader(struct chronicle *c, void (*on_new)(void *arg), void *arg);

/* Who is given each event, on the loop, with its incident as tiers/incidents numbers it; and
 * NULL after each batch. NULL: nobody. */
void chronicle_set_tap(struct chronicle *c, void (*on_event)(void *arg, const struct event *e),
                       void *arg);

struct event_ring *chronicle_ring(struct chronicle *c); /* lives as long */

/* True when more than the ring can be asked for. */
bool chronicle_has_history(const struct chronicle *c);

/* With a history: whether its file takes what is to be written. */
bool chronicle_is_written(const struct chronicle *c);

/* q->done runs later, on the loop. */
void chronicle_ask(struct chronicle *c, struct history_query *q);

/* Events that found no room anywhere. */
uint64_t chronicle_lost(struct chronicle *c);

uint32_t chronicle_open_incidents(const struct chronicle *c);
