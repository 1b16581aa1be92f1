#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rand.h"
#include "tiers/board.h"
#include "tiers/catalog.h"

/*
 * Who serves next: the first tier, in order, that has a usable backend; in it the HEALTHY
 * before the DEGRADED, and among equals the less loaded of two drawn at random (Mitzenmacher
 * 2001), where recent failures count as load. When no tier is usable: one trial of a DOWN
 * backend whose last verdict is older than a second and was not silence (unless it is the
 * model's only one). Pure but for the trial claim on the board.
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

enum pick_status {
    PICK_USABLE,
    PICK_TRIED,
    PICK_HELD, /* until hold_until_ms */
    PICK_DOWN
};
const char *pick_status_name(enum pick_status s);

/* Whether the picker would take it now (without the trial rule), for picking and for `explain`.
 */
enum pick_status pick_judge(const struct backend_view *v, bool was_tried, uint64_t now_ms);

struct pick {
    const struct tier_member *member;
    uint32_t tier; /* 0 … */
    bool is_trial;
};

/* False when nobody is left. */
struct pick_query {
    const struct model *model;
    struct board *board;
    const struct tried *tried;
    uint64_t now_ms;
    bool usable_only; /* no trial of a DOWN backend */
};
bool pick_backend(const struct pick_query *q, struct rand *rand, struct pick *out);

/* True when pick_backend would find somebody, trials not counted: /health and /ready. */
bool pick_can_serve(const struct model *m, const struct board *b, uint64_t now_ms);

/* Seconds until something may be well again, for Retry-After: the soonest hold that ends,
 * else 30. */
uint32_t pick_retry_after_s(const struct model *m, const struct board *b, uint64_t now_ms);
