#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/outbox_db.h"

/*
 * The alerts that wait for one channel, in order of their numbers. An alert never overtakes one
 * of the same incident: nobody hears that it is over before he hears that it began. Owned by
 * the list; no lock of its own. Time is an argument.
 */

enum { LETTERS_MAX = 250 };

struct letter {
    struct alert alert;
    enum outbox_state state;
    uint32_t tries;
    uint64_t due_ms;  /* monotonic */
    bool is_sent_now; /* its thread has it: nobody else finishes it */
    uint32_t version; /* of what is to be written of it, from 1 … */
    uint32_t written; /* … and of what is: 0: nothing */
    struct letter *next;
};

struct letters {
    struct letter *first;
    size_t waiting;
};

void letters_fini(struct letters *l);

/* Waits, due now. */
struct letter *letters_push(struct letters *l, const struct alert *a, uint64_t now_ms);

/* The next that is due, NULL and when one will be (UINT64_MAX: none waits). */
struct letter *letters_next(const struct letters *l, uint64_t now_ms, uint64_t *due_ms);

/* The oldest that waits and is not being sent; NULL: none. */
struct letter *letters_oldest(const struct letters *l);

/* It waits no more. */
void letters_finish(struct letters *l, struct letter *done, enum outbox_state state);

/* Forgets those that wait no more and have been written, or all of them. */
void letters_sweep(struct letters *l, bool needs_writing);

/* How long after the so many-th try the next comes: first_ms times 1, 3, 12, 60, 180, and 720
 * from then on, or what the server asked for, if that is longer, up to a day. */
uint64_t letters_gap_ms(uint32_t tries, uint32_t first_ms, uint32_t retry_after_ms);
