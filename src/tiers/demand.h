#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiers/board.h"
#include "tiers/catalog.h"
#include "tiers/processes.h"

/*
 * Shall the process of a managed backend be there? Looks and the time go in, the answer comes
 * out. Pure; who acts on it is gate/manager.
 *
 *                     needed for DEMAND_GRACE_MS
 *            ┌───────────────────────────────────────────┐
 *        UNWANTED                                      WANTED
 *            └───────────────────────────────────────────┘
 *              a better tier has served for stop_after
 *              without a break, and nothing is in flight
 *
 * Needed: for some model that has it, nobody of all tiers above it is usable: each is DOWN, or
 * its breaker is open. One above that is managed itself comes first: it is waited for until it
 * has failed, or has waited for its turn or for memory for PROCESS_PATIENCE_MS. In a model's
 * first tier nobody is above it: it is always needed.
 *
 * While the operator has drained or disabled it, it stays as it is. For those below it is out.
 */

enum { DEMAND_GRACE_MS = 1000 };

/* How the tiers above stand. */
struct demand_look {
    bool is_needed;
    bool has_better; /* for every model that has it, somebody above serves all requests */
    uint32_t rank;   /* the best tier that it is in, from 0; UINT32_MAX: in none */
    uint32_t in_flight;
    bool is_frozen;  /* by the operator's word: neither started nor stopped */
    bool is_unbegun; /* its process waits: nothing is lost by not starting it */
};

struct demand_look demand_look(const struct catalog *c, const struct board *b,
                               const struct processes *p, uint32_t backend, uint64_t now_ms);

struct demand {
    bool is_wanted;
    uint64_t needed_since_ms; /* 0: it is not */
    uint64_t better_since_ms; /* 0: nobody is */
};

/* Takes a look in; true when is_wanted has changed. */
bool demand_next(struct demand *d, const struct managed_policy *p, const struct demand_look *l,
                 uint64_t now_ms);

/* When it will be unwanted if all stays as it is; 0: not known. */
uint64_t demand_end_ms(const struct demand *d, const struct managed_policy *p);

/* --- turns --- */

/* Somebody who may want to make a heavy start. */
struct demand_turn {
    struct str gpu;
    uint32_t rank;
    bool wants;
    bool has; /* is at it */
};

/* Who may start now: the best rank, then the first, on a GPU where nobody is at it; SIZE_MAX:
 * nobody. */
size_t demand_grant(const struct demand_turn *t, size_t count);
