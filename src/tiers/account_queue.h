#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/account.h"

/*
 * The way of accounts from the workers to one reader: bounded, never waits for him. One short
 * lock around a pointer. What finds no room is lost and counted.
 */

struct account_queue;

struct account_queue *account_queue_new(size_t room);
void account_queue_free(struct account_queue **q); /* with what is still in it */

/* Who is told when so many wait, once until he has taken all; set before other threads start.
 * It is called by the thread that put the account, without the lock. */
struct account_reader {
    void (*wake)(void *arg); /* NULL: nobody */
    void *arg;
    size_t at_count; /* >= 1 */
};
void account_queue_set_reader(struct account_queue *q, const struct account_reader *r);

/* Any thread; the account becomes the queue's. */
void account_queue_put(struct account_queue *q, struct account *r);

/* The oldest one, then the caller's; NULL: there is none. */
struct account *account_queue_take(struct account_queue *q);

/* Spans of accounts that were lost, one for each attempt and one for the whole; and the
 * accounts. Since the start; any thread. */
uint64_t account_queue_lost_spans(struct account_queue *q);
uint64_t account_queue_lost(struct account_queue *q);
