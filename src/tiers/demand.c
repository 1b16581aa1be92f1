#include "tiers/demand.h"

#include "base/check.h"
#include "tiers/pick_status.h"

/* --- looking --- */

enum standing_of { STANDS_OUT, STANDS_SOMEHOW, STANDS_WELL };

static enum standing_of standing(const struct board *b, const struct processes *p,
                                 const struct tier_member *m, uint64_t now_ms)
{
    switch (pick_prospect(b, m, now_ms).status) {
    case PICK_USABLE:
    case PICK_FULL:
        return STANDS_WELL;
    case PICK_DOWN:
    case PICK_OPEN:
    case PICK_DRAINED:
        return STANDS_OUT;
    case PICK_RISING:
        return process_is_coming(processes_of(p, m->backend->index), now_ms) ? STANDS_SOMEHOW
                                                                             : STANDS_OUT;
    case PICK_STOPPED: /* what needs this one needs that one first */
    case PICK_RAMP:
    case PICK_DWELL:
    case PICK_HELD:
    case PICK_TRIED:
    case PICK_TOO_LONG:
    case PICK_INCAPABLE:
        return STANDS_SOMEHOW;
    }
    BUG("no such pick status");
}

static bool tier_has(const struct tier *t, uint32_t backend)
{
    for (size_t i = 0; i < t->member_count; i++) {
        if (t->members[i].backend->index == backend) {
            return true;
        }
    }
    return false;
}

/* The best of a tier. */
static enum standing_of tier_standing(const struct tier *t, const struct board *b,
                                      const struct processes *p, uint64_t now_ms)
{
    enum standing_of best = STANDS_OUT;
    for (size_t i = 0; i < t->member_count && best != STANDS_WELL; i++) {
        enum standing_of s = standing(b, p, &t->members[i], now_ms);
        best = s > best ? s : best;
    }
    return best;
}

/* False: the model does not have it. */
static bool look_above(const struct model *m, const struct board *b, const struct processes *p,
                       uint32_t backend, uint64_t now_ms, uint32_t *rank,
                       enum standing_of *best)
{
    *best = STANDS_OUT;
    for (uint32_t t = 0; t < m->tier_count; t++) {
        if (tier_has(&m->tiers[t], backend)) {
            *rank = t;
            return true;
        }
        enum standing_of s = tier_standing(&m->tiers[t], b, p, now_ms);
        *best = s > *best ? s : *best;
    }
    return false;
}

struct demand_look demand_look(const struct catalog *c, const struct board *b,
                               const struct processes *p, uint32_t backend, uint64_t now_ms)
{
    struct demand_look l = {.rank = UINT32_MAX, .has_better = true};
    for (size_t i = 0; i < c->model_count; i++) {
        uint32_t rank = 0;
        enum standing_of best = STANDS_OUT;
        if (look_above(&c->models[i], b, p, backend, now_ms, &rank, &best)) {
            l.is_needed = l.is_needed || best == STANDS_OUT;
            l.has_better = l.has_better && best == STANDS_WELL;
            l.rank = rank < l.rank ? rank : l.rank;
        }
    }
    l.in_flight = board_view(b, backend, now_ms).in_flight;
    l.is_unbegun = processes_of(p, backend)->state == PROCESS_waiting;
    return l;
}

/* --- deciding --- */

static void note_since(uint64_t *since_ms, bool is_so, uint64_t now_ms)
{
    if (!is_so) {
        *since_ms = 0;
    } else if (*since_ms == 0) {
        *since_ms = now_ms > 0 ? now_ms : 1;
    }
}

static bool is_to_begin(const struct demand *d, const struct managed_policy *p, uint64_t now_ms)
{
    return p->start == MANAGED_ALWAYS ||
           (d->needed_since_ms > 0 && now_ms >= d->needed_since_ms + DEMAND_GRACE_MS);
}

static bool is_to_end(const struct demand *d, const struct managed_policy *p,
                      const struct demand_look *l, uint64_t now_ms)
{
    uint64_t end_ms = demand_end_ms(d, p);
    bool is_spare = p->start == MANAGED_ON_DEMAND && d->better_since_ms > 0;
    return is_spare && (l->is_unbegun || (end_ms > 0 && now_ms >= end_ms && l->in_flight == 0));
}

bool demand_next(struct demand *d, const struct managed_policy *p, const struct demand_look *l,
                 uint64_t now_ms)
{
    bool was_wanted = d->is_wanted;
    note_since(&d->needed_since_ms, l->is_needed, now_ms);
    note_since(&d->better_since_ms, l->has_better, now_ms);
    d->is_wanted = was_wanted ? !is_to_end(d, p, l, now_ms) : is_to_begin(d, p, now_ms);
    return d->is_wanted != was_wanted;
}

uint64_t demand_end_ms(const struct demand *d, const struct managed_policy *p)
{
    bool may_end = d->is_wanted && p->start == MANAGED_ON_DEMAND && p->stop_after_ms > 0;
    return may_end && d->better_since_ms > 0 ? d->better_since_ms + p->stop_after_ms : 0;
}

/* --- turns --- */

static bool is_taken(const struct demand_turn *t, size_t count, struct str gpu)
{
    for (size_t i = 0; i < count; i++) {
        if (t[i].has && str_eq(t[i].gpu, gpu)) {
            return true;
        }
    }
    return false;
}

size_t demand_grant(const struct demand_turn *t, size_t count)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        bool is_better = best == SIZE_MAX || t[i].rank < t[best].rank;
        if (t[i].wants && is_better && !is_taken(t, count, t[i].gpu)) {
            best = i;
        }
    }
    return best;
}
