#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "ops/event_filter.h"
#include "ops/event_ring.h"

/*
 * The thread that keeps events in a file (ops/history_db): it writes what is new in the ring,
 * in batches, finds what somebody asks for, and forgets what is too old or too much. Nobody
 * else ever waits for that disk.
 *
 * While the file cannot be written (full, read-only, broken) there is one warning; events stay
 * in the ring, questions are answered from it, and writing is tried again after 1 s, later up
 * to 10 s. What the ring gives up in that time is lost and counted.
 */

enum { HISTORY_BATCH_MS = 100 };

struct history_conf {
    struct str path;
    uint64_t keep_ms;
    uint64_t max_bytes;
    struct event_ring *ring; /* borrowed, as the loop: outlives the thread */
    struct loop *loop;       /* where answers come back */
};

struct history;

struct history *history_start(const struct history_conf *conf);
/* Writes what is left, if that is possible, and ends the thread. Questions that it has not
 * answered are never answered. */
void history_stop(struct history **h);

/* There are new events in the ring. */
void history_poke(struct history *h);

/* Somebody's question; embedded in its owner, who keeps it until it is answered. */
struct history_query {
    struct event_filter filter; /* its texts live as long */
    struct post done;           /* run in the loop's thread when it is answered */
    struct event *events;       /* the oldest first; for the asker to free() */
    size_t count;
    bool is_from_memory;

    /* private: */
    struct history_query *next;
};

void history_ask(struct history *h, struct history_query *q);

/* Whether the file takes what is to be written, by the last try; true before the first. Any
 * thread. */
bool history_is_written(struct history *h);

/* Lost because the file could not be written for too long. Any thread. */
uint64_t history_lost(struct history *h);
