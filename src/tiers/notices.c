#include "tiers/notices.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
    ROWS = 2048,
    PLACES = 8, /* of a row: one that is told takes the free or the oldest one */
    TIME_BITS = 28,
    TIME_STEP_MS = 100
};

static const uint64_t time_mask = (UINT64_C(1) << TIME_BITS) - 1;
static const uint64_t window = NOTICES_WINDOW_MS / TIME_STEP_MS;

/* 0: free; else the subject's upper bits and, below, when it was told. */
struct notices {
    _Atomic uint64_t place[ROWS][PLACES];
};

struct notices *notices_new(void)
{
    return mem_alloc(sizeof(struct notices));
}

void notices_free(struct notices **n)
{
    free(*n);
    *n = NULL;
}

/* How long ago, in steps; a free place is the oldest. */
static uint64_t age_of(uint64_t word, uint64_t now)
{
    return word == 0 ? UINT64_MAX : (now - word) & time_mask;
}

static bool is_of(uint64_t word, uint64_t subject)
{
    return word != 0 && ((word ^ subject) & ~time_mask) == 0;
}

/* Its place, else the oldest one. */
static _Atomic uint64_t *find_place(_Atomic uint64_t *row, uint64_t subject, uint64_t now)
{
    _Atomic uint64_t *oldest = &row[0];
    uint64_t oldest_age = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t word = atomic_load_explicit(&row[i], memory_order_relaxed);
        if (is_of(word, subject)) {
            return &row[i];
        }
        if (age_of(word, now) > oldest_age) {
            oldest = &row[i];
            oldest_age = age_of(word, now);
        }
    }
    return oldest;
}

bool notices_claim(struct notices *n, uint64_t subject, uint64_t now_ms)
{
    uint64_t now = now_ms / TIME_STEP_MS & time_mask;
    _Atomic uint64_t *row = n->place[subject % ROWS];
    _Atomic uint64_t *at = find_place(row, subject, now);
    uint64_t word = atomic_load_explicit(at, memory_order_relaxed);
    if (is_of(word, subject) && age_of(word, now) < window) {
        return false;
    }
    uint64_t mine = (subject & ~time_mask) | now;
    mine = mine != 0 ? mine : 1;
    /* Somebody else took the place: most likely the same conversation, which is told by him. */
    return atomic_compare_exchange_strong_explicit(at, &word, mine, memory_order_relaxed,
                                                   memory_order_relaxed);
}
