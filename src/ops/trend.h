#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/figures.h"

/*
 * The last hour of something that is only counted upwards, in slots of half a minute:
 *
 *      oldest                                   running
 *     ┌───────┬───────┬───────┬─ … ─┬───────┬───────┐
 *     │  0    │   1   │   2   │     │       │ n - 1 │  each: what was added in its time
 *     └───────┴───────┴───────┴─ … ─┴───────┴───────┘
 *
 * Made of samples of the counters, taken about once a second by one thread. What was added
 * between two samples belongs to the slot of the later one. Pure; a fixed size (18 KiB).
 */

enum { TREND_SLOTS = 120, TREND_SLOT_MS = 30000 };

/* Counters since the start: none ever falls. */
struct trend_counts {
    uint64_t requests;    /* that ended in one of the ways below, or with a whole answer */
    uint64_t failed;      /* an error, or an answer that broke */
    uint64_t last_resort; /* answered by none of the backends */
    uint64_t degraded;    /* whole answers that were weaker than asked for */
    uint64_t tokens;
    uint64_t first_token[FIRST_TOKEN_BUCKETS]; /* as in struct backend_figures */
};

struct trend_slot {
    uint32_t requests, failed, last_resort, degraded, tokens;
    uint32_t first_token[FIRST_TOKEN_BUCKETS];
};

struct trend {
    /* private: */
    uint64_t begun_ms;
    uint64_t taken_ms; /* of the newest sample */
    uint64_t slot;     /* the running one, counted from the begin */
    struct trend_counts last;
    struct trend_slot ring[TREND_SLOTS];
};

/* Begins with these counters. */
void trend_init(struct trend *t, const struct trend_counts *counts, uint64_t now_ms);
void trend_take(struct trend *t, const struct trend_counts *counts, uint64_t now_ms);

/* 1 … TREND_SLOTS; the last is the running one. */
size_t trend_count(const struct trend *t);
const struct trend_slot *trend_at(const struct trend *t, size_t i);

/* How long it has lasted; TREND_SLOT_MS for all but the running one. */
uint64_t trend_lasted_ms(const struct trend *t, size_t i);

/* All slots together. */
struct trend_slot trend_total(const struct trend *t);

/* Upper bound of the first-token time of that share of a slot's answers; 0: there was none. */
uint64_t trend_first_token_ms(const struct trend_slot *s, double share);
