#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "tiers/board.h"
#include "tiers/picker.h"

/*
 * The lines of exchanges that wait for a slot (`max_concurrent`): one a model, ordered by
 * standing and then by age, of all workers together. A slot is never free while somebody who
 * could use it waits: who gives it up hands it to the first such one, in whatever model's line
 * he stands, and tells him. So nobody newer overtakes, and no word is lost when the one who got
 * it has left: he gives it on.
 *
 *     attempt ends ── pick_release ─▶ lines_give ─┬─▶ grant of the first who can use it
 *                                                 └─▶ free, for the next pick
 *
 * Who waits is also called to look again when a backend of his model goes or comes back, which
 * frees no slot, and looks by himself each LINES_LOOK_MS: holds end and estimates change.
 *
 * One short lock for all lines, taken only while somebody waits. Time is an argument; any
 * thread may call anything here. The loads own them.
 */

enum { LINES_LOOK_MS = 1000 };

struct waiter {
    struct pick_query query; /* what it may use; what it points to must not change */
    uint32_t tier;           /* 0 …: the first with somebody usable, all full (struct pick) */
    enum pick_kind kind;     /* PICK_REGULAR, or PICK_RESERVE when only those are left */
    bool is_owed;            /* it is taken into a line that is full, too */
    void (*tell)(void *teller); /* it was granted a slot, or called: any thread; must not call
                                   anything of here */
    void *teller;               /* outlives the lines' use */

    /* private: */
    struct list_node node;
    bool is_in;
    atomic_bool is_granted;
    atomic_bool is_called;
    struct pick grant;
};

struct lines *lines_new(const struct catalog *c);
void lines_free(struct lines **l);

/* False: its model's line is full, and it does not wait. Otherwise it must look once more
 * before it relies on being told: a slot may have become free since it looked. */
NODISCARD bool lines_join(struct lines *l, struct waiter *w);

/* What it looks for has changed: another tier, another kind. */
void lines_move(struct lines *l, struct waiter *w, uint32_t tier, enum pick_kind kind);

/* Cheap: whether a slot was granted, which lines_leave then returns. */
bool lines_is_granted(const struct waiter *w);

/* Whether it was called to look again; only once for each time. */
bool lines_take_call(struct waiter *w);

/* Whether it has anything to do. */
static inline bool lines_is_told(const struct waiter *w)
{
    return lines_is_granted(w) || atomic_load(&w->is_called);
}

/* All who may wait for this backend shall look again. Cheap while nobody waits. */
void lines_call(struct lines *l, uint32_t backend);

/* Out of the line. True: it was granted *out, which ends with an attempt or by pick_release. */
bool lines_leave(struct lines *l, struct waiter *w, struct pick *out);

/* A claimed slot is given up. */
void lines_give(struct lines *l, struct board *b, uint32_t backend, uint64_t now_ms);

/* Somebody before q in the order of the lines could use what it has just claimed: it is his
 * now. Cheap while nobody waits. */
bool lines_yield(struct lines *l, const struct pick_query *q, const struct pick *p);

/* How long q would wait in this tier: its place in the line, times the mean time that a slot
 * is held there, by the slots; UINT64_MAX: nothing is known. */
uint64_t lines_wait_ms(struct lines *l, const struct pick_query *q, uint32_t tier);

/* What becomes of q, which would have to wait in tier `full`, at a later tier: nobody is free
 * there; it goes there, as that answers sooner or nobody knows; it waits all the same, and
 * those behind are not looked at. */
enum overflow { OVERFLOW_NOBODY, OVERFLOW_GOES, OVERFLOW_WAITS };
enum overflow lines_overflow(struct lines *l, const struct pick_query *q, uint32_t full,
                             uint32_t next);

uint32_t lines_waiting(const struct lines *l, uint32_t model);
