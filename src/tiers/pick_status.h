#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tiers/board.h"
#include "tiers/catalog.h"
#include "tiers/fit.h"

/*
 * How a member of a tier looks to a request: usable, or what stands between the two. Asked for
 * picking and for `explain` and `status`. Lock-free; any thread.
 */

/* What stands between a request and a member of a tier; PICK_DWELL and the next are reserves.
 */
enum pick_status {
    PICK_USABLE,
    PICK_RAMP,  /* a share of the requests */
    PICK_DWELL, /* proven well, until_ms of its breaker */
    PICK_OPEN,  /* its breaker is */
    PICK_DOWN,
    PICK_STOPPED,  /* by ourselves, until it is needed */
    PICK_RISING,   /* is being started by us */
    PICK_HELD,     /* until hold_until_ms */
    PICK_DRAINING, /* by the operator's word: what runs there may end there */
    PICK_DISABLED, /* likewise: nothing runs there */
    PICK_FULL,     /* it would be usable, but all of its slots are taken */
    PICK_DRAINED,  /* its GPUs or its guard say so (tiers/telemetry.h) */
    PICK_TRIED,
    PICK_TOO_LONG, /* the request, for its context */
    PICK_INCAPABLE /* of what the request asks for */
};
const char *pick_status_name(enum pick_status s);

/* For picking and for `explain`. */
enum pick_status pick_judge(const struct backend_view *v, const struct breaker_view *c,
                            bool was_tried, uint64_t now_ms);

/* Whether it is used when nobody is usable. */
bool pick_is_reserve(enum pick_status s, const struct breaker_view *c);

/* Why it is usable or not, whatever any exchange has tried. */
struct pick_prospect {
    struct backend_view backend;
    struct breaker_view breaker;
    enum pick_status status;
    enum pick_status bare; /* the same, whatever the request needs */
    enum fit fit;
    uint32_t slots; /* taken, of max_concurrent; 0 where that is 0 */
    uint32_t max_concurrent;
};
struct pick_prospect pick_prospect(const struct board *b, const struct tier_member *m,
                                   uint64_t now_ms);

/* The same for a request that needs this; NULL: nothing. */
struct pick_prospect pick_prospect_for(const struct board *b, const struct tier_member *m,
                                       const struct needs *needs, uint64_t now_ms);

/* How a request with these needs fits it; NULL: any does. */
enum fit pick_fit(const struct board *b, const struct tier_member *m,
                  const struct needs *needs);

/* Who comes before whom, whatever the tier: telemetry alone takes nobody away while there is
 * nobody better. */
enum pick_rank {
    PICK_RANK_WELL,    /* usable, or full */
    PICK_RANK_RESERVE, /* held back */
    PICK_RANK_DRAINED, /* by others' word alone */
    PICK_RANK_CUT,     /* the same, and it cannot finish what it has */
    PICK_RANK_NOBODY
};
enum pick_rank pick_rank_of(const struct pick_prospect *p);

/* Whether it may be the roomiest: too long by the estimate, and else it could be asked. */
bool pick_is_doubtful(const struct pick_prospect *p);
