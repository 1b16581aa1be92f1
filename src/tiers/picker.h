#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "tiers/board.h"
#include "tiers/catalog.h"
#include "tiers/fit.h"
#include "tiers/pick_status.h"

/*
 * Who serves next. Pure but for the claims on the board and the breakers; lock-free but for
 * claiming a trial.
 *
 * Regular: the first tier, in order, that has a usable backend; in it the HEALTHY before the
 * DEGRADED, and among equals the less loaded of two drawn at random (Mitzenmacher 2001), where
 * recent failures count as load. A backend that ramps up takes part in its share of the picks.
 * On the way a backend whose breaker wants a trial gets this request (`may_try`).
 *
 * Reserve: when no tier has anybody usable, who is only held back: it dwells, it ramps, a trial
 * of it is under way, or its breaker is open but it answers some. Tiers in order.
 *
 * Last of the reserves come those that are well but for what telemetry tells (COUNSEL_DRAIN,
 * then COUNSEL_CUT): it alone takes the last usable backend from nobody.
 *
 * Roomiest: when, by an estimate, the request is too long for everybody who is left, whoever
 * has the longest context: an estimate is no reason to refuse. Nobody is ever asked for what it
 * is known not to be able to.
 *
 * Panic: when nobody is left but those that are DOWN or open, the least bad, unless the model
 * has `panic: false`: errors before broken connections before silence before those that cannot
 * be reached; then tiers in order. Never one that is held or loads its model. Each backend once
 * a second and not in the first second of its outage; those that were silent, where a model has
 * others, once a second for all of the model, for they cost a deadline.
 *
 * Whom the operator has drained or disabled gets none of all these.
 *
 * By the model's `load` policy: the less loaded of two is the default; the others look at all
 * (tiers/balance.h). A backend with `max_concurrent` is picked together with one of its slots;
 * while all who are usable in a tier are full, a later tier is taken only where waiting would
 * take longer (lines_overflow), and a slot that somebody before this exchange waits for is
 * his.
 */

enum { TRIED_MAX = 64 };

/* Backends that this exchange has been to (or cannot use). */
struct tried {
    uint32_t backend[TRIED_MAX];
    uint32_t count;
};

bool tried_has(const struct tried *t, uint32_t backend);
void tried_add(struct tried *t,
               uint32_t backend); /* past TRIED_MAX: the exchange ends anyway */

enum pick_kind { PICK_REGULAR, PICK_TRIAL, PICK_RESERVE, PICK_PANIC };

struct pick {
    const struct tier_member *member;
    uint32_t tier; /* 0 … */
    enum pick_kind kind;
    uint32_t claim;   /* of PICK_TRIAL: ends with the attempt, or by pick_release; else 0 */
    bool has_slot;    /* likewise: one of a backend with max_concurrent */
    bool is_overflow; /* a better tier is usable, but full */
    bool is_full; /* nothing was picked, as all who could serve are full: wait. `tier` is the
                     first such, `kind` PICK_RESERVE where only reserves are */
};

/* Order among those that want a slot: the lower comes first, then the older. */
enum standing { STANDING_RESUME, STANDING_HIGH, STANDING_NORMAL, STANDING_LOW, STANDING_HEDGE };

/* False when nobody is left, or all are full. */
struct pick_query {
    const struct model *model;
    struct board *board;
    const struct tried *tried;
    uint64_t now_ms;
    bool may_try;     /* this request may be a trial: it has all its time still */
    bool usable_only; /* no reserve, no roomiest and no panic */
    bool has_key;     /* `key` is known: for the policies prefix and session */
    uint64_t key;
    enum standing standing;
    uint64_t serial;           /* of the exchange: the lower is the older */
    const struct needs *needs; /* of the request; NULL: none */
};
bool pick_backend(const struct pick_query *q, struct rand *rand, struct pick *out);

/* How many tiers could still be asked when this pick fails: its own and those behind it (of an
 * overflow, those before it, too: they are only full), as far as somebody in them was not
 * tried.
 */
uint32_t pick_tiers_after(const struct model *m, const struct tried *tried,
                          const struct pick *p);

/* No attempt came of it, or none that told anything: another may be the trial. Its slot goes
 * to the first who waits for it. */
void pick_release(struct board *b, const struct pick *p, uint64_t now_ms);

/* The same backend once more, after the attempt has ended: takes a slot again. False: full, or
 * the operator lets nobody in. */
NODISCARD bool pick_again(struct board *b, struct pick *p);

/* Whether q could use this member if it had a slot; as a reserve. */
bool pick_may_use(const struct pick_query *q, const struct tier_member *m);
bool pick_may_reserve(const struct pick_query *q, const struct tier_member *m);

/* Somebody else of the model is usable, or would be where nobody is, but for those that
 * telemetry has taken away. */
bool pick_has_other(const struct model *m, const struct board *b, const struct backend *but,
                    uint64_t now_ms);

/* True when pick_backend would find somebody, panic not counted: /health and /ready. */
bool pick_can_serve(const struct model *m, const struct board *b, uint64_t now_ms);

/* The operator has drained or disabled all of its backends. */
bool pick_is_ordered_out(const struct model *m, const struct board *b);

/* Seconds until something may be well again, for Retry-After: the soonest hold that ends,
 * else 30. */
uint32_t pick_retry_after_s(const struct model *m, const struct board *b, uint64_t now_ms);
