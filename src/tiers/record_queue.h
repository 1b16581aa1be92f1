#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/record.h"

/*
 * The way of records from the workers to one reader: bounded, never waits for him. One short
 * lock around a pointer. What finds no room is lost and counted.
 */

struct record_queue;

struct record_queue *record_queue_new(size_t room);
void record_queue_free(struct record_queue **q); /* with what is still in it */

/* Who is told when so many wait, once until he has taken all; set before other threads start.
 * It is called by the thread that put the record, without the lock. */
struct record_reader {
    void (*wake)(void *arg); /* NULL: nobody */
    void *arg;
    size_t at_count; /* >= 1 */
};
void record_queue_set_reader(struct record_queue *q, const struct record_reader *r);

/* Any thread; the record becomes the queue's. */
void record_queue_put(struct record_queue *q, struct record *r);

/* The oldest one, then the caller's; NULL: there is none. */
struct record *record_queue_take(struct record_queue *q);

/* Spans of records that were lost, one for each attempt and one for the whole; and the records.
 * Since the start; any thread. */
uint64_t record_queue_lost_spans(struct record_queue *q);
uint64_t record_queue_lost(struct record_queue *q);
