#include "tiers/pick_status.h"

#include "base/check.h"
#include "tiers/loads.h"

const char *pick_status_name(enum pick_status s)
{
    switch (s) {
    case PICK_USABLE:
        return "usable";
    case PICK_RAMP:
        return "ramp";
    case PICK_DWELL:
        return "dwell";
    case PICK_OPEN:
        return "open";
    case PICK_DOWN:
        return "down";
    case PICK_STOPPED:
        return "stopped";
    case PICK_RISING:
        return "rising";
    case PICK_HELD:
        return "held";
    case PICK_DRAINING:
        return "draining";
    case PICK_DISABLED:
        return "disabled";
    case PICK_FULL:
        return "full";
    case PICK_DRAINED:
        return "drained";
    case PICK_TRIED:
        return "tried";
    case PICK_TOO_LONG:
        return "too_long";
    case PICK_INCAPABLE:
        return "incapable";
    }
    BUG("no such pick status");
}

static enum pick_status status_of_phase(enum breaker_phase phase)
{
    switch (phase) {
    case PHASE_FULL:
        return PICK_USABLE;
    case PHASE_RAMP:
        return PICK_RAMP;
    case PHASE_DWELL:
        return PICK_DWELL;
    case PHASE_OPEN:
        return PICK_OPEN;
    }
    BUG("no such phase");
}

enum pick_status pick_judge(const struct backend_view *v, const struct breaker_view *c,
                            bool was_tried, uint64_t now_ms)
{
    if (was_tried) {
        return PICK_TRIED;
    }
    if (v->operator.word != OPERATOR_NONE) {
        return v->operator.word == OPERATOR_DRAINING ? PICK_DRAINING : PICK_DISABLED;
    }
    if (v->state == STATE_DOWN && cause_is_wanted(v->cause.kind)) {
        return v->cause.kind == CAUSE_STOPPED ? PICK_STOPPED : PICK_RISING;
    }
    if (now_ms < v->hold_until_ms) {
        return PICK_HELD;
    }
    if (v->state == STATE_DOWN) {
        return PICK_DOWN;
    }
    if (advice_drains(v->advice)) {
        return PICK_DRAINED;
    }
    return c->phase == PHASE_FULL && v->is_full ? PICK_FULL : status_of_phase(c->phase);
}

bool pick_is_reserve(enum pick_status s, const struct breaker_view *c)
{
    switch (s) {
    case PICK_RAMP:
    case PICK_DWELL:
    case PICK_OPEN: /* its probes are good: to refuse for it would be an outage of our making */
    case PICK_DRAINED:
        return true;
    case PICK_DOWN: /* a request was answered although its probes say so */
        return c->answers;
    case PICK_DRAINING:
    case PICK_DISABLED:
    case PICK_STOPPED:
    case PICK_RISING:
    case PICK_USABLE:
    case PICK_HELD:
    case PICK_FULL:
    case PICK_TRIED:
    case PICK_TOO_LONG:
    case PICK_INCAPABLE:
        return false;
    }
    BUG("no such pick status");
}

enum fit pick_fit(const struct board *b, const struct tier_member *m, const struct needs *needs)
{
    return needs ? offers_fit(board_offers(b), m->serving, needs) : FIT_WELL;
}

static enum pick_status status_of_fit(enum fit fit, enum pick_status bare)
{
    switch (fit) {
    case FIT_WELL:
        return bare;
    case FIT_TOO_LONG:
    case FIT_REFUSED:
        return PICK_TOO_LONG;
    case FIT_INCAPABLE:
        return PICK_INCAPABLE;
    }
    BUG("no such fit");
}

struct pick_prospect pick_prospect_for(const struct board *b, const struct tier_member *m,
                                       const struct needs *needs, uint64_t now_ms)
{
    struct pick_prospect p = {.backend = board_view(b, m->backend->index, now_ms),
                              .breaker = breakers_view(board_breakers(b), m->serving, now_ms),
                              .fit = pick_fit(b, m, needs)};
    p.bare = pick_judge(&p.backend, &p.breaker, false, now_ms);
    p.status = status_of_fit(p.fit, p.bare);
    p.slots = loads_claimed(board_loads(b), m->backend->index);
    p.max_concurrent = m->backend->max_concurrent;
    return p;
}

struct pick_prospect pick_prospect(const struct board *b, const struct tier_member *m,
                                   uint64_t now_ms)
{
    return pick_prospect_for(b, m, NULL, now_ms);
}

enum pick_rank pick_rank_of(const struct pick_prospect *p)
{
    if (p->status == PICK_USABLE || p->status == PICK_FULL) {
        return PICK_RANK_WELL;
    }
    if (p->status == PICK_DRAINED) {
        return p->backend.advice.counsel == COUNSEL_CUT ? PICK_RANK_CUT : PICK_RANK_DRAINED;
    }
    return pick_is_reserve(p->status, &p->breaker) ? PICK_RANK_RESERVE : PICK_RANK_NOBODY;
}

bool pick_is_doubtful(const struct pick_prospect *p)
{
    bool would_serve = p->bare == PICK_USABLE || p->bare == PICK_FULL;
    return p->fit == FIT_TOO_LONG && (would_serve || pick_is_reserve(p->bare, &p->breaker));
}
